// Every authentication method and a sensible matrix of algorithms: connects, carries v4 and v6, and the gateway says that it was that suite.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { GatewayAuthentication, GatewayOptions } from '../../../lab/gateway/strongswan.ts';
import { canary, network } from '../../../lab/network.ts';
import type { KeyKind } from '../../../lab/pki/authority.ts';
import { certificateProfile, eapTlsProfile, mschapv2Profile, type ProfileSuite } from '../../../lab/profile-xml.ts';
import { type Credentials, Stage } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';

interface Case {
  readonly title: string;
  /** What the gateway accepts, in strongSwan's words. */
  readonly ike?: string;
  readonly esp?: string;
  /** What the profile demands; absent: our own offer. */
  readonly suite?: ProfileSuite;
  readonly allowWeak?: boolean;
  /** What `swanctl --list-sas` shows. */
  readonly shows: RegExp;
}

const gcm128: ProfileSuite = {
  encryption: 'AES_GCM_128',
  integrity: 'SHA256',
  group: 'ECP256',
  cipher: 'GCMAES128',
  authentication: 'GCMAES128',
  pfs: 'ECP256',
};

const byProfile: readonly Case[] = [
  {
    title: 'AES-GCM-128, SHA-256, ECP-256 (enhanced Windows policy)',
    ike: 'aes128gcm16-prfsha256-ecp256',
    esp: 'aes128gcm16-ecp256,aes128gcm16',
    suite: gcm128,
    shows: /AES_GCM_16-128\/PRF_HMAC_SHA2_256\/ECP_256[^]+ESP:AES_GCM_16-128/,
  },
  {
    title: 'AES-GCM-256, SHA-384, ECP-384',
    ike: 'aes256gcm16-prfsha384-ecp384',
    esp: 'aes256gcm16-ecp384,aes256gcm16',
    suite: {
      encryption: 'AES_GCM_256',
      integrity: 'SHA384',
      group: 'ECP384',
      cipher: 'GCMAES256',
      authentication: 'GCMAES256',
      pfs: 'ECP384',
    },
    shows: /AES_GCM_16-256\/PRF_HMAC_SHA2_384\/ECP_384[^]+ESP:AES_GCM_16-256/,
  },
  {
    title: 'AES-128, SHA-256, group 14 (standard Windows policy)',
    ike: 'aes128-sha256-modp2048',
    esp: 'aes128-sha256-modp2048,aes128-sha256',
    suite: {
      encryption: 'AES128',
      integrity: 'SHA256',
      group: 'Group14',
      cipher: 'AES128',
      authentication: 'SHA256128',
      pfs: 'PFS2048',
    },
    shows: /AES_CBC-128\/HMAC_SHA2_256_128\/PRF_HMAC_SHA2_256\/MODP_2048[^]+ESP:AES_CBC-128\/HMAC_SHA2_256_128/,
  },
  {
    title: 'AES-192, SHA-256, group 14, no PFS',
    ike: 'aes192-sha256-modp2048',
    esp: 'aes192-sha256',
    suite: {
      encryption: 'AES192',
      integrity: 'SHA256',
      group: 'Group14',
      cipher: 'AES192',
      authentication: 'SHA256128',
      pfs: 'None',
    },
    shows: /AES_CBC-192\/HMAC_SHA2_256_128\/PRF_HMAC_SHA2_256\/MODP_2048[^]+ESP:AES_CBC-192\/HMAC_SHA2_256_128/,
  },
  {
    title: 'AES-256, SHA-384, ECP-384, PFS with the same group',
    ike: 'aes256-sha384-ecp384',
    esp: 'aes256-sha256-ecp384,aes256-sha256',
    suite: {
      encryption: 'AES256',
      integrity: 'SHA384',
      group: 'ECP384',
      cipher: 'AES256',
      authentication: 'SHA256128',
      pfs: 'PFSMM',
    },
    shows: /AES_CBC-256\/HMAC_SHA2_384_192\/PRF_HMAC_SHA2_384\/ECP_384[^]+ESP:AES_CBC-256\/HMAC_SHA2_256_128/,
  },
  {
    title: 'AES-GCM-256 with AES-256 for ESP (profiles of Azure gateways)',
    ike: 'aes256gcm16-prfsha256-modp2048',
    esp: 'aes256-sha256-modp2048,aes256-sha256',
    suite: {
      encryption: 'AES_GCM_256',
      integrity: 'SHA256',
      group: 'Group14',
      cipher: 'AES256',
      authentication: 'SHA256128',
      pfs: 'PFS2048',
    },
    shows: /AES_GCM_16-256\/PRF_HMAC_SHA2_256\/MODP_2048[^]+ESP:AES_CBC-256\/HMAC_SHA2_256_128/,
  },
  {
    title: 'AES-GCM-128 with SHA-1 as PRF only',
    ike: 'aes128gcm16-prfsha1-modp2048',
    esp: 'aes128gcm16',
    suite: { ...gcm128, integrity: 'SHA196', group: 'Group14', pfs: 'None' },
    shows: /AES_GCM_16-128\/PRF_HMAC_SHA1\/MODP_2048/,
  },
  {
    title: 'AES-256 with SHA-1 integrity, by opt-in',
    ike: 'aes256-sha1-modp2048',
    esp: 'aes256-sha1',
    suite: {
      encryption: 'AES256',
      integrity: 'SHA196',
      group: 'Group14',
      cipher: 'AES256',
      authentication: 'SHA196',
      pfs: 'None',
    },
    allowWeak: true,
    shows: /AES_CBC-256\/HMAC_SHA1_96\/PRF_HMAC_SHA1\/MODP_2048[^]+ESP:AES_CBC-256\/HMAC_SHA1_96/,
  },
  {
    title: 'group 24 and PFS24, by opt-in',
    ike: 'aes256-sha256-modp2048s256',
    esp: 'aes256-sha256-modp2048s256,aes256-sha256',
    suite: {
      encryption: 'AES256',
      integrity: 'SHA256',
      group: 'Group24',
      cipher: 'AES256',
      authentication: 'SHA256128',
      pfs: 'PFS24',
    },
    allowWeak: true,
    shows: /AES_CBC-256\/HMAC_SHA2_256_128\/PRF_HMAC_SHA2_256\/MODP_2048_256/,
  },
  {
    title: '3DES, SHA-1 and group 2, as an untouched RRAS, by opt-in',
    ike: '3des-sha1-modp1024',
    esp: '3des-sha1',
    suite: { encryption: 'DES3', integrity: 'SHA196', group: 'Group2', cipher: 'DES3', authentication: 'SHA196', pfs: 'None' },
    allowWeak: true,
    shows: /3DES_CBC\/HMAC_SHA1_96\/PRF_HMAC_SHA1\/MODP_1024[^]+ESP:3DES_CBC\/HMAC_SHA1_96/,
  },
];

