// Certificates run out and are renewed, ours and the gateway's: the tunnel stays, or heals, or says why not.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';

const name = 'laptop';

suite('always-on/laptop: certificates', () => {
  let stage: Stage;
  before(async () => {
    // From half of that time on our side authenticates anew.
    stage = await Stage.set({ reauthSeconds: 8 });
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const output = (): string => stage.product.daemon.output();
  const times = (what: string): number => output().split(what).length - 1;

  test('our certificate is renewed beside a live tunnel: the next authentication uses it, and no packet is lost', async (t) => {
    const { world, product } = stage;
    const { root, stranger } = world.pki;
    await world.gateway.configure({ authorities: [root.certificatePem, stranger.certificatePem] });
    await product.put(name, certificateProfile(), stage.machine());
    const before = await product.waitForState(name, 'up');
    const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 100);
    // From another authority, so that the gateway can tell them apart.
    const dns = 'laptop.corp.example';
    const renewed = stranger.issue({ commonName: dns, dns: [dns], usages: ['clientAuth'], key: 'p256' });
    await product.put(name, certificateProfile(), stage.machine(renewed));
    await world.gateway.configure({ authorities: [stranger.certificatePem] });
    const taken = times('the new IKE SA has taken over');
    await product.waitFor(name, 'authenticated anew, twice', () => times('the new IKE SA has taken over') >= taken + 2);
    const report = await flow.stop();
    t.diagnostic(`longest silence ${Math.round(report.longestGapMs)} ms`);
    assert.equal(report.lost, 0);
    assert.ok(report.received > 100);
    const now = await product.waitForState(name, 'up');
    assert.equal(now.connectedAt, before.connectedAt, 'nobody noticed');
    assert.deepEqual(now.addresses, before.addresses);
    await world.gateway.configure({ authorities: [root.certificatePem] });
    await stage.strike(name);
  });

  test('a certificate that cannot be used leaves the live tunnel alone, and is named', async () => {
    const { world, product } = stage;
    await product.put(name, certificateProfile(), stage.machine());
    const before = await product.waitForState(name, 'up');
    world.client.write(`/etc/aovpn/profiles.d/${name}.pem`, 'not a certificate\n', 0o600);
    await product.waitFor(name, 'told of it', () => output().includes('the tunnel that runs goes on'));
    const taken = times('the new IKE SA has taken over');
    await product.waitFor(name, 'authenticated anew', () => times('the new IKE SA has taken over') > taken);
    assert.equal((await product.waitForState(name, 'up')).connectedAt, before.connectedAt);
    await stage.strike(name);
  });

  test('settings and a profile that differ in what a running tunnel is not made of change nothing about it', async () => {
    const { product } = stage;
    await product.put(name, certificateProfile(), stage.machine());
    const before = await product.waitForState(name, 'up');
    const settings = ['trigger-idle-seconds = 7', 'down-ends = "sign-in"', `include-names = ["www.example.org"]`];
    await product.settings(`[profile."${name}"]\n${settings.join('\n')}\n`);
    const routes = [{ address: '10.20.0.0', prefixSize: 16 }];
    await product.put(name, certificateProfile({ routes }), stage.machine());
    const after = await product.waitFor(name, 'led by the new routes', ({ routes: led }) =>
      led?.some(({ prefix }) => prefix === '10.20.0.0/16'),
    );
    assert.equal(after.connectedAt, before.connectedAt);
    assert.equal(after.state, 'up');
    // And one that it is made of.
    await product.settings(`[profile."${name}"]\n${settings.join('\n')}\nmtu = 1300\n`);
    await product.waitFor(
      name,
      'made anew',
      ({ state, mtu, connectedAt }) => state === 'up' && mtu === 1300 && connectedAt !== before.connectedAt,
    );
    await product.settings('');
    await stage.strike(name);
  });

  test('the gateway comes back with a new certificate of the same authority: the tunnel heals', async (t) => {
    const { world, product } = stage;
    await product.put(name, certificateProfile(), stage.machine());
    await product.waitForState(name, 'up');
    const before = world.gateway.options.certificate;
    await world.gateway.stop();
    world.gateway.configureNext({ certificate: world.pki.gateway('good', 'p384') });
    await world.gateway.start();
    const back = await world.application.fetchUntil(`http://${network.corp.web4}/`);
    t.diagnostic(`traffic again ${Math.round(back.waitedMs)} ms after the gateway was`);
    assert.notEqual(world.gateway.options.certificate.certificatePem, before.certificatePem);
    await product.waitForState(name, 'up');
  });

  test('the gateway comes back with a certificate of another authority: refused with the reason, until we are told of that authority', async (t) => {
    const { world, product } = stage;
    const { stranger } = world.pki;
    await world.gateway.stop();
    const dns = [network.gateway.name, `v4.${network.gateway.name}`, `v6.${network.gateway.name}`];
    world.gateway.configureNext({
      certificate: stranger.issue({
        commonName: network.gateway.name,
        dns,
        usages: ['serverAuth', 'ikeIntermediate'],
        key: 'p256',
      }),
    });
    await world.gateway.start();
    const refused = await product.waitFor(name, 'refused', ({ problem }) => problem?.code === 'AOV-IKE-131');
    assert.equal(refused.problem?.side, 'gateway');
    assert.notEqual(refused.state, 'up');
    const begun = performance.now();
    world.client.write(`/etc/aovpn/profiles.d/${name}.ca.pem`, stranger.certificatePem);
    await product.waitForState(name, 'up');
    t.diagnostic(`connected ${Math.round(performance.now() - begun)} ms after the authority was named`);
    await stage.strike(name);
  });
});
