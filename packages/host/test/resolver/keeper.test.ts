import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, afterEach, before, beforeEach, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { formatAddress, parseAddress, type IpAddress } from '@aovpn/bytes';
import { emptyPlan, type Plan } from '@aovpn/policy';
import { HostError } from '../../src/host-error.ts';
import { cleanUp } from '../../src/network/clean-up.ts';
import { openNetwork, type Network } from '../../src/network/network.ts';
import { inOwnNamespace, run, sh } from '../network/namespace.ts';
import { answerTo } from './dns-sample.ts';
import { enterPlace, eventually, isUnpacked, plainFile, startNetworkManager, startResolvconf, type Keeper } from './keeper.ts';

const address = (text: string): IpAddress => parseAddress(text)!;
const resolvConf = '/etc/resolv.conf';
const stub = 'nameserver 127.0.0.96';

interface Kind {
  readonly name: 'nobody' | 'NetworkManager' | 'resolvconf';
  readonly title: string;
  readonly needs?: string;
  start(): Promise<Keeper>;
}

const kinds: readonly Kind[] = [
  { name: 'nobody', title: 'a plain file that a DHCP client writes', start: () => Promise.resolve(plainFile()) },
  { name: 'NetworkManager', title: 'NetworkManager alone', needs: 'network-manager', start: startNetworkManager },
  {
    name: 'resolvconf',
    title: 'Debian’s resolvconf',
    needs: 'resolvconf',
    start: () => Promise.resolve(startResolvconf('resolvconf')),
  },
  { name: 'resolvconf', title: 'openresolv', needs: 'openresolv', start: () => Promise.resolve(startResolvconf('openresolv')) },
];