const byGateway: readonly Case[] = [
  {
    title: 'ChaCha20-Poly1305, SHA-512, X25519',
    ike: 'chacha20poly1305-prfsha512-x25519',
    esp: 'chacha20poly1305',
    shows: /CHACHA20_POLY1305\/PRF_HMAC_SHA2_512\/CURVE_25519[^]+ESP:CHACHA20_POLY1305/,
  },
  { title: 'ECP-521', ike: 'aes256gcm16-prfsha384-ecp521', esp: 'aes256gcm16', shows: /PRF_HMAC_SHA2_384\/ECP_521/ },
  { title: 'MODP-3072', ike: 'aes256gcm16-prfsha256-modp3072', esp: 'aes128gcm16', shows: /MODP_3072/ },
  { title: 'MODP-4096', ike: 'aes128gcm16-prfsha512-modp4096', esp: 'aes256gcm16', shows: /PRF_HMAC_SHA2_512\/MODP_4096/ },
  {
    title: 'AES-256 with SHA-384 for ESP',
    ike: 'aes256-sha256-x25519',
    esp: 'aes256-sha384',
    shows: /ESP:AES_CBC-256\/HMAC_SHA2_384_192/,
  },
  {
    title: 'AES-128 with SHA-512',
    ike: 'aes128-sha512-ecp256',
    esp: 'aes128-sha512',
    shows: /HMAC_SHA2_512_256[^]+ESP:AES_CBC-128\/HMAC_SHA2_512_256/,
  },
];

