// Every method a ProfileXML can ask for, with every inner method and every place of a key, in TLS 1.2 and 1.3, by way of strongSwan's eap-radius to a
// real FreeRADIUS. Each row is looked at from both ends: what the server saw, and what our status says of the server.
import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test } from 'node:test';
import type { ConnectionStatus } from '@aovpn/api';
import { Capture, contains } from '../../../lab/capture.ts';
import type { CertificateWish, EapWish } from '../../../lab/eap-xml.ts';
import { EapStage } from '../../../lab/eap-stage.ts';
import { type KeySource, KeySources, keySources } from '../../../lab/key-source.ts';
import { network } from '../../../lab/network.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import { radiusName } from '../../../lab/pki/pki.ts';
import { users } from '../../../lab/stage.ts';

const profile = 'eap';
const upn = 'alice@corp.example';

interface Row {
  readonly wish: EapWish;
  /** As status has it, but for the version of TLS. */
  readonly method: string;
  /** By its name in FreeRADIUS: what it saw inside, or at all where there is no inside. */
  readonly seen: string;
}

suite('eap/methods', () => {
  let stage: EapStage;
  let keys: KeySources;
  before(async () => {
    stage = await EapStage.set({
      prepare: async (world) => {
        keys = await KeySources.create(world, (key) => world.pki.user(key));
        return { env: keys.environment };
      },
    });
  });
  afterEach(async () => {
    if ((await stage.product.status()).profiles.length > 0) await stage.strike(profile);
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  // The world, and with it its authorities, is made later than the rows.
  const trust = { names: radiusName, roots: ['@'] };
  const tls: CertificateWish = { kind: 'tls', trust };
  const peap = { kind: 'peap', trust, anonymous: 'anonymous' } as const;
  const ttls = { kind: 'ttls', trust, anonymous: 'anonymous' } as const;
  const passwordRows: readonly Row[] = [
    {
      wish: { ...peap, inner: { kind: 'mschapv2' } },
      method: 'PEAP with TLS {v}, EAP-MSCHAPv2 inside, no cryptobinding',
      seen: 'MSCHAPv2',
    },
    { wish: { ...ttls, inner: 'pap' }, method: 'EAP-TTLS with TLS {v}, PAP', seen: 'PAP' },
    { wish: { ...ttls, inner: 'chap' }, method: 'EAP-TTLS with TLS {v}, CHAP', seen: 'CHAP' },
    { wish: { ...ttls, inner: 'mschap' }, method: 'EAP-TTLS with TLS {v}, MS-CHAP', seen: 'MS-CHAP' },
    { wish: { ...ttls, inner: 'mschapv2' }, method: 'EAP-TTLS with TLS {v}, MS-CHAPv2', seen: 'MS-CHAP' },
    { wish: { ...ttls, inner: { kind: 'mschapv2' } }, method: 'EAP-TTLS with TLS {v}, EAP-MSCHAPv2', seen: 'MSCHAPv2' },
  ];
  /** What asks for a token code takes the password file for it as well. */
  const tokenRows: readonly Row[] = [
    { wish: { ...peap, inner: { kind: 'gtc' } }, method: 'PEAP with TLS {v}, EAP-GTC inside, no cryptobinding', seen: 'GTC' },
    { wish: { ...ttls, inner: { kind: 'gtc' } }, method: 'EAP-TTLS with TLS {v}, EAP-GTC', seen: 'GTC' },
  ];
  const certificateRows: readonly Row[] = [
    { wish: tls, method: 'EAP-TLS with TLS {v}', seen: 'TLS' },
    { wish: { ...peap, inner: tls }, method: 'PEAP with TLS {v}, EAP-TLS with TLS {v} inside, no cryptobinding', seen: 'TLS' },
    { wish: { ...ttls, inner: tls }, method: 'EAP-TTLS with TLS {v}, EAP-TLS with TLS {v}', seen: 'TLS' },
  ];

  test('EAP-MSCHAPv2 without a tunnel', async () => {
    for (const [name, password] of Object.entries(users)) {
      const connection = await stage.connect(profile, { kind: 'mschapv2' }, stage.password(name, password));
      const { crypto } = connection;
      assert.equal(crypto?.radius?.method, 'EAP-MSCHAPv2');
      assert.equal(crypto.radius.tls, undefined);
      const last = stage.radius.results().at(-1);
      assert.deepEqual([last?.outcome, last?.user, last?.method], ['accept', name, 'MSCHAPv2']);
      await stage.strike(profile);
    }
  });

  for (const version of ['1.2', '1.3'] as const) {
    suite(`TLS ${version}`, () => {
      before(async () => await stage.radius.configure({ tls: version }));

      for (const row of [...passwordRows, ...tokenRows]) {
        test(titleOf(row), async () => {
          const connection = await connect(row.wish, stage.password());
          bothEnds(connection, row, version, { user: 'alice' });
        });
      }

      for (const row of certificateRows) {
        for (const source of keySources) {
          test(`${titleOf(row)}, key: ${source}`, async () => {
            const { credentials, settings } = await keys.speakFor(stage, profile, source);
            await stage.product.settings(settings);
            const connection = await connect(row.wish, credentials);
            bothEnds(connection, row, version, { user: upn, certificate: 'alice' });
            await stage.product.settings('');
          });
        }
      }
    });
  }

  for (const source of keySources.filter((one) => one.startsWith('token')) satisfies readonly KeySource[]) {
    test(`no EAP at all: a machine certificate, key: ${source}`, async () => {
      await stage.world.gateway.configure({ authentication: ['pubkey'] });
      try {
        const { credentials, settings } = await keys.speakFor(stage, profile, source);
        await stage.product.settings(settings);
        stage.trustRoots(profile);
        await stage.product.put(profile, certificateProfile(), credentials);
        const { crypto } = await stage.product.waitForState(profile, 'up');
        assert.equal(crypto?.radius, undefined);
        await stage.product.settings('');
      } finally {
        await stage.world.gateway.configure({ authentication: ['eap-radius'] });
      }
    });
  }

  test('long chains of certificates, in small pieces both ways', async () => {
    await stage.radius.configure({ tls: '1.2', fragmentSize: 400, certificate: stage.world.pki.radius('long-chain', 'rsa2048') });
    try {
      const earlier = stage.radius.log().length;
      const user = stage.world.pki.user('rsa2048', 'alice', 'long-chain');
      const connection = await connect(tls, stage.certificate(user));
      assert.equal(connection.crypto?.radius?.method, 'EAP-TLS with TLS 1.2');
      const log = stage.radius.log().slice(earlier);
      assert.ok(log.split('Received Access-Request').length > 30, 'many pieces');
    } finally {
      await stage.radius.configure({ fragmentSize: 1024, certificate: stage.world.pki.radius() });
    }
  });

  suite('fast reconnect', () => {
    before(async () => await stage.radius.configure({ fastReconnect: true, tls: '1.2' }));
    after(async () => await stage.radius.configure({ fastReconnect: false, tls: '1.2' }));
    for (const version of ['1.2', '1.3'] as const) {
      test(`PEAP in TLS ${version}: the second connection resumes the first one's session and asks for no password`, async () => {
        await stage.radius.configure({ tls: version });
        const wish: EapWish = { ...peap, inner: { kind: 'mschapv2' } };
        const first = await connect(wish, stage.password());
        assert.equal(first.crypto?.radius?.tls?.resumed, false);
        await reconnect();
        const second = await stage.product.waitForState(profile, 'up');
        assert.equal(second.crypto?.radius?.tls?.resumed, true);
        assert.match(second.crypto.radius.tls.server?.subject ?? '', new RegExp(radiusName), 'status still knows whom it trusts');
        const [last] = stage.radius.results().slice(-1);
        assert.deepEqual([last?.where, last?.outcome, last?.resumed], ['outer', 'accept', true]);
        assert.equal(stage.radius.results().filter(({ where }) => where === 'inner').length, 1, 'MS-CHAPv2 ran once');
      });
    }

    test('a profile without it, and the server would', async () => {
      await connect({ ...peap, inner: { kind: 'mschapv2' }, fastReconnect: false }, stage.password());
      await reconnect();
      const second = await stage.product.waitForState(profile, 'up');
      assert.equal(second.crypto?.radius?.tls?.resumed, false);
      assert.equal(stage.radius.results().at(-1)?.resumed, false);
    });

    test('a server that has forgotten the session gets the whole conversation', async () => {
      await connect({ ...peap, inner: { kind: 'mschapv2' } }, stage.password());
      await stage.product.down(profile);
      await stage.radius.stop();
      await stage.radius.start();
      await stage.product.up(profile);
      const second = await stage.product.waitForState(profile, 'up');
      assert.equal(second.crypto?.radius?.tls?.resumed, false);
      assert.deepEqual(
        stage.radius.results().map(({ where, outcome }) => `${where} ${outcome}`),
        ['inner accept', 'outer accept'],
      );
    });
  });

  suite('who can read the name of the user', () => {
    before(async () => await stage.radius.configure({ fastReconnect: false, tls: '1.2' }));
    for (const [what, anonymous, readable] of [
      ['with identity privacy: nobody between gateway and RADIUS server, nor the gateway', 'anonymous@corp.example', false],
      ['without it, as the positive control: everybody there', undefined, true],
    ] as const) {
      test(what, async () => {
        const { gatewayHost, gateway } = stage.world;
        const capture = await Capture.start(gatewayHost, network.gateway.inside);
        const wish: EapWish = { kind: 'peap', trust, inner: { kind: 'mschapv2' }, ...(anonymous && { anonymous }) };
        await connect(wish, stage.password());
        const packets = await capture.stop();
        assert.equal(contains(packets, anonymous ?? 'alice'), true);
        assert.equal(contains(packets, 'alice'), readable);
        assert.equal((await gateway.sas()).includes('alice'), readable);
        assert.equal(stage.radius.results().find(({ where }) => where === 'inner')?.user, 'alice');
      });
    }
  });

  /** Without what is the same in every row of a suite. */
  function titleOf({ method }: Row): string {
    return method.replaceAll(/ with TLS \{v\}|, no cryptobinding/g, '');
  }

  /** Puts the world's authorities into a wish. */
  function filled<T extends EapWish>(wish: T): T {
    const roots = stage.trust.roots;
    return JSON.parse(JSON.stringify(wish), (_key, value: unknown) =>
      Array.isArray(value) && value[0] === '@' ? roots : value,
    ) as T;
  }

  function connect(wish: EapWish, credentials: Parameters<EapStage['connect']>[2]): Promise<ConnectionStatus> {
    return stage.connect(profile, filled(wish), credentials);
  }

  async function reconnect(): Promise<void> {
    await stage.product.down(profile);
    await stage.product.waitForState(profile, 'held');
    await stage.product.up(profile);
  }

  function bothEnds(
    connection: ConnectionStatus,
    row: Row,
    version: string,
    who: { readonly user: string; readonly certificate?: string },
  ): void {
    const { radius } = connection.crypto!;
    assert.equal(radius?.method, row.method.replaceAll('{v}', version));
    assert.match(radius.tls?.version ?? '', new RegExp(`^${version.replace('.', '\\.')}$`));
    assert.equal(radius.tls?.resumed, false);
    assert.match(radius.tls.server?.subject ?? '', new RegExp(`CN=${radiusName}`));
    assert.match(radius.tls.server?.root ?? '', /Example RADIUS Root CA/);
    assert.ok(radius.tls.server?.names.includes(radiusName));
    assert.notEqual(connection.crypto?.gatewaySubject, radius.tls?.server?.subject);
    assert.notEqual(radius.cryptobinding, true, 'FreeRADIUS has no cryptobinding');

    const tunnelled = row.wish.kind !== 'tls';
    const [proof, outer] = stage.radius.results().slice(tunnelled ? -2 : -1);
    assert.deepEqual(
      [proof?.outcome, proof?.where, proof?.user, proof?.method, proof?.certificate],
      ['accept', tunnelled ? 'inner' : 'outer', who.user, row.seen, who.certificate ?? ''],
    );
    if (tunnelled) {
      // The realm says where to ask, so it stays.
      const realm = who.user.includes('@') ? '@corp.example' : '';
      assert.deepEqual([outer?.outcome, outer?.where, outer?.user], ['accept', 'outer', `anonymous${realm}`]);
    }
    // FreeRADIUS does not note the version where the handshake's end and the first of the inside come in one packet (TLS 1.3 in EAP-TTLS).
    const { tls } = (outer ?? proof)!;
    if (tls !== '' || version === '1.2') assert.equal(tls, `TLS ${version}`);
  }
});
