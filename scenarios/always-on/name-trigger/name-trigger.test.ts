// AutoTrigger: a program asks for a name of the company, and the answer comes through a tunnel that was not there a moment ago.
import assert from 'node:assert/strict';
import process from 'node:process';
import { after, afterEach, before, suite, test } from 'node:test';
import { contains } from '../../../lab/capture.ts';
import { inCheckout } from '../../../lab/host.ts';
import { network } from '../../../lab/network.ts';
import type { WirePacket } from '../../../lab/pcap.ts';
import { certificateProfile, type ProfileOptions } from '../../../lab/profile-xml.ts';
import type { Running } from '../../../lab/running.ts';
import { publicRecords, startUnbound } from '../../../lab/server/unbound.ts';
import { Stage } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';

const { corp, gateway, internet } = network;
const stubAddress = '127.0.0.96';
const evil = '198.18.0.66';
const lie = '198.18.0.99';

suite('always-on/name-trigger', () => {
  let stage: Stage;
  let liar: Running;
  before(async () => {
    stage = await Stage.set();
    const { router } = stage.world;
    await router.ip(`addr add ${evil}/32 dev lo`);
    // The resolver of a network that lies about the company's names: it knows them all.
    liar = await startUnbound(router, [evil], { ...publicRecords, [corp.web]: [lie], [`other.${corp.zone}`]: [lie] });
  });
  after(async () => await stage?.[Symbol.asyncDispose]());
  afterEach(async () => {
    await stage.world.gateway.thaw();
    // To its end: an attempt that is broken off may leave an IKE SA with the gateway, which takes the Delete for one that is out of turn.
    await stage.product.up('corp').then(
      () => stage.product.waitForState('corp', 'up'),
      () => undefined,
    );
    await stage.clear();
    await stage.product.settings('');
    network4(internet.dns4);
  });

  /** The network has this name server. */
  const network4 = (server: string, search = ''): void =>
    stage.world.client.write('/etc/resolv.conf', `${search && `search ${search}\n`}nameserver ${server}\n`);
  const put = async (options: ProfileOptions = {}, settings = '', wait = true): Promise<void> => {
    await stage.product.settings(settings && `[profile.corp]\n${settings}\n`);
    // One address: no race between two of them.
    const all = { alwaysOn: false, autoTrigger: true, servers: `v4.${gateway.name}`, ...options };
    await stage.product.put('corp', certificateProfile(all), stage.machine());
    await stage.product.waitForState('corp', 'down');
    if (wait) await armed();
  };
  /** The rules are in the resolver. */
  const armed = async (): Promise<boolean> => await until(resolvConf, async () => /127\.0\.0\.96/.test(await resolvConf()));
  const disarmed = async (): Promise<boolean> => await until(resolvConf, async () => !/127\.0\.0\.96/.test(await resolvConf()));
  const resolvConf = (): Promise<string> => stage.world.client.exec(['cat', '/etc/resolv.conf']);
  const dig = async (...args: string[]): Promise<string> =>
    (await stage.world.client.run(['dig', '+tries=1', '+time=12', ...args])).stdout.trim();
  const askMany = (count: number, sockets: number, name: string, ms: number, through: readonly string[] = []): Running => {
    const program = new URL('./ask-many.ts', import.meta.url).pathname;
    const argv = [process.execPath, program].map((word) => (through.length > 0 ? inCheckout(word) : word));
    return stage.world.client.spawn([...through, ...argv, stubAddress, `${count}`, `${sockets}`, name, `${ms}`], {
      name: 'ask-many',
    });
  };
  const anybody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'];
  const outcome = async (running: Running): Promise<{ answered: number; codes: Record<string, number> }> => {
    await running.exited;
    return JSON.parse(running.output().trim().split('\n').at(-1)!) as { answered: number; codes: Record<string, number> };
  };
  /** Initiator SPIs of the first messages of handshakes (RFC 7296 §3.1: exchange type 34, no responder SPI). */
  const handshakes = (packets: readonly WirePacket[]): ReadonlySet<string> =>
    new Set(
      packets.flatMap(({ destinationPort, payload }) =>
        destinationPort === 4500 && payload && payload.length > 32 && payload.readUInt32BE(0) === 0 && payload[22] === 34
          ? [payload.toString('hex', 4, 12)]
          : [],
      ),
    );

  test('getent waits and is answered through the tunnel, though the network lies; nothing of the name is on the wire', async () => {
    const { world, product } = stage;
    network4(evil);
    await put();
    assert.match((await product.connection('corp'))!.reason, /connects when a name of AutoTrigger is asked for: \.corp\.example/);
    const explained = (await product.aovpn(['explain', corp.web])).stdout;
    assert.match(explained, /which the question brings up/);
    assert.equal((await product.connection('corp'))!.attempts, 0, 'explain alone brings nothing up');
    const capture = await world.capture();
    const found = await world.client.run(['getent', 'ahosts', corp.web]);
    assert.match(found.stdout, new RegExp(corp.web4.replaceAll('.', '\\.')), found.stdout);
    assert.match(found.stdout, new RegExp(corp.web6));
    const { reason } = await product.waitForState('corp', 'up');
    assert.match(reason, /because a name of \.corp\.example was asked for/);
    assert.match((await world.application.fetch(`http://${corp.web}/who`)).body, /^(10\.30\.0\.|fd30::)/);
    // Positive control.
    assert.match(await dig('+short', internet.web), new RegExp(internet.web4));
    const packets = await capture.stop();
    assert.ok(contains(packets, internet.web));
    assert.ok(!contains(packets, corp.web));
    assert.doesNotMatch(liar.output(), /corp\.example/);
  });

  test('it ends when it carries nothing, and the next name brings it up again', async () => {
    const { product, world } = stage;
    await put({}, 'trigger-idle-seconds = 0');
    assert.equal(await dig('+short', corp.web), corp.web4);
    await product.waitForState('corp', 'up');
    await product.waitForState('corp', 'down');
    await world.gateway.quiet();
    await armed();
    assert.equal(await dig('+short', 'AAAA', corp.web), corp.web6);
    await product.waitForState('corp', 'up');
  });

  test('a thousand at once: one handshake, a thousand answers', async () => {
    const { world } = stage;
    await put();
    const capture = await world.capture();
    // The handshake stops half-way until all of them wait.
    await world.impair({ dropLongerThan: 760 });
    const asking = askMany(1000, 20, corp.web, 60_000);
    await asking.saysWithin(/asked/);
    await until('all of them are heard', async () =>
      / 0 +0 +127\.0\.0\.96:53 /.test(await world.client.exec(['ss', '-Hlnu', 'src', stubAddress])),
    );
    await world.impair({});
    const { answered, codes } = await outcome(asking);
    assert.deepEqual([answered, codes], [1000, { '0': 1000 }]);
    const packets = await capture.stop();
    assert.equal(handshakes(packets).size, 1);
    assert.ok(!contains(packets, corp.web));
  });

  test('a dead gateway: a bounded wait, no wait after it, nobody outside is asked, and everything else goes on', async () => {
    const { world, product } = stage;
    network4(evil);
    await put();
    await world.gateway.freeze();
    const capture = await world.capture();
    const first = dig(corp.web);
    await product.waitForState('corp', 'connecting');
    assert.match(await dig('+short', internet.web), new RegExp(internet.web4), 'others do not wait');
    assert.match(await first, /status: SERVFAIL/);
    const begun = performance.now();
    assert.match(await dig(`other.${corp.zone}`), /status: SERVFAIL/);
    // Not a measure of speed: one that waits, waits for eight seconds.
    assert.ok(performance.now() - begun < 6000);
    const packets = await capture.stop();
    assert.ok(contains(packets, internet.web));
    assert.ok(!contains(packets, corp.zone));
    await world.gateway.thaw();
    await product.waitForState('corp', 'up');
    assert.equal(await dig('+short', corp.web), corp.web4);
  });

  test('`.`: every name brings it up; without a gateway the machine goes on outside', async () => {
    const { world, product } = stage;
    await put({ names: { '.': [corp.dns4] } }, 'tcp = "off"');
    assert.match(await dig('+short', internet.web), new RegExp(internet.web4));
    await product.waitForState('corp', 'up');
    await product.remove('corp');
    await world.gateway.quiet();
    await put({ names: { '.': [corp.dns4] } }, 'tcp = "off"');
    await world.gateway.freeze();
    assert.match(await dig(internet.web), /status: SERVFAIL/);
    const { problem } = await product.waitForProblem('corp', 120_000);
    assert.ok(problem);
    await until('it is answered outside', async () => (await dig('+short', '+time=2', internet.web)).includes(internet.web4));
    const { stdout } = await product.aovpn(['explain', internet.web]);
    assert.match(stdout, /AutoTrigger of \. is out of force/);
  });

  test('held down by a person: anybody’s question is answered at once as without the rule, and brings nothing up', async () => {
    const { world, product } = stage;
    await put();
    await product.down('corp');
    await disarmed();
    const capture = await world.capture();
    const { answered, codes } = await outcome(askMany(20, 2, `*.${corp.zone}`, 2000, anybody));
    assert.deepEqual([answered, codes], [0, {}], 'our stub is not even there');
    assert.match(await dig(corp.web), /status: NXDOMAIN/);
    assert.ok(contains(await capture.stop(), corp.web), 'the machine’s own resolver is asked');
    const { state, attempts } = (await product.connection('corp'))!;
    assert.deepEqual([state, attempts], ['held', 0]);
    assert.doesNotMatch(await resolvConf(), /127\.0\.0\.96/);
    const { stdout } = await product.aovpn(['explain', corp.web]);
    assert.match(stdout, /out of force: root said down/);
  });

  test('on a trusted network names are asked there; on leaving it nothing comes up before it is needed', async () => {
    const { product } = stage;
    network4(evil, corp.zone);
    await put({ extra: `<TrustedNetworkDetection>${corp.zone}</TrustedNetworkDetection>` }, '', false);
    await product.waitFor('corp', 'on a trusted network', ({ trust }) => trust?.verdict === 'trusted');
    await disarmed();
    assert.equal(await dig('+short', corp.web), lie);
    assert.equal((await product.connection('corp'))!.attempts, 0);
    network4(evil);
    await armed();
    assert.equal((await product.connection('corp'))!.state, 'down');
    assert.equal(await dig('+short', corp.web), corp.web4);
    await product.waitForState('corp', 'up');
  });

  test('a flood of an unprivileged user while the gateway is silent: others are served, one connection is tried, and the tunnel answers', async () => {
    const { world, product } = stage;
    await put();
    await world.gateway.freeze();
    const flood = askMany(6000, 300, `*.${corp.zone}`, 30_000, anybody);
    await flood.saysWithin(/asked/);
    // As any resolver does: one datagram may find no room in the queue of the socket.
    assert.match(await dig('+tries=6', '+time=2', '+short', internet.web), new RegExp(internet.web4));
    await product.waitForState('corp', 'connecting');
    assert.equal((await product.connection('corp'))!.attempts, 1);
    await world.gateway.thaw();
    await product.waitForState('corp', 'up');
    assert.equal(await dig('+short', corp.web), corp.web4);
    await flood.stop('SIGKILL');
  });

  test('without the daemon nothing is left in the resolver', async () => {
    const { product, world } = stage;
    await put();
    await product.stop();
    assert.equal(await resolvConf(), `nameserver ${internet.dns4}\n`);
    assert.doesNotMatch(await world.client.exec(['ip', 'link']), /aovdns/);
    await product.start();
    await product.waitForState('corp', 'down');
  });
});