inOwnNamespace(import.meta.url, () => {
  for (const kind of kinds) {
    const skip = kind.needs !== undefined && !isUnpacked(kind.needs) ? `not unpacked: ${kind.needs}` : false;
    suite(`resolv.conf is made by ${kind.title}`, { skip }, () => {
      let leave: () => void;
      let keeper: Keeper;
      let state: string;
      let server: Socket;
      const open: Network[] = [];
      const watches: { close(): void }[] = [];
      const openOne = (): Network => {
        const network = openNetwork({ resolvConf, stateDirectory: state });
        open.push(network);
        return network;
      };
      const text = (): string => readFileSync(resolvConf, 'utf8');
      const nameservers = (): readonly string[] =>
        text()
          .split('\n')
          .filter((line) => line.startsWith('nameserver '));
      const shape = (): unknown => [lstatSync(resolvConf).isSymbolicLink() ? readlinkSync(resolvConf) : 'file', text()];
      const planFor = async (network: Network): Promise<Plan> => {
        const { servers, search } = (await network.networkFacts()).resolver;
        const because = { profile: 'Corp', why: 'test' };
        return {
          ...emptyPlan,
          dns: {
            ...emptyPlan.dns,
            rules: [{ name: '.corp.example', servers: [address('127.0.0.21')], profile: 'Corp', because, instead: [] }],
            search: [{ domain: 'corp.example', because }],
            physical: servers,
            physicalSearch: search,
          },
        };
      };
      /** As programs do: through the C library. */
      const lookUp = async (name: string): Promise<string> => {
        const child = spawn('getent', ['ahostsv4', name], { stdio: ['ignore', 'pipe', 'ignore'] });
        let output = '';
        child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
        await once(child, 'close');
        return output.split(/\s/, 1)[0]!;
      };

      before(async () => {
        leave = enterPlace();
        state = mkdtempSync(join(tmpdir(), 'keeper-'));
        keeper = await kind.start();
        server = createSocket('udp4');
        server.on('message', (message, from) => {
          // The question alone, without an OPT record behind it.
          let end = 12;
          while (message[end]) end += message[end]! + 1;
          const question = Uint8Array.from(message.subarray(0, end + 5));
          question.fill(0, 6, 12);
          server.send(answerTo(question, [10, 0, 0, 80]), from.port, from.address);
        });
        server.bind(53, '127.0.0.21');
        await once(server, 'listening');
      });
      beforeEach(async () => {
        await keeper.renew('192.168.7.53', 'home.example');
        await eventually('the first state', () => nameservers().join() === 'nameserver 192.168.7.53');
      });
      afterEach(async () => {
        for (const watch of watches.splice(0)) watch.close();
        for (const network of open.splice(0)) await network.close();
      });
      after(async () => {
        server.close();
        await keeper.stop();
        leave();
        rmSync(state, { recursive: true });
      });

      test('it is found out, and the trace says so', async () => {
        const { owner, keeper: found, trace, servers, search } = (await openOne().networkFacts()).resolver;
        assert.deepEqual([owner, found], ['stub', kind.name]);
        assert.match(trace.at(-2)!, kind.name === 'nobody' ? /nobody is known/ : new RegExp(kind.name));
        assert.deepEqual([servers.map(formatAddress), search], [['192.168.7.53'], ['home.example']]);
      });

      test('rules in force: programs ask our stub alone, short names included; afterwards all is as before', async () => {
        const before = shape();
        const network = openOne();
        const plan = await planFor(network);
        await network.applyPlan(plan);
        assert.deepEqual(nameservers(), [stub]);
        assert.match(text(), /^search corp\.example home\.example$/m);
        assert.equal(await lookUp('web.corp.example'), '10.0.0.80');
        assert.equal(await lookUp('web'), '10.0.0.80');
        assert.deepEqual((await network.applyPlan(plan)).resolver.done, []);
        await network.applyPlan(emptyPlan);
        await eventually('the old state', () => JSON.stringify(shape()) === JSON.stringify(before));
        assert.equal(existsSync('/run/NetworkManager/conf.d/90-aovpn.conf'), false);
      });

      test('the network changes under us: our stub stays in place, or comes back at once, and learns the new servers', async () => {
        const network = openOne();
        await network.applyPlan(await planFor(network));
        let changes = 0;
        let turn = Promise.resolve();
        const watch = network.watchNetwork(({ kinds: what }) => {
          if (!what.includes('resolver')) return;
          changes++;
          turn = turn.then(async () => void (await network.applyPlan(await planFor(network))));
        });
        watches.push(watch);
        await keeper.renew('192.168.7.99', 'away.example');
        // Whoever makes room for us never takes it back, not even for a moment.
        if (kind.name !== 'nobody') assert.deepEqual(nameservers(), [stub]);
        await eventually('noticed', () => changes > 0);
        let servers: readonly string[] = [];
        for (const end = performance.now() + 60_000; !servers.includes('192.168.7.99') && performance.now() < end;) {
          await new Promise((resolve) => setTimeout(resolve, 50));
          await turn;
          servers = (await network.networkFacts()).resolver.servers.map(formatAddress);
        }
        assert.deepEqual(servers, ['192.168.7.99']);
        await turn;
        assert.deepEqual(nameservers(), [stub]);
        assert.match(text(), /^search corp\.example away\.example$/m);
        for (const one of watches.splice(0)) one.close();
        await network.applyPlan(emptyPlan);
        await eventually('the new state', () => nameservers().join() === 'nameserver 192.168.7.99');
        assert.doesNotMatch(text(), /corp\.example/);
      });

      test('killed with rules in force, and the network changed since: the clean-up leaves what its maker wants now', async () => {
        const program = fileURLToPath(new URL('./hold-names.ts', import.meta.url));
        const child = spawn(process.execPath, [program, resolvConf, state], { stdio: ['ignore', 'pipe', 'inherit'] });
        await once(child.stdout, 'data');
        assert.deepEqual(nameservers(), [stub]);
        child.kill('SIGKILL');
        await once(child, 'close');
        if (kind.name !== 'nobody') await keeper.renew('192.168.7.77', 'later.example');
        const { problems, resolver } = await cleanUp({ resolvConf, stateDirectory: state });
        assert.deepEqual([problems, resolver], [[], 'restored']);
        const wanted = kind.name === 'nobody' ? '192.168.7.53' : '192.168.7.77';
        await eventually('healed', () => nameservers().join() === `nameserver ${wanted}`);
        assert.doesNotMatch(text(), /corp\.example|aovpn/);
        assert.equal((await cleanUp({ resolvConf, stateDirectory: state })).resolver, 'nothing');
      });

      if (kind.title === 'Debian’s resolvconf') {
        test('a local resolver that resolvconf lists before us: then the place itself is taken, and the link comes back', async () => {
          const before = shape();
          await keeper.renewAs?.('lo.dnsmasq', '127.0.0.1');
          const network = openOne();
          const report = await network.applyPlan(await planFor(network));
          assert.ok(
            report.resolver.done.some((line) => /lists others before/.test(line)),
            report.resolver.done.join('\n'),
          );
          assert.deepEqual(nameservers(), [stub]);
          assert.equal(lstatSync(resolvConf).isSymbolicLink(), false);
          await network.applyPlan(emptyPlan);
          assert.deepEqual(nameservers(), ['nameserver 127.0.0.1']);
          // Scripts of other packages may fail; that is theirs.
          run('sh', '-c', 'resolvconf -d lo.dnsmasq || true');
          assert.deepEqual(shape(), before);
        });
      }

      test('killed, and the next start heals it', async () => {
        const program = fileURLToPath(new URL('./hold-names.ts', import.meta.url));
        const child = spawn(process.execPath, [program, resolvConf, state], { stdio: ['ignore', 'pipe', 'inherit'] });
        await once(child.stdout, 'data');
        child.kill('SIGKILL');
        await once(child, 'close');
        const network = openOne();
        // The servers from before, not our own address.
        assert.deepEqual((await network.networkFacts()).resolver.servers.map(formatAddress), ['192.168.7.53']);
        await network.applyPlan(await planFor(network));
        assert.deepEqual(nameservers(), [stub]);
        await network.cleanUp();
        await eventually('healed', () => nameservers().join() === 'nameserver 192.168.7.53');
      });
    });
  }

  suite('an /etc that takes nothing', () => {
    let leave: () => void;
    let state: string;
    let network: Network;
    const original = 'nameserver 192.168.7.53\n';
    const because = { profile: 'Corp', why: 'test' };
    const plan: Plan = {
      ...emptyPlan,
      rules: [{ family: 4, priority: 7220, action: { kind: 'lookup', table: 7296 }, because }],
      dns: {
        ...emptyPlan.dns,
        rules: [{ name: '.corp.example', servers: [address('127.0.0.21')], profile: 'Corp', because, instead: [] }],
      },
    };
    const refused = async (): Promise<void> => {
      const before = sh('ip rule');
      await assert.rejects(network.applyPlan(plan), (error) => error instanceof HostError && error.code === 'AOV-HOST-311');
      assert.equal(sh('ip rule'), before, 'the routes of the same plan are taken back');
      assert.equal(network.stubCounts(), undefined, 'our stub does not listen');
    };
    before(() => {
      leave = enterPlace();
      state = mkdtempSync(join(tmpdir(), 'keeper-'));
      mkdirSync('/mnt/small', { recursive: true });
      sh('mount -t tmpfs -o size=64k tmpfs /mnt/small');
      writeFileSync('/mnt/small/resolv.conf', original);
      network = openNetwork({ resolvConf: '/mnt/small/resolv.conf', stateDirectory: state });
    });
    after(async () => {
      await network.close();
      sh('umount -l /mnt/small');
      leave();
      rmSync(state, { recursive: true });
    });

    const fill = (): void => void run('sh', '-c', 'dd if=/dev/zero of=/mnt/small/filler bs=4096 count=100 2>/dev/null || true');

    test('full, without room even in the file itself: nothing is in force, nothing is lost, and with room again it works', async () => {
      writeFileSync('/mnt/small/resolv.conf', '');
      fill();
      await refused();
      assert.equal(readFileSync('/mnt/small/resolv.conf', 'utf8'), '');
      rmSync('/mnt/small/filler');
      writeFileSync('/mnt/small/resolv.conf', original);
      await network.applyPlan(plan);
      assert.match(readFileSync('/mnt/small/resolv.conf', 'utf8'), /127\.0\.0\.96/);
      await network.applyPlan(emptyPlan);
      assert.equal(readFileSync('/mnt/small/resolv.conf', 'utf8'), original);
    });

    test('full: the room that the file has is enough, to and fro', async () => {
      fill();
      await network.applyPlan(plan);
      assert.match(readFileSync('/mnt/small/resolv.conf', 'utf8'), /127\.0\.0\.96/);
      await network.applyPlan(emptyPlan);
      assert.equal(readFileSync('/mnt/small/resolv.conf', 'utf8'), original);
      rmSync('/mnt/small/filler');
    });

    test('read only: the same, also where it is a link to something that can be written, which stays as it is', async () => {
      sh('mount -o remount,ro /mnt/small');
      await refused();
      assert.equal(readFileSync('/mnt/small/resolv.conf', 'utf8'), original);
      sh('mount -o remount,rw /mnt/small');
      rmSync('/mnt/small/resolv.conf');
      writeFileSync('/mnt/made', original);
      run('ln', '-s', '/mnt/made', '/mnt/small/resolv.conf');
      sh('mount -o remount,ro /mnt/small');
      await refused();
      assert.equal(readFileSync('/mnt/made', 'utf8'), original);
      sh('mount -o remount,rw /mnt/small');
    });
  });
});
