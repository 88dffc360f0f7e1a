import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, suite, test } from 'node:test';
import { parseAddress } from '@aovpn/bytes';
import { lockdownTable, type LockdownPlan } from '@aovpn/policy';
import { findCgroupRoot, nftCgroupName } from '../../src/cgroup/cgroup-root.ts';
import {
  isLockdownInForce,
  openLockdown,
  removeLockdown,
  type Lockdown,
  type LockdownRepair,
} from '../../src/filter/lockdown.ts';
import { closeDescriptor, constant, libc, openRawSocket } from '../../src/sys/index.ts';
import { until } from '../apps/app-fixture.ts';
import { inOwnNamespace, run } from '../network/namespace.ts';
import { arrivals, buildWorld, expectArrivals, removeWorld, world } from './filter-world.ts';

const mark = 0x616f76;
const plan: LockdownPlan = {
  because: [{ profile: 'Corp', at: { line: 5, column: 1 }, why: 'LockDown' }],
  devices: ['aov0'],
  gateways: [],
  resolvers: [],
  mark,
};
const nothing = { 4: 0, 6: 0 };
const once = { 4: 1, 6: 1 };

/** Perl that sends one UDP datagram to the echo port of the outside by each family, from within a cgroup when one is named. */
function sendOutside(cgroup?: string): void {
  const enter = cgroup === undefined ? '' : `open F,">","${cgroup}/cgroup.procs";print F $$;close F;`;
  const hex = (family: 4 | 6): string => Buffer.from(parseAddress(world.outside[family])!.bytes).toString('hex');
  run(
    'perl',
    '-e',
    `${enter}socket(A,2,2,17);send(A,"x",0,pack("SnH8x8",2,${world.port},"${hex(4)}"));` +
      `socket(B,10,2,17);send(B,"x",0,pack("SnNH32N",10,${world.port},0,"${hex(6)}",0));`,
  );
}

/** The same by a user who has CAP_NET_RAW, and with it may mark his sockets. */
function sendTo({
  uid,
  socketMark,
  octets,
}: {
  readonly uid: number;
  readonly socketMark: number;
  readonly octets: string;
}): void {
  const hex = (family: 4 | 6): string => Buffer.from(parseAddress(world.outside[family])!.bytes).toString('hex');
  const marked = (name: string): string => `setsockopt(${name},1,36,pack("I",${socketMark})) or die;`;
  const user = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--inh-caps=+net_raw', '--ambient-caps=+net_raw'];
  run(
    'setpriv',
    ...user,
    'perl',
    '-e',
    `socket(A,2,2,17);${marked('A')}send(A,"${octets}",0,pack("SnH8x8",2,${world.port},"${hex(4)}"));` +
      `socket(B,10,2,17);${marked('B')}send(B,"${octets}",0,pack("SnNH32N",10,${world.port},0,"${hex(6)}",0));`,
  );
}

/** The ruleset without what counts up by itself. */
function listed(): string {
  return run('nft', '-s', 'list', 'table', ...lockdownTable.split(' ')).replaceAll(/ expires \S+/g, '');
}

