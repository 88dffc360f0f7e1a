import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { createServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { parseAddress, type IpAddress } from '@aovpn/bytes';
import { emptyPlan, type DnsRule, type Plan } from '@aovpn/policy';
import { cleanUp } from '../../src/network/clean-up.ts';
import { openNetwork, type Network } from '../../src/network/network.ts';
import { frame, FrameReader } from '../../src/resolver/message-frames.ts';
import { inOwnNamespace, run, sh } from '../network/namespace.ts';
import { authority, server as forServer, TestPki } from '../trust/test-pki.ts';
import { answerTo } from './dns-sample.ts';

/** Debian's package, installed or merely unpacked: installing it would take this machine's resolv.conf. */
const unpacked = fileURLToPath(
  new URL('../../../../.build/debian/systemd-resolved/lib/systemd/systemd-resolved', import.meta.url),
);
const program = ['/lib/systemd/systemd-resolved', unpacked].find(existsSync);
const missing = ['dbus-daemon', 'busctl', 'dig'].filter(
  (name) => !['/usr/bin', '/bin', '/usr/sbin', '/sbin'].some((place) => existsSync(join(place, name))),
);

function address(text: string): IpAddress {
  return parseAddress(text)!;
}

if (program === undefined || missing.length > 0) {
  test(
    'name rules in a real systemd-resolved',
    { skip: `not on this machine: ${[...(program === undefined ? ['systemd-resolved'] : []), ...missing].join(', ')}` },
    () => undefined,
  );
} else {
  inOwnNamespace(import.meta.url, () => {
    const place = mkdtempSync(join(tmpdir(), 'pol-resolved-'));
    const user = 64_096;
    const daemons: ChildProcess[] = [];
    const servers: Socket[] = [];
    let network: Network;

    /** A DNS server on an address: every name has the same address there. */
    async function serve(ip: string, last: number): Promise<void> {
      const socket = createSocket('udp4');
      socket.on('message', (message, from) => {
        const question = Uint8Array.from(message);
        // Only the question; an OPT record behind it is dropped, as an old server would.
        let end = 12;
        while (question[end] !== 0) end += question[end]! + 1;
        const plain = question.slice(0, end + 5);
        plain.fill(0, 6, 12);
        socket.send(answerTo(plain, [10, 0, 0, last]), from.port, from.address);
      });
      socket.bind(53, ip);
      await once(socket, 'listening');
      servers.push(socket);
    }
    async function resolve(name: string): Promise<string> {
      const child = spawn('dig', ['+short', '+tries=3', '+time=20', '@127.0.0.53', name], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
      await once(child, 'close');
      return output.trim();
    }
    const rule = (name: string, ips: readonly string[], device?: string): DnsRule => ({
      name,
      servers: ips.map(address),
      profile: 'Corp',
      ...(device === undefined ? {} : { device }),
      because: { profile: 'Corp', why: 'test' },
      instead: [],
    });
    const plan = (rules: readonly DnsRule[], search: Plan['dns']['search'] = []): Plan => ({
      ...emptyPlan,
      dns: { ...emptyPlan.dns, resolver: 'systemd-resolved', rules, search, physical: [address('192.168.7.1')] },
    });

    suite('name rules in a real systemd-resolved', () => {
      before(async () => {
        sh('mount -t tmpfs tmpfs /run');
        mkdirSync('/run/dbus');
        mkdirSync('/run/systemd/resolve', { recursive: true });
        for (const file of ['passwd', 'group'] as const) {
          const copy = join(place, file);
          const line =
            file === 'passwd' ? `systemd-resolve:x:${user}:${user}::/:/usr/sbin/nologin` : `systemd-resolve:x:${user}:`;
          writeFileSync(copy, `${readFileSync(`/etc/${file}`, 'utf8').replace(/^systemd-resolve:.*\n/m, '')}${line}\n`);
          run('mount', '--bind', copy, `/etc/${file}`);
        }
        // Otherwise the daemon takes this machine's servers for its own.
        const named = join(place, 'etc-resolv.conf');
        writeFileSync(named, 'nameserver 127.0.0.53\n');
        run('mount', '--bind', named, '/etc/resolv.conf');
        chownSync('/run/systemd/resolve', user, user);
        chmodSync('/run/systemd/resolve', 0o755);
        const bus = join(place, 'bus.conf');
        writeFileSync(
          bus,
          '<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/><allow send_type="method_return"/><allow send_type="error"/><allow receive_type="method_call"/><allow receive_type="signal"/><allow receive_type="method_return"/><allow receive_type="error"/></policy></busconfig>',
        );
        sh('ip link add phys0 type veth peer name phys1');
        sh('ip link set phys0 up');
        sh('ip link set phys1 up');
        sh('ip address add 192.168.7.2/24 dev phys0');
        sh('ip address add 192.168.7.1/32 dev lo');
        sh('ip link add aov0 type veth peer name peer0');
        sh('ip link set peer0 up');
        sh('ip link set aov0 up');
        sh('ip address add 10.9.0.2/32 dev aov0');
        daemons.push(spawn('dbus-daemon', ['--nofork', `--config-file=${bus}`], { stdio: 'ignore' }));
        await eventually(() => existsSync('/run/dbus/system_bus_socket'));
        daemons.push(spawn(program, [], { stdio: 'ignore' }));
        await eventually(() =>
          run(
            'busctl',
            'call',
            'org.freedesktop.DBus',
            '/org/freedesktop/DBus',
            'org.freedesktop.DBus',
            'NameHasOwner',
            's',
            'org.freedesktop.resolve1',
          ).includes('true'),
        );
        const resolvConf = join(place, 'resolv.conf');
        symlinkSync('/run/systemd/resolve/stub-resolv.conf', resolvConf);
        network = openNetwork({ resolvConf, stateDirectory: join(place, 'state'), runDirectory: join(place, 'run') });
        // What a DHCP client would tell.
        const index = String((JSON.parse(sh('ip -json link show phys0')) as { ifindex: number }[])[0]!.ifindex);
        run(
          'busctl',
          'call',
          'org.freedesktop.resolve1',
          '/org/freedesktop/resolve1',
          'org.freedesktop.resolve1.Manager',
          'SetLinkDNS',
          'ia(iay)',
          index,
          '1',
          '2',
          '4',
          '127',
          '0',
          '0',
          '31',
        );
        await serve('127.0.0.31', 31);
        await serve('127.0.0.32', 32);
        await serve('127.0.0.33', 33);
      });
      after(async () => {
        await network.close();
        for (const socket of servers) socket.close();
        for (const daemon of daemons.reverse()) {
          daemon.kill();
          await once(daemon, 'close');
        }
        sh('umount /run');
        for (const file of ['passwd', 'group', 'resolv.conf']) sh(`umount /etc/${file}`);
        rmSync(place, { recursive: true });
      });

      test('it is found to own the resolver, with the servers of the physical link', async () => {
        const { owner, trace, servers: physical } = (await network.networkFacts()).resolver;
        assert.equal(owner, 'systemd-resolved');
        assert.equal(trace.at(-1), 'programs ask systemd-resolved: our name rules go there');
        assert.deepEqual(physical, [address('127.0.0.31')]);
        assert.equal(await resolve('www.example.org'), '10.0.0.31');
      });

      test('one list of servers: told about the tunnel’s own link, and only once', async () => {
        const because = { profile: 'Corp', why: 'test' };
        const wanted = plan(
          [rule('.corp.example', ['127.0.0.32'], 'aov0')],
          [{ domain: 'corp.example', device: 'aov0', because }],
        );
        const { resolver } = await network.applyPlan(wanted);
        assert.equal(resolver.stub, false);
        assert.deepEqual((await network.applyPlan(wanted)).resolver.done, []);
        assert.equal(await resolve('web.corp.example'), '10.0.0.32');
        assert.equal(await resolve('www.example.com'), '10.0.0.31');
      });

      test('encrypted servers: names go to our stub, and from there by TLS alone', async () => {
        using pki = new TestPki();
        const root = pki.issue('Corp Root', { extensions: authority });
        const name = 'dns.corp.example';
        const { pem, key } = pki.issue(name, { issuer: root, extensions: [...forServer, `subjectAltName=DNS:${name}`] });
        let asked = 0;
        const server = createServer({ cert: pem, key }, (socket) => {
          const reader = new FrameReader();
          socket.on('error', () => {});
          socket.on('data', (chunk) => {
            reader.push(chunk, (question) => {
              asked++;
              let end = 12;
              while (question[end] !== 0) end += question[end]! + 1;
              const plain = question.slice(0, end + 5);
              plain.fill(0, 6, 12);
              socket.write(frame(answerTo(plain, [10, 0, 0, 53])));
              return true;
            });
          });
        });
        await once(server.listen(853, '127.0.0.32'), 'listening');
        const encrypted = [
          { address: address('127.0.0.32'), port: 853, name, proof: { kind: 'authorities', pem: root.pem } as const },
        ];
        const { resolver } = await network.applyPlan(plan([{ ...rule('.corp.example', ['127.0.0.32'], 'aov0'), encrypted }]));
        assert.equal(resolver.stub, true);
        assert.equal(await resolve('secret.corp.example'), '10.0.0.53');
        assert.ok(asked > 0);
        assert.equal(network.encryptedResolvers()[0]?.state, 'proven');
        assert.equal(await resolve('www.example.edu'), '10.0.0.31');
        server.close();
      });

      test('all names', async () => {
        await network.applyPlan(plan([rule('.', ['127.0.0.32'], 'aov0')]));
        assert.equal(await resolve('all.example.net'), '10.0.0.32');
      });

      test('exemptions and several lists of servers: through our stub', async () => {
        const wanted: Plan = plan([
          rule('.corp.example', ['127.0.0.32'], 'aov0'),
          rule('.lab.example', ['127.0.0.33'], 'aov0'),
          rule('vpn.corp.example', [], 'aov0'),
        ]);
        const report = await network.applyPlan({ ...wanted, dns: { ...wanted.dns, physical: [address('127.0.0.31')] } });
        assert.equal(report.resolver.stub, true);
        assert.equal(await resolve('db.corp.example'), '10.0.0.32');
        assert.equal(await resolve('db.lab.example'), '10.0.0.33');
        assert.equal(await resolve('vpn.corp.example'), '10.0.0.31');
        assert.equal(await resolve('other.example.org'), '10.0.0.31');
        assert.deepEqual((await network.networkFacts()).resolver.servers, [address('127.0.0.31')]);
      });

      test('a rule for one exact name leaves names below it where they were', async () => {
        const wanted = plan([rule('host.corp.example', ['127.0.0.32'], 'aov0')]);
        await network.applyPlan({ ...wanted, dns: { ...wanted.dns, physical: [address('127.0.0.31')] } });
        assert.equal(await resolve('host.corp.example'), '10.0.0.32');
        assert.equal(await resolve('below.host.corp.example'), '10.0.0.31');
      });

      test('a persistent rule needs no tunnel', async () => {
        await network.applyPlan(plan([rule('.corp.example', ['127.0.0.33'])]));
        assert.equal(await resolve('persistent.corp.example'), '10.0.0.33');
      });

      test('a question that brings a tunnel up waits in the stub, and is answered by the rules that follow, whichever they are', async () => {
        const down: DnsRule = { ...rule('.corp.example', ['127.0.0.32']), trigger: { kind: 'wait', why: 'test' } };
        const up: DnsRule = { ...rule('.corp.example', ['127.0.0.32'], 'aov0'), trigger: { kind: 'up', why: 'test' } };
        const physical = [address('127.0.0.31')];
        const inForce = async (rules: readonly DnsRule[], search: Plan['dns']['search'] = []): Promise<void> => {
          const wanted = plan(rules, search);
          await network.applyPlan({ ...wanted, dns: { ...wanted.dns, physical } });
        };
        const asked: string[] = [];
        let onAsked: () => void = () => {};
        const watch = network.watchTriggers((profile, name) => {
          asked.push(`${profile} ${name}`);
          onAsked();
        });
        /** A question, up to where it waits. */
        const begin = async (name: string): Promise<{ readonly answer: Promise<string> }> => {
          const waits = new Promise<void>((done) => (onAsked = done));
          const answer = resolve(name);
          await waits;
          return { answer };
        };
        try {
          await inForce([down]);
          const inside = await begin('first.corp.example');
          assert.equal(await resolve('www.example.org'), '10.0.0.31', 'others do not wait');
          const because = { profile: 'Corp', why: 'test' };
          await inForce([up], [{ domain: 'corp.example', device: 'aov0', because }]);
          assert.equal(await inside.answer, '10.0.0.32');
          assert.equal(await resolve('second.corp.example'), '10.0.0.32');
          assert.deepEqual(new Set(asked), new Set(['Corp .corp.example']));
          await inForce([down]);
          const outside = await begin('third.corp.example');
          await inForce([]);
          assert.equal(await outside.answer, '10.0.0.31', 'the network turned out to be trusted');
          assert.doesNotMatch(sh('ip link'), /aovdns/);
        } finally {
          watch.close();
        }
      });

      test('an empty plan leaves nothing behind', async () => {
        await network.applyPlan(plan([rule('.corp.example', ['127.0.0.32'], 'aov0')]));
        await network.applyPlan(emptyPlan);
        assert.equal(await resolve('gone.corp.example'), '10.0.0.31');
        const known = run(
          'busctl',
          '--json=short',
          'get-property',
          'org.freedesktop.resolve1',
          '/org/freedesktop/resolve1',
          'org.freedesktop.resolve1.Manager',
          'DNS',
          'Domains',
        );
        assert.equal((JSON.parse(known.split('\n')[0]!) as { data: unknown[] }).data.length, 1);
        assert.equal((JSON.parse(known.split('\n')[1]!) as { data: unknown[] }).data.length, 0);
        assert.doesNotMatch(sh('ip link'), /aovdns/);
      });

      test('after a crash the clean-up of devices is enough', async () => {
        const orphan = openNetwork({
          resolvConf: join(place, 'resolv.conf'),
          stateDirectory: join(place, 'state'),
          runDirectory: join(place, 'run'),
        });
        const wanted = plan([rule('.corp.example', ['127.0.0.32'], 'aov0'), rule('vpn.corp.example', [], 'aov0')]);
        await orphan.applyPlan(wanted);
        // The crash: nothing of `orphan` runs any more that could give anything back.
        const report = await cleanUp({
          resolvConf: join(place, 'resolv.conf'),
          stateDirectory: join(place, 'state'),
          runDirectory: join(place, 'run'),
        });
        assert.deepEqual(report.problems, []);
        assert.ok(report.devices.includes('aovdns'));
        assert.equal(await resolve('crashed.corp.example'), '10.0.0.31');
        await orphan.close();
      });
    });
  });
}

async function eventually(probe: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      if (probe()) return;
    } catch {
      // Not yet.
    }
    if (Date.now() > deadline) throw new Error('it never came up');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
