// The servers alone, asked by a peer that is not ours: wpa_supplicant's eapol_test, and charon as a client. A row that fails here is the lab's fault;
// a row that passes here and fails in eap/methods is ours.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { configText, eapolTest, type EapolTestResult } from '../../../lab/peer/eapol-test.ts';
import { StrongswanClient } from '../../../lab/peer.ts';
import { radiusName } from '../../../lab/pki/pki.ts';
import { RadiusRelay } from '../../../lab/radius-relay.ts';
import { accounts, freeRadiusOptions, hostapdOptions } from '../../../lab/radius-accounts.ts';
import { FreeRadius, radiusServer } from '../../../lab/server/freeradius.ts';
import { HostapdRadius, hostapdServer } from '../../../lab/server/hostapd-radius.ts';
import { users } from '../../../lab/stage.ts';
import { World } from '../../../lab/world.ts';

const [alice, upn] = ['alice', 'alice@corp.example'] as const;
const ca = '"/run/reference/radius-ca.pem"';
const password = { identity: configText(alice), password: configText(users.alice) };
const certificate = {
  identity: configText(upn),
  client_cert: '"/run/reference/user.pem"',
  private_key: '"/run/reference/user.key"',
};
const innerCertificate = {
  identity: configText(upn),
  ca_cert2: ca,
  client_cert2: certificate.client_cert,
  private_key2: certificate.private_key,
};
const tunnel = { anonymous_identity: '"anonymous"', ca_cert: ca };

interface Row {
  readonly name: string;
  readonly network: Readonly<Record<string, string>>;
  /** User and method that the server must have seen inside the tunnel, or outside where there is none. */
  readonly user: string;
  readonly method: string;
  /** A second connection resumes the first one's session. */
  readonly resumes: boolean;
}

const peap = { eap: 'PEAP', phase1: '"peapver=0"', ...tunnel };
const ttls = { eap: 'TTLS', ...tunnel };
const rows: readonly Row[] = [
  { name: 'EAP-TLS', network: { eap: 'TLS', ca_cert: ca, ...certificate }, user: upn, method: 'TLS', resumes: true },
  {
    name: 'PEAP, EAP-MSCHAPv2 inside',
    network: { ...peap, ...password, phase2: '"auth=MSCHAPV2"' },
    user: alice,
    method: 'MSCHAPv2',
    resumes: true,
  },
  {
    name: 'PEAP, EAP-TLS inside',
    network: { ...peap, ...innerCertificate, phase2: '"auth=TLS"' },
    user: upn,
    method: 'TLS',
    resumes: true,
  },
  {
    name: 'PEAP, EAP-GTC inside',
    network: { ...peap, ...password, phase2: '"auth=GTC"' },
    user: alice,
    method: 'GTC',
    resumes: true,
  },
  ...(
    [
      ['PAP', 'auth=PAP', 'PAP'],
      ['CHAP', 'auth=CHAP', 'CHAP'],
      ['MS-CHAP', 'auth=MSCHAP', 'MS-CHAP'],
      ['MS-CHAPv2', 'auth=MSCHAPV2', 'MS-CHAP'],
      ['EAP-MSCHAPv2', 'autheap=MSCHAPV2', 'MSCHAPv2'],
      ['EAP-GTC', 'autheap=GTC', 'GTC'],
    ] as const
  ).map(([name, phase2, method]) => ({
    name: `EAP-TTLS, ${name} inside`,
    network: { ...ttls, ...password, phase2: `"${phase2}"` },
    user: alice,
    method,
    resumes: true,
  })),
  {
    name: 'EAP-TTLS, EAP-TLS inside',
    network: { ...ttls, ...innerCertificate, phase2: '"autheap=TLS"' },
    user: upn,
    method: 'TLS',
    resumes: true,
  },
];

