// What goes wrong with RADIUS, certificates and accounts, each by a real misconfiguration: a stable code, the number that Windows shows, whose side it
// is, a cure, and `aovpn doctor` that finds it. And nothing gets through.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import type { Side } from '@aovpn/api';
import { EapStage } from '../../../lab/eap-stage.ts';
import type { CertificateWish, EapWish } from '../../../lab/eap-xml.ts';
import { network } from '../../../lab/network.ts';
import { Authority, type Issued } from '../../../lab/pki/authority.ts';
import type { RadiusCertificateKind } from '../../../lab/pki/pki.ts';
import { repository } from '../../../lab/product.ts';
import { accounts } from '../../../lab/radius-accounts.ts';
import { OpensslRadius } from '../../../lab/server/openssl-radius.ts';
import { type FreeRadiusOptions, radiusServer } from '../../../lab/server/freeradius.ts';
import type { Credentials } from '../../../lab/stage.ts';

interface Trouble {
  readonly wish?: EapWish;
  readonly credentials?: Credentials;
  readonly radius?: Partial<FreeRadiusOptions>;
  readonly settings?: string;
  readonly code: string | RegExp;
  readonly windows?: number;
  readonly side: Side | RegExp;
  readonly message?: RegExp;
  readonly timeoutMs?: number;
  /** The server never saw a whole authentication, or refused it. */
  readonly unseen?: boolean;
}

