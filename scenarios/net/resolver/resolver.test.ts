// Names with a real gateway and real packets: what a rule covers is asked inside, and nothing of it is ever seen on the wire, whatever
// resolver a program asks under force tunnel, and whoever writes resolv.conf meanwhile.
import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertOnlyEsp, contains } from '../../../lab/capture.ts';
import { network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';

const { internet, corp } = network;

suite('net/resolver', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());
  afterEach(async () => {
    await stage.world.impair({});
    await stage.clear();
  });

  const dig = async (...args: string[]): Promise<string> =>
    (await stage.world.client.run(['dig', '+tries=1', '+time=30', '+short', ...args])).stdout.trim();
  /** Nobody minds whether it is answered. */
  const glance = (...args: string[]): Promise<string> => dig('+time=3', ...args);

  test('split tunnel: suffix, short name by the search list, exemption, names without a rule', async () => {
    const { world, product } = stage;
    const names = { [`.${corp.zone}`]: [corp.dns4], [`public.${corp.zone}`]: [] };
    await product.put('split', certificateProfile({ names }), stage.machine());
    await product.waitForState('split', 'up');
    const capture = await world.capture();
    assert.equal(await dig(corp.web), corp.web4);
    assert.equal(await dig('+search', 'intranet'), corp.web4);
    assert.match((await world.client.run(['getent', 'ahostsv4', 'intranet'])).stdout, new RegExp(corp.web4));
    assert.equal(await dig(`public.${corp.zone}`), '', 'asked outside, where it does not exist');
    assert.equal(await dig(internet.web), internet.web4);
    const packets = await capture.stop();
    assert.ok(contains(packets, internet.web), 'names without a rule are seen');
    assert.ok(contains(packets, `public.${corp.zone}`), 'so is the exempted one');
    assert.ok(!contains(packets, corp.web));
    const explained = (await product.aovpn(['explain', 'intranet'])).stdout;
    assert.match(explained, /search list makes it intranet\.corp\.example first/);
  });

  test('force tunnel: no query leaves in clear, neither by our stub nor to a resolver that a program has written into it', async () => {
    const { world, product } = stage;
    // Positive control: without the tunnel all of these are seen.
    const control = await world.capture();
    await glance(`@${internet.dns4}`, 'control.example');
    await glance(`@${internet.dns6}`, 'control6.example');
    const seen = await control.stop();
    assert.ok(contains(seen, 'control.example') && contains(seen, 'control6.example'));

    await product.put('force', certificateProfile({ routing: 'ForceTunnel', routes: [] }), stage.machine());
    await product.waitForState('force', 'up');
    const capture = await world.capture();
    assert.equal(await dig(corp.web), corp.web4);
    await glance('anything.example');
    await glance(`@${internet.dns4}`, 'hidden.example');
    await glance('+tcp', `@${internet.dns4}`, 'hidden-tcp.example');
    await glance(`@${internet.dns6}`, 'hidden6.example');
    // A server on the machine's own network, and DNS over TLS: matters of routes, which force tunnel takes too.
    await glance(`@${network.client.home.router4}`, 'hidden-router.example');
    await world.client
      .run(['dig', '+tls', '+tries=1', '+time=2', `@${internet.dns4}`, 'hidden-tls.example'])
      .catch(() => undefined);
    const packets = await capture.stop();
    assert.ok(packets.length > 10, `${packets.length} packets watched`);
    assertOnlyEsp(packets, ['hidden', 'anything', corp.web]);
  });

  test('force tunnel whose path is gone: queries fail, and none goes another way', async () => {
    const { world, product } = stage;
    await product.put('force', certificateProfile({ routing: 'ForceTunnel', routes: [] }), stage.machine());
    await product.waitForState('force', 'up');
    await world.impair({ dropUdpPorts: [4500] });
    const capture = await world.capture();
    assert.match(await glance('lost.example'), /no servers could be reached|^$/);
    await glance(`@${internet.dns4}`, 'lost-direct.example');
    const packets = await capture.stop();
    assert.ok(packets.length > 0, 'the tunnel itself still tries');
    assert.ok(!contains(packets, 'lost'));
    await world.impair({});
    await product.remove('force');
    // What it began while nothing came through it would keep for half a minute.
    await world.gateway.stop();
    await world.gateway.start();
  });

  test('a DHCP client writes resolv.conf under us: our stub is back within a moment, and knows the new server', async () => {
    const { world, product } = stage;
    await product.put('split', certificateProfile(), stage.machine());
    await product.waitForState('split', 'up');
    world.client.write('/etc/resolv.conf', `nameserver ${internet.dns6}\nsearch lease.example\n`);
    const file = (): Promise<string> => world.client.exec(['cat', '/etc/resolv.conf']);
    for (let wait = 0; !/nameserver 127\.0\.0\.96/.test(await file()); wait += 50) {
      assert.ok(wait < 20_000, await file());
      await sleep(50);
    }
    assert.match(await file(), /search corp\.example lease\.example/);
    const capture = await world.capture();
    assert.equal(await dig(corp.web), corp.web4);
    assert.equal(await dig(internet.web), internet.web4);
    const packets = await capture.stop();
    assert.ok(contains(packets, internet.web));
    assert.ok(!contains(packets, corp.web));
    await stage.clear();
    assert.equal(await file(), `nameserver ${internet.dns6}\nsearch lease.example\n`);
    world.client.write('/etc/resolv.conf', `nameserver ${internet.dns4}\n`);
  });
});
