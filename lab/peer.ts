import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { charonLog, kernelEsp } from './gateway/strongswan.ts';
import type { Host } from './host.ts';
import type { Issued } from './pki/authority.ts';
import { section, type Settings } from './gateway/strongswan-conf.ts';
import { network } from './network.ts';
import { hangMs } from './patience.ts';
import type { Running } from './running.ts';

export interface PeerOptions {
  readonly certificate?: Issued;
  readonly user?: { readonly name: string; readonly password: string };
  /** Default: EAP-MSCHAPv2 for a user, no EAP for a certificate alone. */
  readonly eap?: 'eap-mschapv2' | 'eap-tls' | 'eap-ttls';
  /** EAP identity of a certificate. */
  readonly identity?: string;
  /** Who the RADIUS server is, when it is not the gateway itself. */
  readonly radius?: { readonly authority: string; readonly name: string };
  readonly authority: string;
  readonly ikeProposals?: readonly string[];
  readonly espProposals?: readonly string[];
  readonly remoteSelectors?: readonly string[];
  readonly remote?: string;
  /** Seconds between liveness checks, 0: none. */
  readonly dpdSeconds?: number;
}

/** strongSwan as a client: proves the world itself, and is the peer in measurements. */
export class StrongswanClient {
  readonly host: Host;
  readonly #options: PeerOptions;
  #charon: Running | undefined;

  constructor(host: Host, options: PeerOptions) {
    this.host = host;
    this.#options = options;
  }

  async start(): Promise<void> {
    const { host } = this;
    host.write('/run/strongswan.conf', strongswanConf(charonLog(host, 0)));
    this.#charon = host.spawn(['/usr/lib/ipsec/charon'], { name: 'charon-client', env: this.#environment() });
    const options = this.#options;
    if (options.certificate) {
      host.write('/run/swanctl/x509/client.pem', options.certificate.certificatePem);
      host.write('/run/swanctl/private/client.pem', options.certificate.keyPem, 0o600);
    }
    host.write('/run/swanctl/x509ca/ca.pem', options.authority);
    if (options.radius) host.write('/run/swanctl/x509ca/radius-ca.pem', options.radius.authority);
    host.write('/run/swanctl/swanctl.conf', this.#swanctlConf(), 0o600);
    for (const deadline = performance.now() + hangMs; ;) {
      const loaded = await host.run(['swanctl', '--load-all', '--noprompt', '--uri', 'unix:///run/charon.vici'], {
        env: this.#environment(),
      });
      if (loaded.status === 0) return;
      if (performance.now() > deadline) throw new Error(`the client refuses its configuration:\n${loaded.stderr}${this.log()}`);
      await sleep(10);
    }
  }

  /** Brings the tunnel up; fails with charon's words. */
  async initiate(): Promise<void> {
    await this.swanctl(['--initiate', '--child', 'net', '--timeout', String(hangMs / 1000)]);
  }

  async terminate(): Promise<void> {
    await this.swanctl(['--terminate', '--ike', 'vpn', '--timeout', '5']);
  }

  swanctl(args: readonly string[]): Promise<string> {
    return this.host.exec(['swanctl', ...args, '--uri', 'unix:///run/charon.vici'], {
      env: this.#environment(),
      timeoutMs: 2 * hangMs,
    });
  }

  pid(): Promise<number | undefined> {
    return this.#charon?.pid() ?? Promise.resolve(undefined);
  }

  async stop(): Promise<void> {
    await this.#charon?.stop('SIGTERM', 10_000);
    await this.host.run(['rm', '-rf', '/run/charon.pid', '/run/charon.vici', '/run/swanctl']);
  }

  log(): string {
    return readFileSync(charonLog(this.host, 0), 'utf8');
  }

  #environment(): NodeJS.ProcessEnv {
    return { ...process.env, STRONGSWAN_CONF: '/run/strongswan.conf', SWANCTL_DIR: '/run/swanctl' };
  }

  #local(): Settings {
    const { user, eap, identity, radius, certificate } = this.#options;
    if (!user && !eap) return { auth: 'pubkey', certs: 'client.pem' };
    return {
      auth: eap ?? 'eap-mschapv2',
      eap_id: user?.name ?? identity ?? '%any',
      ...(radius ? { aaa_id: radius.name } : {}),
      ...(certificate ? { certs: 'client.pem' } : {}),
    };
  }

  #swanctlConf(): string {
    const options = this.#options;
    return section({
      connections: {
        vpn: {
          version: 2,
          remote_addrs: options.remote ?? network.gateway.v4,
          vips: '0.0.0.0,::',
          proposals: (options.ikeProposals ?? ['aes128gcm16-prfsha256-ecp256']).join(','),
          rekey_time: '0s',
          reauth_time: '0s',
          dpd_delay: `${options.dpdSeconds ?? 0}s`,
          local: this.#local(),
          remote: { auth: 'pubkey', id: network.gateway.name },
          children: {
            net: {
              remote_ts: (options.remoteSelectors ?? [network.corp.prefix4, network.corp.prefix6]).join(','),
              esp_proposals: (options.espProposals ?? ['aes128gcm16']).join(','),
              rekey_time: '0s',
              dpd_action: 'restart',
              close_action: 'start',
            },
          },
        },
      },
      ...(options.user ? { secrets: { 'eap-0': { id: options.user.name, secret: `"${options.user.password}"` } } } : {}),
    });
  }
}

const strongswanConf = (log: string): string =>
  section({
    charon: {
      load: [
        'aesni aes sha2 sha1 md5 mgf1 random nonce x509 revocation constraints pubkey pkcs1 pkcs8 pem openssl curve25519 chapoly gcm ccm cmac hmac kdf',
        kernelEsp ? '' : 'kernel-libipsec',
        'drbg kernel-netlink socket-default resolve vici updown eap-identity eap-mschapv2 eap-tls eap-ttls',
      ].join(' '),
      threads: 16,
      retransmit_tries: 3,
      retransmit_timeout: 1.0,
      filelog: {
        file: { path: log, time_format: '%H:%M:%S', time_add_ms: 'yes', flush_line: 'yes', default: 1, ike: 2, cfg: 1 },
      },
      plugins: { vici: { socket: 'unix:///run/charon.vici' }, revocation: { enable_crl: 'no', enable_ocsp: 'no' } },
    },
    swanctl: { load: 'pem pkcs1 pkcs8 x509 pubkey openssl random' },
  });