suite('eap/refusals', () => {
  let stage: EapStage;
  let errorsPage: string;
  before(async () => {
    errorsPage = readFileSync(repository('docs/errors.md'), 'utf8');
    stage = await EapStage.set();
    await stage.world.publishRevocation();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const peap = (): EapWish => ({ kind: 'peap', trust: stage.trust, inner: { kind: 'mschapv2' }, anonymous: 'anonymous' });
  const tls = (more: Partial<CertificateWish> = {}): CertificateWish => ({ kind: 'tls', trust: stage.trust, ...more });

  suite("the RADIUS server's certificate", () => {
    for (const [kind, code, windows, side] of [
      ['expired', 'AOV-EAP-212', 858, 'radius'],
      ['not-yet', 'AOV-EAP-231', 858, 'host'],
      ['wrong-name', 'AOV-EAP-213', 866, 'radius'],
      ['unknown-authority', 'AOV-EAP-211', 864, 'radius'],
      ['revoked', 'AOV-EAP-214', 859, 'radius'],
      ['no-server-auth', 'AOV-EAP-232', 857, 'radius'],
    ] as const satisfies readonly (readonly [RadiusCertificateKind, string, number, Side])[]) {
      for (const method of ['PEAP', 'EAP-TLS'] as const) {
        test(`${kind}, ${method}`, async () => {
          const certificate = stage.world.pki.radius(kind);
          if (kind === 'revoked') await stage.world.publishRevocation();
          const own = method === 'PEAP' ? {} : { wish: tls(), credentials: stage.certificate() };
          await refuses({ ...own, radius: { certificate }, code, windows, side });
        });
      }
    }

    test('is below another root than the one in TrustedRootCA', async () => {
      const trust = { ...stage.trust, roots: [stage.world.pki.root.thumbprint] };
      const wish: EapWish = { kind: 'peap', trust, inner: { kind: 'mschapv2' } };
      await refuses({ wish, code: 'AOV-EAP-211', windows: 864, side: 'radius' });
    });

    test('is of unknown revocation, where the administrator wants to be sure', async () => {
      const { pki } = stage.world;
      const crlUrl = `http://${network.internet.pki}/there-is-none.crl`;
      const certificate = pki.radiusRoot.issue({ commonName: stage.trust.names, dns: [stage.trust.names], crlUrl });
      await refuses({
        radius: { certificate },
        settings: 'radius-revocation = "hard"',
        code: /^AOV-EAP-2(14|3\d)$/,
        side: 'radius',
      });
    });

    test('inside PEAP: the inner EAP-TLS has expectations of its own', async () => {
      const inner = tls({ trust: { names: 'another.corp.example', roots: stage.trust.roots } });
      const wish: EapWish = { kind: 'peap', trust: stage.trust, inner };
      await refuses({ wish, credentials: stage.certificate(), code: 'AOV-EAP-213', windows: 866, side: 'radius' });
    });
  });

  suite('our certificate, by what we see ourselves: nothing leaves', () => {
    for (const [what, kind, code, windows, side] of [
      ['has expired', 'expired', 'AOV-SUPERVISOR-349', 854, 'certificate'],
      ['is not valid yet', 'not-yet', 'AOV-SUPERVISOR-350', 856, 'host'],
      ['is not meant for clients', 'no-client-auth', 'AOV-SUPERVISOR-346', 798, 'certificate'],
    ] as const) {
      test(what, async () => {
        const settings = await stage.directory({ alice: stage.world.pki.user('p256', 'alice', kind) });
        await refuses({ wish: tls(), credentials: {}, settings, code, windows, side, unseen: true });
      });
    }

    test('comes from none of the authorities in the filter', async () => {
      const settings = await stage.directory({ alice: stage.world.pki.user() });
      const wish = tls({ filter: { issuers: [stage.world.pki.stranger.thumbprint] } });
      const expected = { code: 'AOV-SUPERVISOR-346', windows: 798, side: 'certificate', unseen: true } as const;
      await refuses({ wish, credentials: {}, settings, ...expected });
    });

    test('is not there', async () => {
      const expected = { code: 'AOV-SUPERVISOR-345', windows: 798, side: 'certificate', unseen: true } as const;
      await refuses({ wish: tls(), credentials: {}, ...expected });
    });

    test('is not on a smart card, and the profile wants one', async () => {
      const settings = await stage.directory({ alice: stage.world.pki.user() });
      const expected = { code: 'AOV-SUPERVISOR-347', windows: 798, side: 'certificate', unseen: true } as const;
      await refuses({ wish: tls({ smartCard: true }), credentials: {}, settings, ...expected });
    });

    test('is one of two, and nobody is there to say which', async () => {
      const { pki } = stage.world;
      const settings = await stage.directory({ alice: pki.user(), again: pki.user('rsa2048') });
      const expected = { code: 'AOV-SUPERVISOR-348', windows: 798, side: 'certificate', unseen: true } as const;
      await refuses({ wish: tls({ simple: false }), credentials: {}, settings, ...expected });
    });
  });

  suite('our certificate, as the server sees it', () => {
    /** Nobody minds here; the server does. */
    const refused: Readonly<
      Record<
        string,
        { readonly issued: () => Issued; readonly wish?: () => EapWish; readonly code: string; readonly windows: number }
      >
    > = {
      'is below an authority that has expired': {
        issued: () =>
          new Authority('Example Issuing CA of last week', { issuer: stage.world.pki.root, validity: 'expired' }).issue(alice),
        code: 'AOV-EAP-227',
        windows: 854,
      },
      'has been revoked': { issued: () => stage.world.pki.user('p256', 'mallory', 'revoked'), code: 'AOV-EAP-228', windows: 855 },
      'comes from an authority that the server does not know': {
        issued: () => stage.world.pki.user('p256', 'alice', 'unknown-authority'),
        code: 'AOV-EAP-229',
        windows: 861,
      },
      "is for any purpose in Microsoft's words, which this server does not take": {
        issued: () => stage.world.pki.root.issue({ ...alice, usages: ['anyPurpose'] }),
        wish: () => tls({ filter: { anyPurpose: [] } }),
        code: 'AOV-EAP-230',
        windows: 856,
      },
    };
    const alice = { commonName: 'alice', upn: 'alice@corp.example', usages: ['clientAuth'] } as const;

    for (const version of ['1.2', '1.3'] as const) {
      for (const [what, { issued, wish, code, windows }] of Object.entries(refused)) {
        test(`${what}; TLS ${version}, and the server says so`, async () => {
          const { pki, corp, gateway } = stage.world;
          const credentials = stage.certificate(issued());
          const server = await OpensslRadius.start(corp, {
            certificate: pki.radius(),
            authorities: [pki.root.certificatePem],
            tls: version,
            ...(code === 'AOV-EAP-228' ? { revocationList: pki.root.crlPem() } : {}),
          });
          try {
            await gateway.configure({ radius: server.server });
            await refuses({ wish: wish?.() ?? tls(), credentials, code, windows, side: 'certificate', unseen: true });
          } finally {
            await server.stop();
            await stage.ask('freeradius');
          }
        });

        test(`${what}; TLS ${version}, and the server keeps the reason to itself`, async () => {
          const credentials = stage.certificate(issued());
          const revocationLists = code === 'AOV-EAP-228' ? [stage.world.pki.root.crlPem()] : [];
          const radius = { tls: version, revocationLists };
          const expected = { code: 'AOV-EAP-216', windows: 853, side: 'certificate' } as const;
          await refuses({ wish: wish?.() ?? tls(), credentials, radius, ...expected });
        });
      }
    }

    for (const version of ['1.2', '1.3'] as const) {
      test(`has expired; TLS ${version}, the server keeps the reason to itself, and we know it`, async () => {
        await refuses({
          wish: tls(),
          credentials: stage.certificate(stage.world.pki.user('p256', 'alice', 'expired')),
          radius: { tls: version },
          code: 'AOV-SUPERVISOR-349',
          windows: 854,
          side: 'certificate',
          message: /: alice@corp\.example \(file \/.*\) expired on \d{4}-.* UTC\. The RADIUS server refuses .*\[AOV-EAP-216\]$/,
        });
      });
    }

    for (const method of ['PEAP', 'EAP-TTLS'] as const) {
      for (const version of ['1.2', '1.3'] as const) {
        test(`inside of ${method}, TLS ${version}, and the server keeps the reason to itself`, async () => {
          const credentials = stage.certificate(stage.world.pki.user('p256', 'alice', 'unknown-authority'));
          const inner = tls();
          const wish: EapWish =
            method === 'PEAP' ? { kind: 'peap', trust: stage.trust, inner } : { kind: 'ttls', trust: stage.trust, inner };
          const expected = { code: 'AOV-EAP-216', windows: 853, side: 'certificate' } as const;
          await refuses({ wish, credentials, radius: { tls: version }, ...expected });
        });
      }
    }
  });

  suite('user and password', () => {
    for (const [inner, code] of [
      ['EAP-MSCHAPv2 alone', 'AOV-EAP-202'],
      ['EAP-MSCHAPv2 in PEAP', 'AOV-EAP-202'],
      // Inside of EAP-TTLS this server says no by EAP-Failure and nothing more.
      ['MSCHAPv2 in EAP-TTLS', 'AOV-EAP-219'],
      ['PAP in EAP-TTLS', 'AOV-EAP-219'],
    ] as const) {
      const wish = (): EapWish =>
        inner === 'EAP-MSCHAPv2 alone'
          ? { kind: 'mschapv2' }
          : inner === 'EAP-MSCHAPv2 in PEAP'
            ? peap()
            : { kind: 'ttls', trust: stage.trust, inner: inner.startsWith('PAP') ? 'pap' : 'mschapv2', anonymous: 'anonymous' };
      for (const [what, name, password] of [
        ['wrong password', 'alice', 'Tr0ub4dor&3'],
        ['unknown user', 'nobody', 'whatever'],
      ] as const) {
        test(`${what}, ${inner}`, async () => {
          const credentials = stage.password(name, password);
          await refuses({ wish: wish(), credentials, code, windows: 691, side: 'credentials' });
          assert.ok(!stage.product.daemon.output().includes(password), 'the log holds the password');
        });
      }
    }

    test('account that is locked out', async () => {
      const credentials = stage.password('lou', accounts.lou.password);
      await refuses({ wish: peap(), credentials, code: 'AOV-EAP-224', windows: 647, side: 'radius' });
    });

    test('account that is disabled: FreeRADIUS says what it says of a wrong password', async () => {
      const credentials = stage.password('dave', accounts.dave.password);
      await refuses({ wish: peap(), credentials, code: 'AOV-EAP-202', windows: 691, side: 'credentials' });
    });

    test('password that has expired, and nobody is there to choose another', async () => {
      const credentials = stage.password('erin', accounts.erin.password);
      const settings = 'password-sources = ["file"]';
      await refuses({ wish: peap(), credentials, settings, code: 'AOV-EAP-203', windows: 648, side: 'credentials' });
    });

    test('no user name', async () => {
      const { userName: _, ...credentials } = stage.password();
      await refuses({ wish: peap(), credentials, code: 'AOV-SUPERVISOR-341', windows: 691, side: 'credentials', unseen: true });
    });
  });

  test('a server that wants another method', async () => {
    const credentials = stage.password('carol', accounts.carol.password);
    await refuses({ wish: { kind: 'mschapv2' }, credentials, code: 'AOV-EAP-206', windows: 812, side: 'radius' });
  });

  test('a server without cryptobinding, and the profile requires it', async () => {
    const wish = { ...peap(), cryptobinding: true } as EapWish;
    await refuses({ wish, code: 'AOV-EAP-221', windows: 824, side: 'radius' });
  });

  test('a RADIUS server that is silent, and the gateway gives up before we do', async () => {
    const relay = await stage.relay();
    await relay.set({ silent: true });
    await stage.world.gateway.configure({ radius: relay.server, radiusPatienceSeconds: 2 });
    try {
      await refuses({ code: /^AOV-EAP-(201|233)$/, side: 'radius', unseen: true });
    } finally {
      await relay.set({});
      await stage.world.gateway.configure({ radius: radiusServer, radiusPatienceSeconds: 150 });
    }
  });

  async function refuses(trouble: Trouble): Promise<void> {
    const { world, product, radius } = stage;
    await radius.configure({
      certificate: world.pki.radius(),
      tls: '1.2',
      revocationLists: [],
      ...trouble.radius,
    });
    const before = radius.results().length;
    await product.settings(trouble.settings ? `[profile."trouble"]\n${trouble.settings}\n` : '');
    try {
      await stage.put('trouble', trouble.wish ?? peap(), trouble.credentials ?? stage.password());
      const { problem, state } = await product.waitForProblem('trouble', trouble.timeoutMs);
      assert.ok(problem);
      if (typeof trouble.code === 'string') assert.equal(problem.code, trouble.code, `${problem.message} (${problem.side})`);
      else assert.match(problem.code, trouble.code, problem.message);
      if (trouble.windows !== undefined) assert.equal(problem.windows, trouble.windows);
      if (typeof trouble.side === 'string') assert.equal(problem.side, trouble.side);
      else assert.match(problem.side, trouble.side);
      if (trouble.message) assert.match(problem.message, trouble.message);
      assert.ok(problem.cure.length > 10 && problem.message.length > 10);
      assert.match(errorsPage, new RegExp(problem.code), 'the code is documented');
      assert.notEqual(state, 'up');
      assert.equal(await world.gateway.established(), 0);
      await assert.rejects(world.application.connect(network.corp.web4, 80, 200), 'nothing gets through');
      const seen = radius.results().slice(before);
      assert.ok(!seen.some(({ where, outcome }) => where === 'outer' && outcome === 'accept'), 'the server accepted nobody');
      if (trouble.unseen) assert.deepEqual(seen, []);
      const doctor = await product.aovpn(['doctor', 'trouble']);
      assert.match(doctor.stdout, new RegExp(problem.code), 'doctor finds it');
      assert.ok(
        doctor.stdout.includes(problem.cure.slice(0, 40)) ||
          doctor.stdout.replaceAll(/\s+/g, ' ').includes(problem.cure.slice(0, 40)),
        'and says the cure',
      );
    } finally {
      await product.remove('trouble').catch(() => undefined);
    }
  }
});
