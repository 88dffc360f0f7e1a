// What does not work says so: a stable code, the number Windows shows, whose side it is, and a cure. And nothing gets through.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import type { DaemonStatus, Side } from '@aovpn/api';
import type { GatewayOptions } from '../../../lab/gateway/strongswan.ts';
import { network } from '../../../lab/network.ts';
import type { GatewayCertificateKind } from '../../../lab/pki/pki.ts';
import { certificateProfile, eapTlsProfile, mschapv2Profile } from '../../../lab/profile-xml.ts';
import { repository } from '../../../lab/product.ts';
import { type Credentials, Stage } from '../../../lab/stage.ts';

suite('main/refusals', () => {
  let stage: Stage;
  let errorsPage: string;
  before(async () => {
    errorsPage = readFileSync(repository('docs/errors.md'), 'utf8');
    stage = await Stage.set();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  for (const [kind, code, windows, side, message] of [
    ['expired', 'AOV-IKE-132', 13801, 'gateway', /"[^"]*CN=vpn\.example\.net" expired at \d{4}-\d\d-\d\dT/],
    ['not-yet', 'AOV-IKE-133', 13801, 'host', /"[^"]*CN=vpn\.example\.net" is valid only from \d{4}-\d\d-\d\dT/],
    ['wrong-name', 'AOV-IKE-134', 13801, 'gateway', /vpn\.example\.net/],
    ['unknown-authority', 'AOV-IKE-131', 13801, 'gateway', /./],
    ['no-server-auth', 'AOV-IKE-135', 13801, 'gateway', /./],
    ['revoked', 'AOV-IKE-136', 13848, 'gateway', /./],
  ] as const satisfies readonly (readonly [GatewayCertificateKind, string, number, Side, RegExp])[]) {
    test(`gateway certificate: ${kind}`, async () => {
      const certificate = stage.world.pki.gateway(kind);
      await stage.world.publishRevocation();
      const options: Partial<GatewayOptions> = {
        certificate,
        authorities: [stage.world.pki.root.certificatePem, stage.world.pki.stranger.certificatePem],
        ...(kind === 'wrong-name' ? { id: 'other.example.net' } : {}),
      };
      await refuses({ gateway: options, code, windows, side, message });
      assert.equal(await stage.world.gateway.established(), 0);
    });
  }

  test('gateway certificate revoked, told by OCSP', async () => {
    const { pki } = stage.world;
    const certificate = pki.root.issue({
      commonName: network.gateway.name,
      dns: [network.gateway.name],
      ocspUrl: `http://${network.internet.pki}:${network.internet.ocspPort}/`,
    });
    pki.root.revoke(certificate);
    await stage.world.publishRevocation({ ocsp: true });
    await refuses({ gateway: { certificate }, code: 'AOV-IKE-136', windows: 13848, side: 'gateway' });
  });

  test('gateway certificate of unknown revocation, where the administrator wants to be sure', async () => {
    const certificate = stage.world.pki.root.issue({
      commonName: network.gateway.name,
      dns: [network.gateway.name],
      crlUrl: `http://${network.internet.pki}/there-is-none.crl`,
    });
    await refuses({
      gateway: { certificate },
      settings: 'revocation = "hard"',
      code: 'AOV-IKE-137',
      windows: 13848,
      side: 'gateway',
    });
  });

  test('a gateway whose certificate is good and not revoked connects, also when the administrator wants to be sure', async () => {
    const certificate = stage.world.pki.gateway('good', 'p256', { revocationUrls: true });
    await stage.world.publishRevocation();
    await stage.world.gateway.configure({ ...sane(stage), certificate });
    await stage.product.settings('[profile."sure"]\nrevocation = "hard"\n');
    await stage.product.put('sure', certificateProfile(), stage.machine());
    await stage.product.waitForState('sure', 'up');
    await stage.strike('sure');
  });

  test('machine certificate that the gateway does not know', async () => {
    const credentials = stage.machine(stage.world.pki.foreignMachine());
    await refuses({ credentials, code: 'AOV-IKE-150', windows: 13801, side: 'certificate' });
  });

  test('machine certificate that has expired: which, since when, where it lies', async () => {
    const credentials = stage.machine(stage.world.pki.outdatedMachine('expired'));
    const message =
      /^Our certificate has expired: laptop\.corp\.example \(file \/etc\/aovpn\/profiles\.d\/trouble\.pem\) expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC\. .*\[AOV-IKE-150\]$/;
    await refuses({ credentials, code: 'AOV-SUPERVISOR-349', windows: 13806, side: 'certificate', message });
  });

  test('machine certificate that is not valid yet', async () => {
    const credentials = stage.machine(stage.world.pki.outdatedMachine('not-yet'));
    const message =
      /^Our certificate is not valid yet: laptop\.corp\.example \(file \/.*trouble\.pem\) begins on \d{4}-.* UTC\. .*\[AOV-IKE-150\]$/;
    await refuses({ credentials, code: 'AOV-SUPERVISOR-350', windows: 13806, side: 'host', message });
  });

  test('no certificate at all', async () => {
    const { certificatePem: _certificate, keyPem: _key, ...credentials } = stage.machine();
    await refuses({ credentials, code: /^AOV-/, windows: 13806, side: 'certificate' });
  });

  test('wrong password', async () => {
    await refuses({
      gateway: { authentication: ['eap-mschapv2'] },
      xml: mschapv2Profile(),
      credentials: stage.user('alice', 'Tr0ub4dor&3'),
      code: 'AOV-EAP-202',
      windows: 691,
      side: 'credentials',
    });
    assert.ok(!stage.product.daemon.output().includes('Tr0ub4dor'), 'the log holds the password');
  });

  test('unknown user', async () => {
    await refuses({
      gateway: { authentication: ['eap-mschapv2'] },
      xml: mschapv2Profile(),
      credentials: stage.user('nobody', 'whatever'),
      code: /^AOV-EAP-/,
      side: /credentials|radius/,
    });
  });

  test('no password', async () => {
    await refuses({
      gateway: { authentication: ['eap-mschapv2'] },
      xml: mschapv2Profile(),
      credentials: { userName: 'alice', gatewayCaPem: stage.world.pki.root.certificatePem },
      code: 'AOV-SUPERVISOR-342',
      side: 'credentials',
    });
  });

  test('a gateway that speaks another EAP method', async () => {
    await refuses({
      gateway: { authentication: ['eap-tls'] },
      xml: mschapv2Profile(),
      credentials: stage.user(),
      code: /^AOV-EAP-20[16]$/,
      windows: 812,
      side: 'radius',
    });
  });

  test('EAP-TLS: server certificate from another root than the profile accepts', async () => {
    const { pki } = stage.world;
    await refuses({
      gateway: { authentication: ['eap-tls'] },
      xml: eapTlsProfile({ radius: { roots: [pki.stranger.thumbprint], names: network.gateway.name } }),
      credentials: stage.userCertificate('trouble'),
      code: 'AOV-EAP-211',
      windows: 864,
      side: 'radius',
    });
  });

  test('EAP-TLS: server certificate of another name', async () => {
    await refuses({
      gateway: { authentication: ['eap-tls'] },
      xml: eapTlsProfile({ radius: { roots: [stage.world.pki.root.thumbprint], names: 'nps.corp.example' } }),
      credentials: stage.userCertificate('trouble'),
      code: 'AOV-EAP-213',
      windows: 866,
      side: 'radius',
    });
  });

  test('EAP-TLS: user certificate that the server does not know', async () => {
    const stranger = stage.world.pki.stranger.issue({
      commonName: 'mallory',
      upn: 'mallory@corp.example',
      usages: ['clientAuth'],
    });
    await refuses({
      gateway: { authentication: ['eap-tls'], authorities: [stage.world.pki.root.certificatePem] },
      xml: eapTlsProfile({ radius: { roots: [stage.world.pki.root.thumbprint], names: network.gateway.name } }),
      credentials: stage.userCertificate('trouble', stranger),
      code: /^AOV-EAP-(216|230)$/,
      side: /certificate|radius/,
    });
  });

  test('no common proposal for IKE', async () => {
    await refuses({
      gateway: { ikeProposals: ['camellia256-sha256-modp2048s256'] },
      code: 'AOV-IKE-110',
      windows: 13868,
      side: 'gateway',
    });
  });

  test('no common proposal for ESP', async () => {
    await refuses({ gateway: { espProposals: ['aes192ctr-sha256'] }, code: 'AOV-IKE-111', windows: 13868, side: 'gateway' });
  });

  test('no address left', async () => {
    await refuses({ gateway: { pools: { v4: false, v6: false } }, code: 'AOV-IKE-161', windows: 13899, side: 'gateway' });
  });

  test('a name that does not exist', async () => {
    await refuses({
      xml: certificateProfile({ servers: 'nowhere.example.net' }),
      code: 'AOV-SUPERVISOR-301',
      windows: 868,
      side: 'network',
    });
  });

  test('a gateway that is silent', async () => {
    await stage.world.impair({ blackhole: true });
    try {
      await refuses({
        xml: certificateProfile({ servers: network.gateway.v4 }),
        code: 'AOV-IKE-101',
        windows: 809,
        side: 'network',
        timeoutMs: 120_000,
      });
    } finally {
      await stage.world.impair({});
    }
  });

  test('a gateway that is silent after the first answer', async () => {
    await stage.world.impair({ dropLongerThan: 760 });
    try {
      await refuses({
        xml: certificateProfile({ servers: network.gateway.v4 }),
        code: 'AOV-IKE-102',
        windows: 13805,
        side: 'network',
        timeoutMs: 120_000,
      });
    } finally {
      await stage.world.impair({});
    }
  });

  interface Trouble {
    readonly gateway?: Partial<GatewayOptions>;
    readonly xml?: string;
    readonly credentials?: Credentials;
    readonly settings?: string;
    readonly code: string | RegExp;
    readonly windows?: number;
    readonly side: Side | RegExp;
    /** As it stands in the status and in the log. */
    readonly message?: RegExp;
    readonly timeoutMs?: number;
  }

  async function refuses(trouble: Trouble): Promise<void> {
    const { world, product } = stage;
    await world.gateway.configure({ ...sane(stage), ...trouble.gateway });
    await product.settings(trouble.settings ? `[profile."trouble"]\n${trouble.settings}\n` : '');
    await product.put('trouble', trouble.xml ?? certificateProfile(), trouble.credentials ?? stage.machine());
    try {
      const { problem, state } = await product.waitForProblem('trouble', trouble.timeoutMs);
      assert.ok(problem);
      if (typeof trouble.code === 'string') assert.equal(problem.code, trouble.code, `${problem.message} (${problem.side})`);
      else assert.match(problem.code, trouble.code, problem.message);
      if (trouble.windows !== undefined) assert.equal(problem.windows, trouble.windows);
      if (typeof trouble.side === 'string') assert.equal(problem.side, trouble.side);
      else assert.match(problem.side, trouble.side);
      if (trouble.message) {
        assert.match(problem.message, trouble.message);
        assert.ok(product.daemon.output().includes(problem.message), 'the log has it');
      }
      assert.ok(problem.cure.length > 10 && problem.message.length > 10);
      assert.match(errorsPage, new RegExp(problem.code), 'the code is documented');
      assert.notEqual(state, 'up');
      await assert.rejects(world.application.connect(network.corp.web4, 80, 200), 'nothing gets through');
      const { stdout } = await product.aovpn(['status']);
      assert.match(stdout, new RegExp(problem.code), 'people see the code');
      if (trouble.message) {
        const words = (text: string): string => text.replaceAll(/\s+/g, ' ');
        assert.ok(words(stdout).includes(words(problem.message)), `people see what it is: ${stdout}`);
        const json = JSON.parse((await product.aovpn(['status', '--json'])).stdout) as DaemonStatus;
        assert.equal(json.connections.find(({ name }) => name === 'trouble')?.problem?.message, problem.message);
      }
    } finally {
      await product.remove('trouble');
      await world.gateway.terminate();
    }
  }
});

function sane(stage: Stage): GatewayOptions {
  return {
    certificate: stage.world.pki.gateway(),
    authorities: [stage.world.pki.root.certificatePem],
    authentication: ['pubkey'],
    id: network.gateway.name,
    ikeProposals: ['aes256gcm16-aes128gcm16-prfsha256-prfsha384-x25519-ecp256-ecp384-modp2048'],
    espProposals: ['aes256gcm16-aes128gcm16'],
    pools: { v4: true, v6: true },
  };
}
