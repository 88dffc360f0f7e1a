// LockDown: nothing leaves the physical link but what it takes to reach the gateway, in every state and on every way from one to the next.
import assert from 'node:assert/strict';
import { unlinkSync } from 'node:fs';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Capture } from '../../../lab/capture.ts';
import { canary, network, publicCanary } from '../../../lab/network.ts';
import type { WirePacket } from '../../../lab/pcap.ts';
import { type Product, installed } from '../../../lab/product.ts';
import { deviceProfile } from '../../../lab/profile-xml.ts';
import type { Credentials } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';
import { World } from '../../../lab/world.ts';
import { attemptsOf, leak, leaks, physicalLink, seen } from './leaker.ts';

const name = 'locked';
const xml = deviceProfile({ routing: 'ForceTunnel', extra: '<LockDown>true</LockDown>' }).replace(
  '  <DeviceTunnel>true</DeviceTunnel>\n',
  '',
);
const file = `/etc/aovpn/profiles.d/${name}.xml`;
const aovpnd = installed('aovpnd');
const box = ['ip', 'netns', 'exec', 'box'];

suite('net/lockdown', () => {
  let world: World;
  let product: Product;
  let credentials: Credentials;
  let mac: Buffer;
  let capture: Capture;
  /** Packets of captures that are over; the last test counts them. */
  let watched = 0;

  before(async () => {
    world = await World.create();
    const { client, pki } = world;
    product = world.product();
    const issued = pki.machine();
    credentials = { certificatePem: issued.chainPem, keyPem: issued.keyPem, gatewayCaPem: pki.root.certificatePem };
    await world.startGateway();
    mac = (await physicalLink(client)).mac;
    // What makes a machine most talkative: users may ping and take low ports, containers are routed.
    await client.exec([
      'sh',
      '-c',
      'cd /proc/sys/net && echo "0 2147483647" >ipv4/ping_group_range && echo 0 >ipv4/ip_unprivileged_port_start && echo 1 >ipv4/ip_forward && echo 1 >ipv6/conf/all/forwarding',
    ]);
    await client.exec(['sh', '-ec', 'ip netns add box; ip link add box0 type veth peer name eth0 netns box']);
    await client.ip('addr add 172.30.0.1/24 dev box0', '-6 addr add fd72::1/64 dev box0 nodad', 'link set box0 up');
    for (const line of [
      'link set lo up',
      'addr add 172.30.0.2/24 dev eth0',
      '-6 addr add fd72::2/64 dev eth0 nodad',
      'link set eth0 up',
      'route add default via 172.30.0.1',
      '-6 route add default via fd72::1',
    ])
      await client.exec(['ip', '-n', 'box', ...line.split(' ')]);
    await client.exec(['nft', '-f', '-'], {
      input: `table inet containers { chain postrouting { type nat hook postrouting priority 100; ip saddr 172.30.0.0/24 oifname "${network.client.device}" masquerade; }; }\n`,
    });
  });
  after(async () => {
    await world?.close();
  });

  /** What may be tried from a container: it has another device and other addresses. */
  const fromBox = new Set(['udp4', 'udp6', 'tcp4', 'tcp6', 'fragments4', 'name4', 'name6']);

  const begin = async (): Promise<void> => {
    capture = await world.capture();
  };
  /** Ends the capture; fails when anything left that should not have. */
  const end = async (): Promise<readonly WirePacket[]> => {
    const packets = await capture.stop();
    watched += packets.length;
    assert.deepEqual(leaks(packets, mac), []);
    return packets;
  };
  /** Tries everything, as a user, as root and from a container, while the machine is as it is; nothing of it may leave. */
  const tryAll = async (): Promise<void> => {
    for (const who of ['nobody', 'root'] as const) {
      const token = await leak(world.client, who);
      const packets = await capture.packets();
      assert.deepEqual(
        seen(packets, token, mac).filter((attempt) => !shapes.has(attempt)),
        [],
        who,
      );
    }
    const token = await leak(world.client, 'nobody', box);
    assert.deepEqual(
      seen(await capture.packets(), token, mac).filter((attempt) => fromBox.has(attempt)),
      [],
      'container',
    );
  };
  /** Known by their shape, which other rounds share: the whole capture is judged for these. */
  const shapes = new Set(['link-local6']);

  const start = async (): Promise<void> => {
    await product.start();
    await product.waitForState(name, 'up');
  };
  const failing = async (args: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await product.aovpn(args);
    assert.notEqual(status, 0, `${args.join(' ')}: ${stdout}`);
    return stdout + stderr;
  };

  test('positive control: without LockDown the capture shows every one of these attempts', async () => {
    await begin();
    const all = attemptsOf('nobody');
    const missing = { nobody: new Set(all), root: new Set(attemptsOf('root')), container: new Set(fromBox) };
    // A busy machine may lose a packet of a capture; not the same one each time.
    for (let round = 0; round < 5 && Object.values(missing).some(({ size }) => size > 0); round++) {
      const tokens = {
        nobody: await leak(world.client, 'nobody'),
        root: await leak(world.client, 'root'),
        container: await leak(world.client, 'nobody', box),
      };
      await sleep(500);
      const captured = await capture.packets();
      for (const who of ['nobody', 'root', 'container'] as const)
        for (const attempt of seen(captured, tokens[who], mac)) missing[who].delete(attempt);
    }
    // Without privilege there is no mark, but the datagram goes all the same.
    assert.deepEqual(missing, { nobody: new Set(), root: new Set(), container: new Set() });
    const packets = await capture.stop();
    assert.ok(leaks(packets, mac).length > all.length, 'and what judges it calls them leaks');
  });

  test('from before the network starts: the early unit needs neither network nor daemon', async () => {
    const { client } = world;
    client.write(file, xml);
    client.write(`/etc/aovpn/profiles.d/${name}.pem`, credentials.certificatePem!, 0o600);
    client.write(`/etc/aovpn/profiles.d/${name}.key`, credentials.keyPem!, 0o600);
    client.write(`/etc/aovpn/profiles.d/${name}.ca.pem`, credentials.gatewayCaPem!);
    await world.plug(false);
    const said = await client.run([...aovpnd, '--block']);
    assert.equal(said.status, 0, said.stderr);
    assert.match(said.stderr, /LockDown is in force: profile "locked" line 4/);
    await begin();
    await world.plug(true);
    await tryAll();
    assert.match(
      await failing(['status']),
      /not running[^]*All traffic of this machine is blocked, and stays so without the daemon: profile "locked" line 4/,
    );
    const packets = await end();
    assert.ok(
      packets.some(({ protocol }) => protocol === 'arp' || protocol === 58),
      'neighbours are still found',
    );
  });

  test('it connects by itself: nothing but questions for the name of the gateway, IKE and ESP', async () => {
    await begin();
    await start();
    const page = await world.application.fetch(`http://${network.corp.web}/`);
    assert.match(page.body, new RegExp(canary));
    assert.match(
      (await world.application.fetch(`http://${network.internet.web4}/`)).body,
      new RegExp(publicCanary),
      'the internet, through the tunnel',
    );
    await tryAll();
    const packets = await end();
    assert.ok(
      packets.some(({ destinationPort, destination }) => destinationPort === 53 && destination === network.internet.dns4),
      'the name of the gateway was asked for',
    );
    const status = await product.status();
    assert.deepEqual([status.lockdown?.state, status.lockdown?.traffic], ['engaged', 'through-tunnel']);
    assert.match(
      (await product.aovpn(['status'])).stdout,
      /LockDown: nothing leaves this machine but through the tunnel\n.*because.*profile "locked" line 4/,
    );
  });

  test('nobody puts it down or removes it, and the refusal names the way out', async () => {
    assert.match(await failing(['down', name]), /AOV-DAEMON-540[^]*aovpn lockdown release/);
    assert.match(await failing(['profile', 'remove', name]), /AOV-DAEMON-541[^]*aovpn lockdown release/);
    assert.match(await failing(['lockdown', 'release', name]), /--yes/);
    // Nor does the early unit when it runs again: what the daemon has opened for its tunnel stays.
    const again = await world.client.run([...aovpnd, '--block']);
    assert.deepEqual([again.status, /a daemon runs/.test(again.stderr)], [0, true], again.stderr);
    assert.equal((await product.connection(name))?.state, 'up');
  });

  /** A stream of datagrams of somebody without privilege to the internet, on and on: it would find any instant that is open. */
  const stream = (): { stop(): Promise<unknown> } =>
    world.client.spawn(
      [
        'setpriv',
        '--reuid=65534',
        '--regid=65534',
        '--clear-groups',
        'perl',
        '-MSocket=:all',
        '-e',
        `socket(A,AF_INET,SOCK_DGRAM,17);socket(B,AF_INET6,SOCK_DGRAM,17);while(1){send(A,"stream-leak",0,pack_sockaddr_in(4999,inet_pton(AF_INET,"${network.internet.web4}")));send(B,"stream-leak",0,pack_sockaddr_in6(4999,inet_pton(AF_INET6,"${network.internet.web6}")));select(undef,undef,undef,0.0005)}`,
      ],
      { name: 'stream' },
    );

  test('killed, and started again', async () => {
    await begin();
    const running = stream();
    await product.kill();
    await tryAll();
    await start();
    await running.stop();
    await end();
  });

  test('stopped in good order, cleaned up, and started again', async () => {
    await begin();
    const running = stream();
    await product.stop();
    const { stderr } = await world.client.run([...aovpnd, '--clean-up']);
    assert.match(stderr, /LockDown stays in force/);
    await tryAll();
    await start();
    await running.stop();
    await end();
  });

  test('upgraded: the lock of another version gives way to ours without an instant in between', async () => {
    await product.stop();
    await world.client.exec(['nft', '-f', '-'], {
      input: `delete table inet aovpn_lockdown
table inet aovpn_lockdown {
  set portal { type ipv4_addr; }
  chain output { type filter hook output priority -5; policy drop; oifname "lo" accept; counter drop; }
  chain forward { type filter hook forward priority -5; policy drop; }
}\n`,
    });
    await begin();
    const running = stream();
    await tryAll();
    await start();
    await tryAll();
    await running.stop();
    await end();
    assert.match(await world.client.exec(['nft', 'list', 'table', 'inet', 'aovpn_lockdown']), /chain own_out/);
  });

  test('while the gateway is gone, and the machine says so', async () => {
    await begin();
    const running = stream();
    await world.gateway.kill();
    await product.waitFor(name, 'in doubt', ({ state }) => state !== 'up');
    await tryAll();
    const { lockdown } = await product.status();
    assert.equal(lockdown?.traffic, 'blocked');
    assert.match(lockdown?.text ?? '', /All traffic of this machine is blocked until the tunnel is up: profile "locked" line 4/);
    assert.equal((await product.connection(name))?.lockdown?.blocked, true);
    assert.match(
      (await product.aovpn(['status'])).stdout,
      /LockDown: all traffic of this machine is blocked until the tunnel is up/,
    );
    assert.match(await failing(['profile', 'show', 'other']), /AOV-DAEMON-512[^]*All traffic of this machine is blocked/);
    assert.match((await product.aovpn(['doctor'])).stdout, /lockdown: All traffic of this machine is blocked/);
    await world.gateway.start();
    await product.waitForState(name, 'up');
    await running.stop();
    await end();
  });

  test('another network, and the cable out and in', async () => {
    await begin();
    const running = stream();
    await world.moveClient('away', 'break-before-make');
    await tryAll();
    await product.waitForState(name, 'up');
    await world.moveClient('home');
    await product.waitForState(name, 'up');
    await world.plug(false);
    await product.waitFor(name, 'in doubt', ({ state }) => state !== 'up');
    await world.plug(true);
    await tryAll();
    await product.waitForState(name, 'up');
    await running.stop();
    await end();
  });

  test('asleep: a daemon that stands still while the link comes and goes', async () => {
    await begin();
    const running = stream();
    await product.daemon.signal('SIGSTOP');
    await world.plug(false);
    await sleep(500);
    await world.plug(true);
    await tryAll();
    await product.daemon.signal('SIGCONT');
    await product.waitForState(name, 'up');
    await running.stop();
    await end();
  });

  test('a profile that is broken, and one that is gone, change nothing, also over a restart', async () => {
    const { client } = world;
    await begin();
    const running = stream();
    client.write(file, xml.slice(0, 200));
    await product.kill();
    await start();
    assert.equal((await product.status()).profiles[0]?.state, 'kept');
    unlinkSync(client.file(file));
    await product.kill();
    const { status, stderr } = await client.run([...aovpnd, '--block']);
    assert.equal(status, 0, stderr);
    await start();
    assert.match((await product.status()).profiles[0]!.diagnostics[0]!.code, /AOV-DAEMON-542/);
    await tryAll();
    client.write(file, xml);
    await product.waitFor(name, 'back', () => true);
    await running.stop();
    await end();
  });

  test('settings that nobody can read keep the daemon from starting, and the lock shut', async () => {
    await product.kill();
    world.client.write('/etc/aovpn/aovpn.toml', 'this is [no settings file');
    await begin();
    product.launch();
    await until('it refuses to start', () => product.daemon.exit);
    const { status } = await world.client.run([...aovpnd, '--block']);
    assert.equal(status, 0);
    await tryAll();
    await end();
    unlinkSync(world.client.file('/etc/aovpn/aovpn.toml'));
    await start();
  });

  test('name servers that are silent, lie or say no: the machine stays shut, and says why it is not up', async () => {
    const { client, router } = world;
    await product.kill();
    // What worked before would help the daemon out.
    unlinkSync(client.file('/var/lib/aovpn/places.json'));
    const silent = '198.18.0.99';
    await router.ip(`addr add ${silent}/32 dev lo`);
    await router.exec(['nft', '-f', '-'], {
      input: `table ip silent { chain input { type filter hook input priority 0; ip daddr ${silent} drop; }; }\n`,
    });
    client.write('/etc/resolv.conf', `nameserver ${silent}\n`);
    await begin();
    const running = stream();
    await product.start();
    const waiting = await product.waitForProblem(name);
    assert.equal(waiting.problem?.code, 'AOV-SUPERVISOR-301');
    assert.equal(waiting.lockdown?.blocked, true);
    await tryAll();
    // A liar sends the daemon to the attacker: nothing but IKE goes there, and nobody proves to be the gateway.
    client.write('/etc/hosts', `127.0.0.1 localhost\n${network.internet.web4} ${network.gateway.name}\n`);
    assert.equal((await product.aovpn(['up', name, '--no-wait'])).status, 0);
    await product.waitFor(name, 'led astray', ({ problem }) => problem !== undefined && problem.code !== 'AOV-SUPERVISOR-301');
    await tryAll();
    await running.stop();
    const packets = await capture.stop();
    client.write('/etc/hosts', '127.0.0.1 localhost\n');
    client.write('/etc/resolv.conf', `nameserver ${network.internet.dns4}\n`);
    const { gateway, internet } = network;
    assert.deepEqual(leaks(packets, mac, { gateways: [gateway.v4, gateway.v6, internet.web4], resolvers: [silent] }), []);
    await product.aovpn(['up', name, '--no-wait']);
    await product.waitForState(name, 'up');
  });

  test('what somebody else opens is shut again within a second', async () => {
    await world.client.exec(['nft', 'flush', 'ruleset']);
    await until('it is put back', async () => (await product.status()).lockdown?.lastRepair);
    await begin();
    await tryAll();
    await end();
  });

  test('another profile makes room, says why, and the name of its gateway is nobody’s business', async () => {
    await begin();
    await product.put('other', deviceProfile({ servers: 'other.example.net' }), credentials);
    const other = await product.waitForState('other', 'blocked');
    assert.match(other.problem!.message, /Another profile has LockDown.*: locked/);
    await sleep(1000);
    await end();
    await product.remove('other');
  });

  test('root’s one way out opens it, shows, survives a restart, and is taken back', async () => {
    const released = await product.aovpn(['lockdown', 'release', name, '--yes']);
    assert.equal(released.status, 0, released.stderr);
    let { lockdown } = await product.status();
    assert.deepEqual([lockdown?.state, lockdown?.traffic], ['released', 'open']);
    assert.match((await product.aovpn(['status'])).stdout, /LockDown: NOT in force[^]*released.*by user 0/);
    assert.equal((await product.aovpn(['down', name])).status, 0);
    await product.waitForState(name, 'held');
    capture = await world.capture();
    const token = await leak(world.client, 'nobody');
    await sleep(500);
    assert.ok(seen(await capture.stop(), token, mac).includes('udp4'), 'the machine is open');
    await product.stop();
    await product.start();
    assert.equal((await product.status()).lockdown?.state, 'released');
    assert.equal((await product.connection(name))?.state, 'held');

    const engaged = await product.aovpn(['lockdown', 'engage', name]);
    assert.equal(engaged.status, 0, engaged.stderr);
    await begin();
    const running = stream();
    await tryAll();
    await product.waitForState(name, 'up');
    await running.stop();
    await end();
    ({ lockdown } = await product.status());
    assert.equal(lockdown?.state, 'engaged');
  });

  test('the same way out while no daemon runs; a later version without LockDown needs none', async () => {
    const { client } = world;
    await product.kill();
    const out = await client.run([...aovpnd, '--clean-up', '--release-lockdown']);
    assert.match(out.stderr, /LockDown released: locked/);
    assert.doesNotMatch(await client.exec(['nft', 'list', 'tables']), /aovpn_lockdown/);
    assert.match((await client.run([...aovpnd, '--block'])).stderr, /no profile has LockDown, or root has released it/);
    await product.start();
    assert.equal((await product.status()).lockdown?.state, 'released');
    await product.aovpn(['lockdown', 'engage', name]);
    assert.match(await client.exec(['nft', 'list', 'tables']), /aovpn_lockdown/);
    await product.put(name, xml.replace('<LockDown>true</LockDown>', ''), credentials);
    await product.waitForState(name, 'up');
    assert.equal((await product.status()).lockdown, undefined);
    assert.doesNotMatch(await client.exec(['nft', 'list', 'tables']), /aovpn_lockdown/);
    assert.ok(watched > 1000, `${watched} packets were watched`);
    process.stdout.write(`net/lockdown: ${watched} packets watched, none of them a leak\n`);
  });
});
