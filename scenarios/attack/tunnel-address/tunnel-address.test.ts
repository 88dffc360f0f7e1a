// A neighbour looks for the tunnel's address: by ARP, by ping, by SYN and SYN/ACK (CVE-2019-14899), IPv4 and IPv6. What Linux does by
// default is seen on a second device with an address that nobody guards: the positive control of every probe.
import assert from 'node:assert/strict';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { network } from '../../../lab/network.ts';
import type { WirePacket } from '../../../lab/pcap.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';

const { client, router, corp, internet } = network;
const unguarded = { v4: '10.99.0.7', v6: 'fd99::7' };

suite('attack/tunnel-address', () => {
  let stage: Stage;
  let guarded: { readonly v4: string; readonly v6: string };
  before(async () => {
    stage = await Stage.set();
    const { world, product } = stage;
    await world.client.ip(
      'tuntap add dev other0 mode tun',
      `addr add ${unguarded.v4}/32 dev other0`,
      `-6 addr add ${unguarded.v6}/128 dev other0 nodad`,
      'link set other0 up',
    );
    await product.put('corp', certificateProfile(), stage.machine());
    const { addresses } = await product.waitForState('corp', 'up');
    const find = (mark: string): string => addresses.find((one) => one.includes(mark))!.replace(/\/.*/, '');
    guarded = { v4: find('.'), v6: find(':') };
    // The neighbour sends whatever it likes straight to the machine.
    await world.router.ip(
      ...[unguarded.v4, guarded.v4].map((one) => `route replace ${one}/32 via ${client.home.v4} dev ${router.toClient}`),
      ...[unguarded.v6, guarded.v6].map((one) => `-6 route replace ${one}/128 via ${client.home.v6} dev ${router.toClient}`),
    );
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  async function seen(act: () => Promise<unknown>): Promise<readonly WirePacket[]> {
    const capture = await stage.world.capture();
    await act();
    return await capture.stop();
  }
  const from = (packets: readonly WirePacket[], address: string): number =>
    packets.filter(({ source }) => source === address).length;

  for (const family of ['v4', 'v6'] as const) {
    const six = family === 'v6' ? '-6' : '-4';
    test(`ping, ${family}`, async () => {
      const ping = (address: string) => stage.world.router.run(['ping', six, '-c', '2', '-i', '0.2', '-W', '1', address]);
      assert.ok(from(await seen(() => ping(unguarded[family])), unguarded[family]) > 0, 'positive control');
      const packets = await seen(() => ping(guarded[family]));
      assert.ok(
        packets.some(({ destination }) => destination === guarded[family]),
        'the probe was sent',
      );
      assert.equal(from(packets, guarded[family]), 0);
    });

    test(`SYN and SYN/ACK to open and closed ports, ${family}`, async () => {
      const { world } = stage;
      const probe = new URL('./probe-ports.ts', import.meta.url).pathname;
      const source = family === 'v4' ? internet.web4 : internet.web6;
      const ports = (address: string) => world.router.exec([process.execPath, probe, source, address, '80', '51234']);
      const control = await seen(() => ports(unguarded[family]));
      assert.ok(
        from(control, unguarded[family]) >= 3,
        `positive control: resets to each of four probes, ${from(control, unguarded[family])}`,
      );
      const packets = await seen(() => ports(guarded[family]));
      assert.ok(packets.filter(({ destination }) => destination === guarded[family]).length >= 4, 'the probes were sent');
      assert.equal(from(packets, guarded[family]), 0);
    });

    test(`a program that uses the tunnel's address beside the tunnel, ${family}`, async () => {
      const { world } = stage;
      const target = internet[family === 'v4' ? 'web4' : 'web6'];
      const send = (source: string) => world.client.run(['ping', six, '-I', source, '-c', '1', '-W', '1', target]);
      assert.ok(from(await seen(() => send(unguarded[family])), unguarded[family]) > 0, 'positive control');
      assert.equal(from(await seen(() => send(guarded[family])), guarded[family]), 0);
    });
  }

  test('ARP does not tell the address, and does not ask in its name', async () => {
    const { world } = stage;
    const arp = (packets: readonly WirePacket[], address: string): number => {
      const octets = Buffer.from(address.split('.').map(Number));
      // RFC 826: sender's protocol address at 14 behind the Ethernet header.
      return packets.filter(({ protocol, frame }) => protocol === 'arp' && frame.subarray(28, 32).equals(octets)).length;
    };
    const ask = async (address: string): Promise<void> => {
      await world.router.ip(`route replace ${address}/32 dev ${router.toClient}`);
      await world.router.run(['ping', '-c', '1', '-W', '1', address]);
    };
    assert.ok(arp(await seen(() => ask(unguarded.v4)), unguarded.v4) > 0, 'positive control: Linux tells');
    assert.equal(arp(await seen(() => ask(guarded.v4)), guarded.v4), 0);
    // To a neighbour that is not known yet the kernel asks in the name of the packet that waits for the answer.
    const send = async (source: string, target: string): Promise<void> =>
      void (await world.client.run(['ping', '-I', source, '-c', '1', '-W', '1', target]));
    assert.ok(arp(await seen(() => send(unguarded.v4, '192.0.2.91')), unguarded.v4) > 0, 'positive control: Linux asks so');
    assert.equal(arp(await seen(() => send(guarded.v4, '192.0.2.92')), guarded.v4), 0);
  });

  test('and the tunnel itself still works both ways', async () => {
    const { world } = stage;
    assert.equal((await world.application.fetch(`http://${corp.web4}/bytes/100000`)).octets, 100_000);
    assert.equal((await world.application.fetch(`http://[${corp.web6}]/bytes/100000`)).octets, 100_000);
    await world.corp.exec(['ping', '-c', '1', '-W', '30', guarded.v4]);
    await world.client.exec(['ping', '-c', '1', '-W', '30', guarded.v4]);
  });

  test('while the daemon is dead there is no address to be found', async () => {
    const { world, product } = stage;
    await product.kill();
    assert.doesNotMatch(await world.client.exec(['ip', 'addr']), new RegExp(guarded.v4.replaceAll('.', '\\.')));
    await product.start();
    await product.waitForState('corp', 'up');
  });
});
