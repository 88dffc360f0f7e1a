// Somebody in the place of the RADIUS server, or of the gateway. Nothing of the user leaves before both have proven themselves: neither the identity
// inside, nor a password or anything made of it, nor a certificate; and nothing ever comes up.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { after, afterEach, before, suite, test } from 'node:test';
import { Capture, contains } from '../../../lab/capture.ts';
import { EapStage } from '../../../lab/eap-stage.ts';
import type { EapWish } from '../../../lab/eap-xml.ts';
import { network } from '../../../lab/network.ts';
import type { WirePacket } from '../../../lab/pcap.ts';
import type { Running } from '../../../lab/running.ts';
import { radiusSecret } from '../../../lab/server/freeradius.ts';
import { users } from '../../../lab/stage.ts';
import type { Trick } from './rogue-radius.ts';

const profile = 'lured';
const roguePort = 1645;

suite('attack/eap', () => {
  let stage: EapStage;
  let rogue: Running | undefined;
  before(async () => {
    stage = await EapStage.set();
  });
  afterEach(async () => {
    await rogue?.stop('SIGKILL');
    rogue = undefined;
    await stage.product.remove(profile).catch(() => undefined);
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const peap = (): EapWish => ({
    kind: 'peap',
    trust: stage.trust,
    inner: { kind: 'mschapv2' },
    anonymous: 'anonymous',
    cryptobinding: true,
  });

  for (const [trick, wish, code] of [
    // Before any method strongSwan itself takes offence, and tells us of a failure.
    ['early success', peap, /^AOV-EAP-201$/],
    ['success in the middle of TLS', peap, /^AOV-EAP-208$/],
    ['early success', () => ({ kind: 'mschapv2' }), /^AOV-EAP-201$/],
    ['success in the middle of TLS', () => ({ kind: 'mschapv2' }), /^AOV-EAP-208$/],
    ['success without proof', () => ({ kind: 'mschapv2' }), /^AOV-EAP-20[78]$/],
    ['false proof', () => ({ kind: 'mschapv2' }), /^AOV-EAP-207$/],
    ['token card', peap, /^AOV-EAP-206$/],
    ['MD5 challenge', peap, /^AOV-EAP-206$/],
    ['token card', () => ({ kind: 'mschapv2' }), /^AOV-EAP-206$/],
    ['MD5 challenge', () => ({ kind: 'mschapv2' }), /^AOV-EAP-206$/],
  ] as const satisfies readonly (readonly [Trick, () => EapWish, RegExp])[]) {
    test(`a rogue RADIUS server, ${wish === peap ? 'PEAP' : 'EAP-MSCHAPv2'}: ${trick}`, async () => {
      await lure(trick);
      await stage.put(profile, wish(), stage.password());
      const { problem, state } = await stage.product.waitForProblem(profile);
      assert.match(problem?.code ?? '', code, problem?.message);
      assert.equal(problem?.side, 'radius');
      assert.notEqual(state, 'up');
      assert.equal(await stage.world.gateway.established(), 0);
      await assert.rejects(stage.world.application.connect(network.corp.web4, 80, 200));
      const heard = heardBy(rogue!);
      assert.ok(heard.length > 0, 'the rogue was really asked');
      assert.ok(!heard.some((packet) => packet.includes(users.alice)), 'the password is nowhere');
      // EAP-MSCHAPv2 without a tunnel names the user to whoever asks; inside of PEAP nobody learns the name.
      if (wish === peap) assert.ok(!heard.some((packet) => packet.includes('alice')), 'nor is the name');
      // What it says to a method that the profile does not want is that it does not want it.
      const answers = heard.filter((packet) => packet[4] !== 1);
      if (trick === 'token card' || trick === 'MD5 challenge') assert.ok(answers.every((packet) => packet[4] === 3));
    });
  }

  for (const [what, wish, own] of [
    ['PEAP with a password', peap, 'password'],
    ['PEAP with a certificate', () => ({ ...peap(), inner: { kind: 'tls', trust: stage.trust } }), 'certificate'],
    [
      'EAP-TTLS with the password in clear inside',
      () => ({ kind: 'ttls', trust: stage.trust, inner: 'pap', anonymous: 'anonymous' }),
      'password',
    ],
    ['EAP-TLS', () => ({ kind: 'tls', trust: stage.trust }), 'certificate'],
  ] as const satisfies readonly (readonly [string, () => object, 'password' | 'certificate'])[]) {
    for (const tls of ['1.2', '1.3'] as const) {
      test(`a RADIUS server with a certificate of another authority, ${what}, TLS ${tls}: it learns nothing`, async () => {
        const { pki, gatewayHost, gateway } = stage.world;
        await stage.ask('freeradius');
        await stage.radius.configure({ certificate: pki.radius('unknown-authority'), tls });
        const capture = await Capture.start(gatewayHost, network.gateway.inside);
        await stage.put(profile, wish() as EapWish, stage[own]());
        const { problem } = await stage.product.waitForProblem(profile);
        assert.equal(problem?.code, 'AOV-EAP-211');
        assert.equal(await gateway.established(), 0);
        const packets = await capture.stop();
        assert.ok(packets.length > 2, 'there was a conversation');
        nothingOfTheUser(packets, what === 'EAP-TLS' ? undefined : 'alice');
        // The server has the keys of its TLS, so what it saw inside is what left.
        assert.ok(!stage.radius.log().includes(users.alice));
        assert.deepEqual(
          stage.radius.results().filter(({ where, certificate }) => where === 'inner' || certificate !== ''),
          [],
        );
      });
    }
  }

  test('positive control: the right server does learn them, and the capture can see a certificate', async () => {
    const { pki, gatewayHost } = stage.world;
    await stage.ask('freeradius');
    await stage.radius.configure({ certificate: pki.radius(), tls: '1.2' });
    const capture = await Capture.start(gatewayHost, network.gateway.inside);
    await stage.connect(profile, { kind: 'tls', trust: stage.trust }, stage.certificate());
    assert.throws(() => nothingOfTheUser([], undefined));
    const packets = await capture.stop();
    assert.throws(() => nothingOfTheUser(packets, undefined));
    await stage.strike(profile);
  });

  test('a rogue gateway: no EAP at all', async () => {
    const { world } = stage;
    await stage.radius.configure({ certificate: world.pki.radius(), tls: '1.2' });
    await world.gateway.configure({
      authentication: ['eap-radius'],
      certificate: world.pki.gateway('unknown-authority'),
      authorities: [world.pki.root.certificatePem, world.pki.stranger.certificatePem],
    });
    const earlier = world.gateway.log().length;
    const capture = await Capture.start(world.gatewayHost, network.gateway.inside);
    try {
      await stage.put(profile, peap(), stage.password());
      const { problem } = await stage.product.waitForProblem(profile);
      assert.equal(problem?.code, 'AOV-IKE-131');
      const seen = world.gateway.log().slice(earlier);
      assert.match(seen, /parsed IKE_AUTH request/, 'it was really asked');
      assert.ok(!seen.includes('alice'), 'it does not learn who we are');
      assert.ok(!/received EAP identity/.test(seen));
      assert.equal((await capture.stop()).filter(({ destinationPort }) => destinationPort === 1812).length, 0);
    } finally {
      await world.gateway.configure({
        certificate: world.pki.gateway(),
        authorities: [world.pki.root.certificatePem],
      });
    }
  });

  async function lure(trick: Trick): Promise<void> {
    const { corp, gateway } = stage.world;
    const address = network.corp.radius4;
    const program = new URL('./rogue-radius.ts', import.meta.url).pathname;
    rogue = corp.spawn([process.execPath, program, address, String(roguePort), radiusSecret, trick], { name: 'rogue-radius' });
    await rogue.saysWithin(/ready/);
    await gateway.configure({ authentication: ['eap-radius'], radius: { address, port: roguePort, secret: radiusSecret } });
  }

  function heardBy(running: Running): Buffer[] {
    return readFileSync(running.stdoutFile, 'utf8')
      .split('\n')
      .filter((line) => /^[0-9a-f]+$/.test(line))
      .map((line) => Buffer.from(line, 'hex'));
  }

  /** Of RADIUS packets; EAP is in pieces of 253 octets there, so a certificate is looked for by a part of it. */
  function nothingOfTheUser(packets: readonly WirePacket[], name: string | undefined): void {
    assert.ok(packets.length > 0, 'nothing was captured');
    assert.ok(!contains(packets, users.alice));
    if (name !== undefined) assert.ok(!contains(packets, name));
    const { certificate } = stage.world.pki.user();
    const serial = Buffer.from(certificate.subarray(15, 27));
    assert.ok(!packets.some(({ frame }) => frame.includes(serial)), 'the certificate of the user is on the wire');
  }
});
