import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, suite, test } from 'node:test';
import { concat } from '@aovpn/bytes';
import { BareEsp } from '../../src/data-plane/bare-esp.ts';
import { UdpPeer } from './inner-traffic.ts';
import { until } from './inbox.ts';
import { address, inside, ip, makeNetWorld, outer, run, sendBareEsp, type NetWorld } from './net-world.ts';

const stranger = { 4: address('10.99.0.66'), 6: address('fd99::66') } as const;
const notEct = 0;
const ect0 = 2;
const ce = 3;
const notOurs = 0x01020305;

for (const family of [4, 6] as const) {
  suite(`ESP without UDP, IPv${family}`, { concurrency: 1 }, () => {
    let world: NetWorld;
    let own: UdpPeer;
    const bare = new BareEsp((spi) => spi !== notOurs);
    const [local, remote] = [outer.a[family], outer.b[family]];
    const esp = (data: number): Uint8Array => concat(Uint8Array.of(1, 2, 3, 4), new Uint8Array(40).fill(data));
    const send = (data: Uint8Array, from = remote, trafficClass = 0): Promise<void> =>
      sendBareEsp(world.b, from, local, data, trafficClass);
    const isNext = async (data: Uint8Array): Promise<void> =>
      assert.deepEqual((await own.received.take('what was passed on')).octets, data);
    before(async () => {
      world = makeNetWorld();
      ip('-n', world.b, 'addr', 'add', family === 4 ? '10.99.0.66/24' : 'fd99::66/64', 'dev', world.wireB, 'nodad');
      own = await UdpPeer.open(world.a, local);
      const flow = { local, localPort: own.port, remote, mark: 0 };
      await inside(world.a, () => bare.follow(flow));
    });
    after(() => {
      bare.close();
      own?.close();
      world?.remove();
    });

    test('goes on as it is to the socket of the flow, from the gateway alone', async () => {
      await send(esp(1));
      await isNext(esp(1));
      await send(esp(2), stranger[family]);
      await send(esp(3));
      await isNext(esp(3));
    });

    test('with SPI 0, or cut, it goes nowhere: it cannot pass for IKE', async () => {
      await send(concat(new Uint8Array(4), new Uint8Array(40).fill(9)));
      for (const length of [1, 4, 7]) await send(esp(4).subarray(0, length));
      await send(esp(5));
      await isNext(esp(5));
    });

    test('with the SPI of another tunnel to the same gateway, or of nobody, it stays where it is', async () => {
      const other = esp(12);
      other[3] = notOurs & 0xff;
      await send(other);
      await send(esp(13));
      await isNext(esp(13));
    });

    test('a packet as long as any comes whole', async () => {
      const long = concat(esp(6), new Uint8Array(60_000).fill(7));
      await send(long);
      await isNext(long);
    });

    test('what the network said about congestion goes with each', async () => {
      const protocol = family === 4 ? 'ip' : 'ip6';
      const ruleset = `table inet watch {
        ${['not-ect', 'ect0', 'ce'].map((name) => `counter ${name} {}`).join('\n')}
        chain count {
          type filter hook prerouting priority -300
          ${['not-ect', 'ect0', 'ce'].map((name) => `iifname "lo" meta l4proto udp ${protocol} ecn ${name} counter name "${name}"`).join('\n')}
        }
      }`;
      execFileSync('ip', ['netns', 'exec', world.a, 'nft', '-f', '-'], { input: ruleset });
      for (const trafficClass of [ce, ect0, ce, notEct]) await send(esp(7), remote, trafficClass);
      for (let i = 0; i < 4; i++) await isNext(esp(7));
      await until('all are counted', () => {
        const list = run(world.a, 'nft', 'list', 'counters', 'table', 'inet', 'watch');
        const counted = [...list.matchAll(/counter (\S+) \{\s+packets (\d+)/g)].map(([, name, n]) => [name, Number(n)]);
        return Promise.resolve(JSON.stringify(Object.fromEntries(counted)) === JSON.stringify({ 'not-ect': 1, ect0: 1, ce: 2 }));
      });
    });

    test('follows another flow, and none', async () => {
      const next = await UdpPeer.open(world.a, local);
      await inside(world.a, () => bare.follow({ local, localPort: next.port, remote: stranger[family], mark: 0 }));
      await send(esp(8));
      await send(esp(9), stranger[family]);
      assert.deepEqual((await next.received.take('what was passed on')).octets, esp(9));
      assert.equal(own.received.size, 0);
      await inside(world.a, () => bare.follow(undefined));
      await send(esp(10), stranger[family]);
      await inside(world.a, () => bare.follow({ local, localPort: next.port, remote, mark: 0 }));
      await send(esp(11));
      assert.deepEqual((await next.received.take('what was passed on')).octets, esp(11));
      next.close();
    });
  });
}