inOwnNamespace(import.meta.url, () => {
  suite('LockDown in the kernel', { concurrency: 1 }, () => {
    const repairs: LockdownRepair[] = [];
    let lockdown: Lockdown;
    before(() => buildWorld());
    after(async () => {
      await lockdown?.close();
      removeWorld();
    });
    beforeEach(async () => {
      await lockdown?.close();
      await removeLockdown();
      repairs.length = 0;
      lockdown = openLockdown((repair) => repairs.push(repair));
      arrivals();
    });

    test('holds back what left before, in one step, and lets it go again', async () => {
      sendOutside();
      await expectArrivals({ phys: once }, 'without it the datagrams arrive');
      await lockdown.apply(plan);
      assert.equal(await isLockdownInForce(), true);
      sendOutside();
      await expectArrivals({ phys: nothing });
      await lockdown.apply(undefined);
      assert.equal(await isLockdownInForce(), false);
      sendOutside();
      await expectArrivals({ phys: once });
    });

    test('a change keeps its chains hooked in, and comes to the same as a fresh start', async () => {
      await lockdown.apply(plan);
      const handle = (): string =>
        /^table .* \{ # handle (\d+)/.exec(run('nft', '-a', 'list', 'table', ...lockdownTable.split(' ')))![1]!;
      const first = handle();
      const moved = { ...plan, gateways: [{ address: parseAddress('203.0.113.7')!, port: 4500 }], devices: [] };
      await lockdown.apply(moved);
      assert.equal(handle(), first);
      const refreshed = listed();
      // Two that watch would quarrel.
      await lockdown.close();
      lockdown = openLockdown((repair) => repairs.push(repair));
      await lockdown.apply(moved);
      assert.notEqual(handle(), first);
      assert.equal(listed(), refreshed);
    });

    test('stays when nobody watches over it any more, and takes the place of a table of another version', async () => {
      await lockdown.apply(plan);
      const wanted = listed();
      await lockdown.close();
      sendOutside();
      await expectArrivals({ phys: nothing });
      execFileSync('nft', ['-f', '-'], {
        input: `delete table ${lockdownTable}\ntable ${lockdownTable} { set portal { type ipv4_addr; }\n chain output { type route hook output priority -5; policy drop; }\n }\n`,
      });
      lockdown = openLockdown((repair) => repairs.push(repair));
      await lockdown.apply(plan);
      assert.equal(listed(), wanted);
    });

    for (const [what, command] of [
      ['removes it', ['delete', 'table', ...lockdownTable.split(' ')]],
      ['flushes everything', ['flush', 'ruleset']],
      ['opens a chain', ['insert', 'rule', ...lockdownTable.split(' '), 'output', 'accept']],
      ['adds a device', ['add', 'element', ...lockdownTable.split(' '), 'tunnel_devices', '{ "phys0" }']],
    ] as const)
      test(`is put back when somebody ${what}`, async () => {
        await lockdown.apply(plan);
        const wanted = listed();
        run('nft', ...command);
        await until('it is put back', () => repairs.length > 0);
        assert.equal(repairs[0]!.failure, undefined);
        assert.equal(listed(), wanted);
        // buildWorld counts in the other namespace: nothing of it is lost.
        sendOutside();
        await expectArrivals({ phys: nothing });
      });

    test('ESP of the kernel passes by a mark that its socket has not; nobody gets out by giving a socket the mark', async () => {
      // What an SA of the kernel does to the packets that it makes: our mark, and the socket of whoever sent what is inside.
      const sa = { uid: 4711, socketMark: 0, octets: 'ESP ' };
      execFileSync('nft', ['-f', '-'], {
        input: `table inet kernel_sa { chain output { type route hook output priority -150; meta skuid ${sa.uid} meta mark set ${mark}; }\n }\n`,
      });
      try {
        const gateways = ([4, 6] as const).map((family) => ({ address: parseAddress(world.outside[family])!, port: world.port }));
        const open = { ...plan, gateways, kernelEsp: true as const };
        for (const [what, change, from, arrive] of [
          ['ESP of the kernel', open, sa, once],
          ['the marker of IKE', open, { ...sa, octets: String.raw`\0\0\0\0IKE ` }, nothing],
          ['too short for ESP', open, { ...sa, octets: 'x' }, nothing],
          ['another user without a mark', open, { ...sa, uid: 4712 }, nothing],
          ['a user who can give his socket the mark', open, { ...sa, uid: 4712, socketMark: mark }, nothing],
          ['the same on top of what the kernel does', open, { ...sa, socketMark: mark }, nothing],
          ['where the kernel sends no ESP', { ...plan, gateways }, sa, nothing],
          ['to another place', { ...open, gateways: [{ address: parseAddress('203.0.113.7')!, port: world.port }] }, sa, nothing],
        ] as const) {
          await lockdown.apply(change);
          sendTo(from);
          await expectArrivals({ phys: arrive }, what);
        }
      } finally {
        run('nft', 'delete', 'table', 'inet', 'kernel_sa');
      }
    });

    test('ESP without UDP is let in from a gateway, and from nobody else', async () => {
      const gateways = ([4, 6] as const).map((family) => ({ address: parseAddress(world.outside[family])!, port: world.port }));
      await lockdown.apply({ ...plan, gateways });
      for (const family of [4, 6] as const) {
        const raw = openRawSocket(family, constant.IPPROTO_ESP);
        try {
          const packed = (site: { readonly 4: string; readonly 6: string }): string =>
            family === 4
              ? `pack_sockaddr_in(0,inet_aton("${site[4]}"))`
              : `pack_sockaddr_in6(0,inet_pton(AF_INET6,"${site[6]}"))`;
          const send = (from: typeof world.outside | typeof world.inside, octets: string): string =>
            `socket(S,${family === 4 ? 'AF_INET' : 'AF_INET6'},SOCK_RAW,50);bind(S,${packed(from)}) or die;send(S,"${octets}",0,${packed(world.phys)}) or die;`;
          // In this order, over one wire: once the last is here, what of the others is not here does not come.
          const script = send(world.inside, 'from nobody') + send(world.outside, 'from the gateway');
          run('ip', 'netns', 'exec', 'peer', 'perl', '-MSocket=:all', '-e', script);
          const heard: string[] = [];
          const buffer = new Uint8Array(100);
          await until('the gateway is heard', () => {
            const length = libc.recvfrom(raw, libc.addressOf(buffer), buffer.length, constant.MSG_DONTWAIT, 0, 0);
            if (length > 0) heard.push(new TextDecoder().decode(buffer.subarray(family === 4 ? 20 : 0, length)));
            return heard.includes('from the gateway');
          });
          assert.deepEqual(heard, ['from the gateway'], `IPv${family}`);
        } finally {
          closeDescriptor(raw);
        }
      }
    });

    test('the hole for a portal lets one cgroup out, and the kernel closes it when nobody lives to do so', async () => {
      const root = findCgroupRoot();
      const directory = join(root.path, `aovpn-test-${process.pid}-portal`);
      mkdirSync(directory);
      try {
        const name = nftCgroupName(directory)!;
        const cgroup = { path: name, level: root.depth + 1 };
        // The echo port stands for the one of name servers.
        const resolvers = [parseAddress(world.outside[4])!, parseAddress(world.outside[6])!];
        /** Tells when the hole closes; from here on nobody watches. */
        const openFor = async (milliseconds: number): Promise<number> => {
          lockdown = openLockdown((repair) => repairs.push(repair));
          const end = Date.now() + milliseconds;
          const portal = { cgroup, until: end, ports: [], because: { profile: '', why: 'a portal' } };
          await lockdown.apply({ ...plan, resolvers, portal });
          run('nft', ...'add rule inet aovpn_lockdown names_out udp dport'.split(' '), String(world.port), 'accept');
          await lockdown.close();
          return end;
        };
        await lockdown.close();
        // For longer than the test takes, and then the same for a second.
        await openFor(600_000);
        sendOutside(directory);
        await expectArrivals({ phys: once }, 'open for the cgroup');
        sendOutside();
        await expectArrivals({ phys: nothing }, 'open for the cgroup only');
        const end = await openFor(1000);
        await until('the hole is closed', () => Date.now() > end + 1000);
        sendOutside(directory);
        await expectArrivals({ phys: nothing }, 'closed by the kernel');
        assert.deepEqual(repairs, []);
      } finally {
        rmdirSync(directory);
      }
    });

    test('a flow from before the lock ends with it, and nobody outside gets in', async () => {
      const hello = (seconds: number): string => {
        try {
          return run('ip', 'netns', 'exec', 'peer', 'ping', '-c', '1', '-W', String(seconds), world.phys[4]);
        } catch {
          return 'no answer';
        }
      };
      assert.match(hello(60), /1 received/);
      const socket = createSocket('udp4');
      const heard: string[] = [];
      socket.on('message', (message) => heard.push(message.toString()));
      await new Promise<void>((done) => socket.connect(world.port, world.outside[4], done));
      socket.on('error', () => undefined);
      socket.send('ask');
      await until('the flow is established', () => heard.length === 1);
      arrivals();
      await lockdown.apply(plan);
      socket.send('ask');
      assert.equal(hello(1), 'no answer');
      // The far end of the same flow speaks, too.
      const { port } = socket.address();
      run(
        'ip',
        'netns',
        'exec',
        'peer',
        'perl',
        '-MSocket=:all',
        '-e',
        `socket(S,AF_INET,SOCK_DGRAM,17);setsockopt(S,1,15,1);bind(S,pack_sockaddr_in(${world.port},inet_aton("${world.outside[4]}")));send(S,"late",0,pack_sockaddr_in(${port},inet_aton("${world.phys[4]}")))`,
      );
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.deepEqual([arrivals().phys[4], heard.length], [0, 1]);
      socket.close();
    });

    test('a hole for a cgroup that is gone keeps nothing else from coming into force', async () => {
      const portal = {
        cgroup: { path: 'no/such', level: 2 },
        until: Date.now() + 60_000,
        ports: [80],
        because: { profile: '', why: '' },
      };
      await lockdown.apply({ ...plan, portal });
      sendOutside();
      await expectArrivals({ phys: nothing });
    });
  });
});