suite('eap/reference', () => {
  let world: World;
  let radius: FreeRadius;
  let hostapd: HostapdRadius;
  before(async () => {
    world = await World.create({ bare: true });
    radius = await FreeRadius.start(world.corp, { ...freeRadiusOptions(world.pki), fastReconnect: true });
    hostapd = await HostapdRadius.start(world.corp, { ...hostapdOptions(world.pki), fastReconnect: true });
    const user = world.pki.user();
    world.gatewayHost.write('/run/reference/radius-ca.pem', world.pki.radiusRoot.certificatePem);
    world.gatewayHost.write('/run/reference/user.pem', user.chainPem);
    world.gatewayHost.write('/run/reference/user.key', user.keyPem, 0o600);
  });
  after(async () => await world?.close());

  /** eapol_test leaves TLS 1.3 out unless it is told otherwise. */
  function speaking(network: Row['network'], tls: '1.2' | '1.3'): Row['network'] {
    if (tls === '1.2') return network;
    const words = (phase: string | undefined): string =>
      `"${[(phase ?? '').slice(1, -1), 'tls_disable_tlsv1_3=0'].join(' ').trim()}"`;
    const inner = network['phase2'];
    return { ...network, phase1: words(network['phase1']), ...(inner?.endsWith('TLS"') ? { phase2: words(inner) } : {}) };
  }

  function succeeded(result: EapolTestResult, times: number): void {
    assert.ok(result.success, result.log.slice(-3000));
    assert.equal(result.keys, times, 'both ends have the same key');
  }

  test('EAP-MSCHAPv2 with FreeRADIUS', async () => {
    for (const [name, secret] of Object.entries(users)) {
      const network = { eap: 'MSCHAPV2', identity: configText(name), password: configText(secret) };
      succeeded(await eapolTest(world.gatewayHost, { server: radiusServer, network }), 1);
      const last = radius.results().at(-1);
      assert.deepEqual([last?.outcome, last?.user, last?.method], ['accept', name, 'MSCHAPv2']);
    }
  });

  for (const [name, why] of [
    ['dave', 'disabled'],
    ['erin', 'of an expired password'],
  ] as const) {
    test(`EAP-MSCHAPv2 with FreeRADIUS: an account ${why}`, async () => {
      const network = { eap: 'MSCHAPV2', identity: configText(name), password: configText(accounts[name].password) };
      const result = await eapolTest(world.gatewayHost, { server: radiusServer, network });
      assert.ok(!result.success);
      assert.match(result.log, name === 'erin' ? /EAP-MSCHAPV2: error 648/ : /EAP-MSCHAPV2: error 691/);
    });
  }

  for (const tls of ['1.2', '1.3'] as const) {
    suite(`FreeRADIUS, TLS ${tls}`, () => {
      before(async () => await radius.configure({ tls }));
      for (const row of rows) {
        test(row.name, async () => {
          const earlier = radius.results().length;
          const result = await eapolTest(world.gatewayHost, {
            server: radiusServer,
            network: speaking(row.network, tls),
            again: row.resumes ? 1 : 0,
          });
          succeeded(result, row.resumes ? 2 : 1);
          const seen = radius.results().slice(earlier);
          assert.ok(seen.every(({ outcome }) => outcome === 'accept'));
          const proof = seen.find(({ where }) => where === 'inner') ?? seen[0]!;
          assert.deepEqual([proof.user, proof.method], [row.user, row.method]);
          if (row.method === 'TLS') assert.equal(proof.certificate, alice);
          const outer = seen.filter(({ where }) => where === 'outer');
          assert.ok(outer.every((one) => one.tls === `TLS ${tls}`));
          if (row.network['anonymous_identity']) assert.ok(outer.every(({ user }) => user === 'anonymous'));
          assert.deepEqual(
            outer.map(({ resumed }) => resumed),
            row.resumes ? [false, true] : [false],
          );
        });
      }
    });
  }

  // In TLS 1.3 hostapd 2.10 takes the compound keys from another label than its own peer does, so only 1.2 stands here.
  suite('hostapd with cryptobinding, TLS 1.2', () => {
    for (const inner of ['MSCHAPV2', 'TLS'] as const) {
      test(`PEAP, EAP-${inner} inside`, async () => {
        await hostapd.configure({ inner });
        const network = {
          ...peap,
          ...(inner === 'TLS' ? innerCertificate : password),
          phase1: '"peapver=0 crypto_binding=2"',
          phase2: `"auth=${inner}"`,
        };
        succeeded(await eapolTest(world.gatewayHost, { server: hostapdServer, network, again: 1 }), 2);
        assert.match(hostapd.log(), /EAP-PEAP: Valid cryptobinding TLV received/);
        assert.match(hostapd.log(), /EAP-PEAP: Resuming previous session|resumed=1/);
      });
    }
  });

  test('FreeRADIUS does not bind, and a peer that requires it is not content', async () => {
    const network = { ...peap, ...password, phase1: '"peapver=0 crypto_binding=2"', phase2: '"auth=MSCHAPV2"' };
    await radius.configure({ tls: '1.2' });
    assert.ok(!(await eapolTest(world.gatewayHost, { server: radiusServer, network, timeoutSeconds: 4 })).success);
  });

  test('long chains of certificates, fragmented both ways', async () => {
    const user = world.pki.user('rsa2048', alice, 'long-chain');
    world.gatewayHost.write('/run/reference/long.pem', user.chainPem);
    world.gatewayHost.write('/run/reference/long.key', user.keyPem, 0o600);
    await radius.configure({ certificate: world.pki.radius('long-chain', 'rsa2048'), fragmentSize: 500 });
    const network = {
      eap: 'TLS',
      ca_cert: ca,
      identity: configText(upn),
      client_cert: '"/run/reference/long.pem"',
      private_key: '"/run/reference/long.key"',
      fragment_size: '500',
    };
    const result = await eapolTest(world.gatewayHost, { server: radiusServer, network });
    succeeded(result, 1);
    const fragments = (way: string): number => result.log.split(way).length - 1;
    assert.ok(fragments('SSL: Building ACK') >= 10, 'the server sends many pieces');
    assert.ok(fragments('SSL: sending') >= 10, 'so does the peer');
    await radius.configure({ certificate: world.pki.radius(), fragmentSize: 1024 });
  });

  suite('a relay between gateway and server', () => {
    let relay: RadiusRelay;
    before(async () => {
      relay = await RadiusRelay.start(world.gatewayHost, radiusServer);
    });
    after(async () => await relay?.stop());
    const network = { ...peap, ...password, phase2: '"auth=MSCHAPV2"' };

    test('passes everything', async () => {
      succeeded(await eapolTest(world.gatewayHost, { server: relay.server, network }), 1);
    });

    for (const notify of [undefined, { text: 'Approve the sign-in on your phone', everyMs: 200 }]) {
      for (const answer of ['accept', 3] as const) {
        // eapol_test hears no notification after PEAP has ended.
        if (notify && answer === 'accept') continue;
        test(`holds answer ${answer} back ${notify ? 'and says so meanwhile' : 'in silence'}`, async () => {
          const held = relay.held;
          await relay.set({ hold: { answer, ms: 1000 }, ...(notify && { notify }) });
          const started = performance.now();
          const result = await eapolTest(world.gatewayHost, { server: relay.server, network });
          succeeded(result, 1);
          assert.ok(performance.now() - started >= 1000);
          assert.equal(relay.held, held + 1);
          if (notify) assert.match(result.log, /EAP: EAP entering state NOTIFICATION/);
        });
      }
    }

    test('swallows every answer', async () => {
      await relay.set({ silent: true });
      assert.ok(!(await eapolTest(world.gatewayHost, { server: relay.server, network, timeoutSeconds: 2 })).success);
    });
  });

  suite('charon as a client, through the gateway', () => {
    before(async () => {
      await radius.configure({ certificate: world.pki.radius(), tls: '1.2', fragmentSize: 1024 });
      await world.startGateway({ authentication: ['eap-radius'], radius: radiusServer, users });
    });

    for (const [method, via] of [
      ['eap-mschapv2', 'eap-radius'],
      ['eap-tls', 'eap-radius'],
      ['eap-ttls', 'eap-radius'],
      ['eap-mschapv2', 'eap-mschapv2'],
      ['eap-tls', 'eap-tls'],
      ['eap-ttls', 'eap-ttls'],
    ] as const) {
      test(`${method}, ${via === 'eap-radius' ? 'asked by FreeRADIUS' : "asked by the gateway's own server"}`, async () => {
        const { pki } = world;
        await world.gateway.configure({ authentication: [via] });
        const peer = new StrongswanClient(world.client, {
          eap: method,
          authority: pki.root.certificatePem,
          ...(method === 'eap-tls'
            ? { certificate: pki.user(), identity: upn }
            : { user: { name: alice, password: users.alice } }),
          ...(via === 'eap-radius' ? { radius: { authority: pki.radiusRoot.certificatePem, name: radiusName } } : {}),
        });
        await peer.start();
        try {
          await peer.initiate();
          assert.equal(await world.gateway.established(), 1);
          await peer.terminate();
        } catch (error) {
          throw new Error(`${String(error)}\n${peer.log().slice(-2000)}\n${world.gateway.log().slice(-2000)}`, { cause: error });
        } finally {
          await peer.stop();
        }
      });
    }
  });
});
