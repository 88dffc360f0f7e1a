// Ways to authenticate that ProfileXML has no word for, against strongSwan: shared key, raw keys, two authentications in one IKE SA, a post-quantum
// preshared key, and an IKE SA that begins without a CHILD_SA.
import assert from 'node:assert/strict';
import { createPublicKey } from 'node:crypto';
import { rmSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import type { Problem } from '@aovpn/api';
import type { GatewayOptions } from '../../../lab/gateway/strongswan.ts';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile, mschapv2Profile } from '../../../lab/profile-xml.ts';
import { Stage, users } from '../../../lab/stage.ts';

const sharedKey = 'Jm3v7Qd1xk2SgqT0nZ8yPw5LrB4cHf6U';
const ppk = { identity: 'laptops', secret: 'q9Xe2Vb7Lw4Tz1Rk8Ns5Mj3Hc6Gf0YdQ', required: true };
const laptop = 'laptop.corp.example';

suite('ike/authentication', () => {
  let stage: Stage;
  const plain: Partial<GatewayOptions> = {
    authentication: ['pubkey'],
    childless: 'allow',
    ppk: undefined,
    rawKeys: undefined,
    sharedKeys: undefined,
  };
  before(async () => {
    stage = await Stage.set({ ...plain, users });
    stage.world.client.write('/etc/aovpn/shared.key', `${sharedKey}\n`, 0o600);
    stage.world.client.write('/etc/aovpn/wrong.key', 'another secret of the same length\n', 0o600);
    stage.world.client.write('/etc/aovpn/ppk.key', `${ppk.secret}\n`, 0o600);
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  /** Connects with these settings to this gateway, and fetches a page of the company. */
  async function connects(
    gateway: Partial<GatewayOptions>,
    settings: string,
    xml: string,
    credentials: Parameters<Stage['product']['put']>[2],
  ): Promise<string> {
    const { world, product } = stage;
    await world.gateway.configure({ ...plain, ...gateway });
    await product.settings(settings);
    await product.put('corp', xml, credentials);
    const { crypto } = await product.waitForState('corp', 'up');
    for (const family of [4, 6] as const)
      assert.match((await world.application.fetch(`http://${network.corp.web}/`, { family })).body, new RegExp(canary));
    return crypto!.authentication;
  }

  async function refuses(
    gateway: Partial<GatewayOptions>,
    settings: string,
    xml: string,
    credentials: Parameters<Stage['product']['put']>[2],
    code: string,
  ): Promise<Problem> {
    const { world, product } = stage;
    await world.gateway.configure({ ...plain, ...gateway });
    await product.settings(settings);
    await product.put('corp', xml, credentials);
    const { problem } = await product.waitForProblem('corp');
    assert.equal(problem?.code, code, JSON.stringify(problem));
    return problem;
  }

  const anchored = (): Parameters<Stage['product']['put']>[2] => ({ gatewayCaPem: stage.world.pki.root.certificatePem });

  test('a shared key in the place of the machine certificate', async () => {
    const settings = `[profile.corp]\nshared-key-file = "shared.key"\nidentity = "${laptop}"\n`;
    const gateway: Partial<GatewayOptions> = { authentication: ['psk'], sharedKeys: { [laptop]: sharedKey } };
    assert.equal(await connects(gateway, settings, certificateProfile(), anchored()), 'shared key');
    assert.match(await stage.world.gateway.sas(), /psk: #\d+, ESTABLISHED[^]+remote 'laptop.corp.example'/);
    assert.doesNotMatch(stage.product.daemon.output(), new RegExp(sharedKey));
    await stage.strike('corp');
    await refuses(gateway, settings.replace('shared.key', 'wrong.key'), certificateProfile(), anchored(), 'AOV-IKE-152');
    await stage.strike('corp');
    await refuses(
      gateway,
      '[profile.corp]\nshared-key-file = "shared.key"\n',
      certificateProfile(),
      anchored(),
      'AOV-SUPERVISOR-353',
    );
    await stage.strike('corp');
  });

  test('a shared key without an identity on a member of a domain: the machine goes by its full name', async () => {
    const domain = `id_provider = ad\nad_domain = corp.example\nad_hostname = ${laptop}\n`;
    const file = '/etc/sssd/sssd.conf';
    stage.world.client.write(file, `[sssd]\ndomains = corp.example\n[domain/corp.example]\n${domain}`, 0o600);
    try {
      const settings = '[profile.corp]\nshared-key-file = "shared.key"\n';
      const gateway: Partial<GatewayOptions> = { authentication: ['psk'], sharedKeys: { [laptop]: sharedKey } };
      assert.equal(await connects(gateway, settings, certificateProfile(), anchored()), 'shared key');
      assert.match(await stage.world.gateway.sas(), /psk: #\d+, ESTABLISHED[^]+remote 'laptop.corp.example'/);
    } finally {
      rmSync(stage.world.client.file(file));
    }
    await stage.strike('corp');
  });

  test('a shared key that others can read is not used', async () => {
    stage.world.client.write('/etc/aovpn/open.key', `${sharedKey}\n`, 0o644);
    const settings = `[profile.corp]\nshared-key-file = "open.key"\nidentity = "${laptop}"\n`;
    await stage.product.settings(settings);
    await assert.rejects(stage.product.put('corp', certificateProfile(), anchored()), /AOV-HOST-101/);
  });

  test('keys without certificates, on both sides', async () => {
    const machine = stage.world.pki.machine();
    const gateway = stage.world.pki.gateway();
    const publicPem = (pem: string): string => createPublicKey(pem).export({ type: 'spki', format: 'pem' }).toString();
    stage.world.client.write('/etc/aovpn/gateway.pub', publicPem(gateway.keyPem));
    stage.world.client.write('/etc/aovpn/stranger.pub', publicPem(machine.keyPem));
    stage.world.client.write('/etc/aovpn/raw.key', machine.keyPem, 0o600);
    const settings = `[profile.corp]\nraw-key = true\nkey = "raw.key"\ngateway-key = "gateway.pub"\nidentity = "${laptop}"\n`;
    const rawKeys: Partial<GatewayOptions> = { rawKeys: { client: publicPem(machine.keyPem), name: laptop } };
    assert.equal(await connects(rawKeys, settings, certificateProfile(), anchored()), 'raw public key, ecdsa-sha256');
    await stage.strike('corp');
    await refuses(rawKeys, settings.replace('gateway.pub', 'stranger.pub'), certificateProfile(), anchored(), 'AOV-IKE-140');
    await stage.strike('corp');
  });

  test('the machine by certificate and the user by EAP, in one IKE SA (RFC 4739)', async () => {
    const { world } = stage;
    const machine = world.pki.machine();
    world.client.write('/etc/aovpn/machine.pem', machine.chainPem + machine.keyPem, 0o600);
    const settings = '[profile.corp]\nmachine-certificate = "machine.pem"\n';
    const both: Partial<GatewayOptions> = { authentication: ['pubkey+eap-mschapv2'] };
    assert.match(await connects(both, settings, mschapv2Profile(), stage.user()), /certificate, ecdsa-sha256; .*MSCHAPv2/);
    assert.match(await world.gateway.sas(), /remote '.*' @ .* EAP: 'alice'/);
    assert.match(world.gateway.log(), /authentication of '.*laptop.corp.example' with ECDSA_WITH_SHA256_DER successful/);
    await stage.strike('corp');
    await refuses(both, settings, mschapv2Profile(), stage.user('alice', 'wrong'), 'AOV-EAP-202');
    await stage.strike('corp');
    const stranger = world.pki.foreignMachine();
    world.client.write('/etc/aovpn/stranger.pem', stranger.chainPem + stranger.keyPem, 0o600);
    await refuses(both, settings.replace('machine.pem', 'stranger.pem'), mschapv2Profile(), stage.user(), 'AOV-IKE-150');
    await stage.strike('corp');
    const outdated = world.pki.outdatedMachine('expired');
    world.client.write('/etc/aovpn/outdated.pem', outdated.chainPem + outdated.keyPem, 0o600);
    const expired = settings.replace('machine.pem', 'outdated.pem');
    const { message } = await refuses(both, expired, mschapv2Profile(), stage.user(), 'AOV-SUPERVISOR-349');
    assert.match(message, /: laptop\.corp\.example \(file \/etc\/aovpn\/outdated\.pem\) expired on \d{4}-/);
    await stage.strike('corp');
    // The user alone is not enough for this gateway, and a machine that it does not know is none.
    await refuses(both, '', mschapv2Profile(), stage.user(), 'AOV-IKE-151');
    await stage.strike('corp');
  });

  test('a post-quantum preshared key (RFC 8784), by certificate and with EAP', async () => {
    const settings = '[profile.corp]\nppk-file = "ppk.key"\nppk-identity = "laptops"\n';
    assert.equal(await connects({ ppk }, settings, certificateProfile(), stage.machine()), 'certificate, ecdsa-sha256; with PPK');
    assert.match(stage.world.gateway.log(), /using PPK for PPK_ID 'laptops'/);
    await stage.strike('corp');
    const eap: Partial<GatewayOptions> = { ppk, authentication: ['eap-mschapv2'] };
    assert.match(await connects(eap, settings, mschapv2Profile(), stage.user()), /with PPK/);
    await stage.strike('corp');
  });

  test('a PPK that the gateway lacks: refused where it is required, otherwise without', async () => {
    const settings = '[profile.corp]\nppk-file = "ppk.key"\nppk-identity = "laptops"\n';
    await refuses({}, settings, certificateProfile(), stage.machine(), 'AOV-IKE-113');
    await stage.strike('corp');
    const other = { ppk: { ...ppk, identity: 'servers', required: false } };
    const optional = `${settings}ppk-required = false\n`;
    assert.equal(await connects(other, optional, certificateProfile(), stage.machine()), 'certificate, ecdsa-sha256');
    await stage.strike('corp');
    await refuses(
      { ppk: { ...ppk, secret: 'not the same secret at all, no no' } },
      settings,
      certificateProfile(),
      stage.machine(),
      'AOV-IKE-150',
    );
    await stage.strike('corp');
  });

  test('Ed25519 on both sides (RFC 8420)', async () => {
    const { world } = stage;
    const certificate = world.pki.gateway('good', 'ed25519');
    const machine = stage.machine(world.pki.machine('ed25519'));
    assert.equal(await connects({ certificate }, '', certificateProfile(), machine), 'certificate, ed25519');
    assert.match(world.gateway.log(), /authentication of '.*laptop.corp.example' with ED25519 successful/);
    await stage.strike('corp');
    await world.gateway.configure({ certificate: world.pki.gateway() });
  });

  test('an IKE SA that begins without a CHILD_SA (RFC 6023), as this gateway demands', async () => {
    const settings = '[profile.corp]\nchildless = true\n';
    await connects({ childless: 'force' }, settings, certificateProfile(), stage.machine());
    assert.match(stage.world.gateway.log(), /CREATE_CHILD_SA request/);
    await stage.strike('corp');
    await connects({ childless: 'never' }, settings, certificateProfile(), stage.machine());
    await stage.strike('corp');
  });
});