suite('main/suites', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.set();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  for (const one of [...byProfile, ...byGateway]) {
    test(one.title, async () => {
      await stage.product.settings(one.allowWeak ? '[profile."suite"]\nallow-weak = true\n' : '');
      const xml = certificateProfile(one.suite ? { suite: one.suite } : {});
      await connects('suite', 'pubkey', xml, stage.machine(), one.shows, {
        ...(one.ike ? { ikeProposals: one.ike.split(',') } : {}),
        ...(one.esp ? { espProposals: one.esp.split(',') } : {}),
      });
    });
  }

  for (const [gatewayKey, machineKey] of [
    ['p256', 'p256'],
    ['p384', 'p384'],
    ['rsa2048', 'rsa2048'],
    ['rsa2048', 'p256'],
    ['p384', 'rsa2048'],
  ] as const satisfies readonly (readonly [KeyKind, KeyKind])[]) {
    test(`certificates: gateway ${gatewayKey}, machine ${machineKey}`, async () => {
      await connects(
        'certificates',
        'pubkey',
        certificateProfile(),
        stage.machine(stage.world.pki.machine(machineKey)),
        /ESTABLISHED/,
        {
          certificate: stage.world.pki.gateway('good', gatewayKey),
          ...open,
        },
      );
    });
  }

  test('certificates: RSA with PSS on both sides', async () => {
    await connects('pss', 'pubkey', certificateProfile(), stage.machine(stage.world.pki.machine('rsa2048')), /ESTABLISHED/, {
      certificate: stage.world.pki.gateway('good', 'rsa2048'),
      localAuth: 'ike:rsa/pss-sha256',
      remoteAuth: 'ike:rsa/pss-sha256',
      ...open,
    });
  });

  test('certificates: below an intermediate on both sides', async () => {
    const { pki } = stage.world;
    const gateway = pki.intermediate.issue({ commonName: network.gateway.name, dns: [network.gateway.name] });
    const machine = pki.intermediate.issue({
      commonName: 'laptop.corp.example',
      dns: ['laptop.corp.example'],
      usages: ['clientAuth'],
    });
    await connects('intermediate', 'pubkey', certificateProfile(), stage.machine(machine), /ESTABLISHED/, {
      certificate: gateway,
      ...open,
    });
  });

  test('EAP-MSCHAPv2', async () => {
    const options = { certificate: stage.world.pki.gateway(), ...open };
    await connects('password', 'eap-mschapv2', mschapv2Profile(), stage.user(), /ESTABLISHED/, options);
  });

  test('EAP-MSCHAPv2 with a domain and characters beyond ASCII', async () => {
    await connects('domain', 'eap-mschapv2', mschapv2Profile(), stage.user('CORP\\bob', "O'Brien&Söhne"), /ESTABLISHED/, open);
  });

  for (const key of ['p256', 'rsa2048'] as const) {
    test(`EAP-TLS with a ${key} certificate`, async () => {
      const { pki } = stage.world;
      const radius = { roots: [pki.root.thumbprint], names: network.gateway.name };
      await connects(
        'tls',
        'eap-tls',
        eapTlsProfile({ radius }),
        stage.userCertificate('tls', pki.user(key)),
        /ESTABLISHED/,
        open,
      );
    });
  }

  test('a gateway that asks for a cookie and wants another group than we guessed', async () => {
    await stage.world.gateway.stop();
    stage.world.gateway.configureNext({
      cookies: true,
      authentication: ['pubkey'],
      ...open,
      ikeProposals: ['aes256gcm16-prfsha384-ecp384'],
    });
    await stage.world.gateway.start();
    // A first try that gets stuck half-way, so that the gateway grows suspicious.
    await stage.world.impair({ dropLongerThan: 760 });
    await stage.product.put('stuck', certificateProfile({ routes: [], names: {} }), stage.machine());
    await halfOpen();
    await stage.product.remove('stuck');
    await stage.world.impair({});
    await stage.product.put('cookie', certificateProfile(), stage.machine());
    await stage.product.waitForState('cookie', 'up');
    assert.match(await stage.world.gateway.sas(), /ECP_384/);
    assert.ok(/generating IKE_SA_INIT response 0 \[ N\(COOKIE\) \]/.test(stage.world.gateway.log()), 'no cookie was asked for');
    assert.ok(
      /generating IKE_SA_INIT response 0 \[ N\(INVAL_KE\) \]/.test(stage.world.gateway.log()),
      'our first guess was right',
    );
    await stage.product.remove('cookie');
  });

  test('a gateway that knows only the signatures of RFC 7296', async () => {
    await stage.world.gateway.stop();
    stage.world.gateway.configureNext({ cookies: false, signatureAuthentication: false, ...open });
    await stage.world.gateway.start();
    for (const key of ['p256', 'p384', 'rsa2048'] as const) {
      const certificate = stage.world.pki.gateway('good', key);
      await connects('old', 'pubkey', certificateProfile(), stage.machine(stage.world.pki.machine(key)), /ESTABLISHED/, {
        certificate,
      });
    }
  });

  async function halfOpen(): Promise<void> {
    await until('there is a half-open SA', async () => /CONNECTING/.test(await stage.world.gateway.sas()));
  }

  async function connects(
    name: string,
    authentication: GatewayAuthentication,
    xml: string,
    credentials: Credentials,
    shows: RegExp,
    options: Partial<GatewayOptions>,
  ): Promise<void> {
    const { world, product } = stage;
    await world.gateway.configure({ localAuth: 'pubkey', remoteAuth: 'pubkey', authentication: [authentication], ...options });
    await product.put(name, xml, credentials);
    try {
      const connection = await product.waitForState(name, 'up');
      assert.equal(connection.problem, undefined);
      assert.match(await world.gateway.sas(), shows);
      for (const address of [network.corp.web4, `[${network.corp.web6}]`]) {
        const page = await world.application.fetch(`http://${address}/`);
        assert.match(page.body, new RegExp(canary));
      }
      const big = await world.application.fetch(`http://${network.corp.web4}/bytes/300000`);
      assert.equal(big.octets, 300_000);
    } finally {
      await stage.strike(name);
    }
  }
});

/** Everything but weak algorithms. */
const open: Partial<GatewayOptions> = {
  ikeProposals: ['aes256gcm16-aes128gcm16-prfsha256-prfsha384-x25519-ecp256-ecp384-modp2048'],
  espProposals: ['aes256gcm16-aes128gcm16'],
};
