// Which certificate speaks for the user when there are many, and a smart card that comes and goes.
import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test } from 'node:test';
import type { CertificateReport } from '@aovpn/api';
import { EapStage } from '../../../lab/eap-stage.ts';
import type { CertificateWish } from '../../../lab/eap-xml.ts';
import type { Issued } from '../../../lab/pki/authority.ts';
import { eapProfile } from '../../../lab/profile-xml.ts';
import { SoftHsm } from '../../../lab/softhsm.ts';

const profile = 'choice';
const conditionalAccess = '1.3.6.1.4.1.311.87';

suite('eap/certificates', () => {
  let stage: EapStage;
  let card: SoftHsm;
  let right: Issued;
  let others: Readonly<Record<string, Issued>>;
  before(async () => {
    stage = await EapStage.set({
      prepare: async ({ client, pki }) => {
        card = await SoftHsm.create(client);
        await card.put(pki.user('rsa2048', 'carla'), 'VPN key');
        return { env: card.environment };
      },
    });
    const { pki } = stage.world;
    const issue = (commonName: string, more: object = {}): Issued =>
      pki.intermediate.issue({
        commonName,
        upn: `${commonName}@corp.example`,
        usages: ['clientAuth', 'conditionalAccess'],
        ...more,
      });
    right = issue('right');
    others = {
      expired: issue('expired', { validity: 'expired' }),
      'not-yet': issue('not-yet', { validity: 'not-yet' }),
      'another-use': issue('another-use', { usages: ['codeSigning'] }),
      'without-conditional-access': issue('without-conditional-access', { usages: ['clientAuth'] }),
      'of-another-authority': pki.stranger.issue({
        commonName: 'of-another-authority',
        upn: 'right@corp.example',
        usages: ['clientAuth', 'conditionalAccess'],
      }),
    };
  });
  afterEach(async () => {
    await card.insert();
    if ((await stage.product.status()).profiles.length > 0) await stage.strike(profile);
    await stage.product.settings('');
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const wish = (more: Partial<CertificateWish> = {}): CertificateWish => ({ kind: 'tls', trust: stage.trust, ...more });
  const filter = (): NonNullable<CertificateWish['filter']> => ({
    issuers: [stage.world.pki.intermediate.thumbprint],
    usages: { 'Conditional access': conditionalAccess },
    clientAuth: ['Conditional access'],
  });

  test('of six, the filter of the profile leaves one; explain says why not the others', async () => {
    await settings(await stage.directory({ right, ...others }));
    await stage.connect(profile, wish({ filter: filter() }), {});
    assert.equal(stage.radius.results().at(-1)?.certificate, 'right');
    const report = (await stage.product.ask('GET', `/v1/certificates?connection=${profile}`)).value as CertificateReport;
    assert.equal(report.outcome, 'chosen');
    assert.deepEqual(
      report.certificates.filter(({ chosen, suitable }) => chosen || suitable).map(({ subject }) => subject),
      ['CN=right,O=Example'],
    );
    const why = (name: string): readonly string[] =>
      report.certificates
        .find(({ subject }) => subject.startsWith(`CN=${name},`))!
        .criteria.filter(({ met }) => met === 'no')
        .map(({ criterion }) => criterion);
    assert.deepEqual(why('expired'), ['validity']);
    assert.deepEqual(why('not-yet'), ['validity']);
    assert.deepEqual(why('another-use'), ['extended key usage']);
    assert.deepEqual(why('without-conditional-access'), ['extended key usage']);
    assert.deepEqual(why('of-another-authority'), ['issuer']);
    const { stdout } = await stage.product.aovpn(['explain', 'certificate', profile]);
    for (const name of ['right', ...Object.keys(others)]) assert.ok(stdout.includes(`/${name}.pem`), name);
  });

  test('the filter names the root, which is beside the profile and in no file of the certificates', async () => {
    await settings(await stage.directory({ right, ...others }));
    const root = stage.world.pki.root.thumbprint;
    await stage.connect(profile, wish({ filter: { ...filter(), issuers: [root] } }), {});
    assert.equal(stage.radius.results().at(-1)?.certificate, 'right');
  });

  test('a profile that wants a smart card gets it, though there are certificates in files', async () => {
    await settings(await stage.directory({ right }), ...cardSettings());
    await stage.connect(profile, wish({ smartCard: true }), {});
    assert.equal(stage.radius.results().at(-1)?.certificate, 'carla');
  });

  test('a profile for a smart card is added on the command line, with the authority of the gateway', async () => {
    const { client, pki } = stage.world;
    await settings(...cardSettings());
    stage.trustRoots(profile);
    await client.exec(['rm', `/etc/aovpn/profiles.d/${profile}.ca.pem`]);
    client.write(`/run/incoming/${profile}.xml`, eapProfile(wish({ smartCard: true })));
    client.write('/run/incoming/ca.pem', pki.root.certificatePem);
    const incoming = [`/run/incoming/${profile}.xml`, '--gateway-ca', '/run/incoming/ca.pem'];
    const { status, stderr } = await stage.product.aovpn(['profile', 'add', ...incoming]);
    assert.equal(status, 0, stderr);
    await stage.product.waitForState(profile, 'up');
    assert.equal(stage.radius.results().at(-1)?.certificate, 'carla');
  });

  test('several fit, and a person says which', async () => {
    const { pki } = stage.world;
    const two = { first: pki.user('p256', 'first'), second: pki.user('p256', 'second') };
    await settings(await stage.directory(two));
    await stage.put(profile, wish({ simple: false }), {});
    const prompt = await stage.product.waitForPrompt(profile, 'certificate');
    assert.equal(prompt.choices?.length, 2);
    const choice = prompt.choices.find(({ text }) => text.includes('second'))!.id;
    await stage.product.answer(prompt, { answer: 'choose', choice });
    await stage.product.waitForState(profile, 'up');
    assert.equal(stage.radius.results().at(-1)?.certificate, 'second');
  });

  test('the PIN is asked for when no file has it, and not again for the next connection', async () => {
    await settings(...cardSettings({ pinFile: false }));
    await stage.put(profile, wish({ smartCard: true }), {});
    await stage.product.answer(await stage.product.waitForPrompt(profile, 'pin'), card.pin);
    await stage.product.waitForState(profile, 'up');
    assert.ok(!stage.product.daemon.output().includes(card.pin), 'the log holds the PIN');
  });

  test('a card that is pulled is missed at the next connection, and works again once it is back', async () => {
    await settings(...cardSettings());
    await stage.connect(profile, wish({ smartCard: true }), {});
    await stage.product.down(profile);
    await stage.product.waitForState(profile, 'held');
    card.remove();
    await stage.product.up(profile);
    const { problem } = await stage.product.waitForProblem(profile);
    assert.equal(problem?.side, 'certificate');
    await stage.product.down(profile);
    await card.insert();
    await stage.product.up(profile);
    await stage.product.waitForState(profile, 'up');
    assert.equal(stage.radius.results().at(-1)?.certificate, 'carla');
  });

  function cardSettings({ pinFile = true } = {}): readonly string[] {
    stage.world.client.write('/etc/aovpn/card.pin', card.pin, 0o600);
    return [
      `pkcs11-module = "${SoftHsm.module}"`,
      `pkcs11-token = "${card.label}"`,
      ...(pinFile ? ['pkcs11-pin-file = "card.pin"'] : []),
    ];
  }

  /** Whoever may answer a question counts as being there. */
  async function settings(...lines: readonly string[]): Promise<void> {
    await stage.product.settings(['[daemon]', 'prompt-users = [0]', `[profile."${profile}"]`, ...lines, ''].join('\n'));
  }
});
