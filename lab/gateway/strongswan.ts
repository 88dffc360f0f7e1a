import { createPublicKey } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecResult, Host } from '../host.ts';
import { network } from '../network.ts';
import { hangMs, patience } from '../patience.ts';
import type { Issued } from '../pki/authority.ts';
import type { Running } from '../running.ts';
import { section, type Settings } from './strongswan-conf.ts';

export type GatewayAuthentication =
  | 'pubkey'
  | 'psk'
  /** Two rounds in one IKE SA (RFC 4739). */
  | 'pubkey+eap-mschapv2'
  | 'eap-mschapv2'
  | 'eap-tls'
  | 'eap-ttls'
  | 'eap-radius';

export interface RadiusServer {
  readonly address: string;
  readonly port: number;
  readonly secret: string;
}

/** What the gateway offers and demands. Proposals in strongSwan's words, such as `aes256gcm16-prfsha384-ecp384`. */
export interface GatewayOptions {
  readonly certificate: Issued;
  /** Accepted issuers of clients; also where the gateway's own intermediates come from. */
  readonly authorities: readonly string[];
  /** One connection for each; they can stand side by side. */
  readonly authentication?: readonly GatewayAuthentication[];
  readonly users?: Readonly<Record<string, string>>;
  readonly ikeProposals?: readonly string[];
  readonly espProposals?: readonly string[];
  /** How the gateway signs, such as `rsa-sha256` or `rsa/pss-sha256`; default: what its key and the client allow. */
  readonly localAuth?: string;
  /** What the gateway accepts from machines, such as `ecdsa-sha384`; default `pubkey`. */
  readonly remoteAuth?: string;
  readonly id?: string;
  /** Networks behind the gateway; default everything, as RRAS does. */
  readonly localSelectors?: readonly string[];
  readonly pools?: { readonly v4: boolean; readonly v6: boolean; readonly range4?: string };
  readonly mobike?: boolean;
  readonly fragmentation?: boolean;
  readonly dpdSeconds?: number;
  /** 0: the gateway never starts a rekey. */
  readonly ikeRekeySeconds?: number;
  readonly childRekeySeconds?: number;
  /** For `psk`: by the name of the client. */
  readonly sharedKeys?: Readonly<Record<string, string>> | undefined;
  /** Keys instead of certificates (RFC 7670): of the client, in PEM, by its name. The gateway shows no certificate then. */
  readonly rawKeys?: { readonly client: string; readonly name: string } | undefined;
  /** RFC 8784 */
  readonly ppk?: { readonly identity: string; readonly secret: string; readonly required: boolean } | undefined;
  /**
   * Certificates by hash and URL (RFC 7296 §3.6): the gateway fetches those of clients, and says that its own are below this URL, by the hexadecimal SHA-1 of each.
   * Given at the start; `false` later takes it back.
   */
  readonly certificateUrlBase?: string | false;
  /** The gateway wants a new authentication after so long, and ends the SA otherwise (RFC 4478); 0: never. */
  readonly reauthSeconds?: number;
  /** RFC 6023; strongSwan's own default is `allow`. */
  readonly childless?: 'allow' | 'never' | 'force';
  /** Ask for a cookie as soon as one SA is half-open (RFC 7296 §2.6). Takes effect at the next start. */
  readonly cookies?: boolean;
  /** False: the signature methods of RFC 7296 only, none of RFC 7427. Takes effect at the next start. */
  readonly signatureAuthentication?: boolean;
  /** Highest version of TLS in EAP-TLS; default 1.2, as strongSwan has it. Takes effect at the next start. */
  readonly tlsVersionMax?: '1.2' | '1.3';
  /** Whom `eap-radius` asks. */
  readonly radius?: RadiusServer;
  /** Seconds in which the gateway asks RADIUS once more and again before it gives up; default 150, for people who look for their phone. */
  readonly radiusPatienceSeconds?: number;
}

/** Where the kernel has ESP (in the kernel lane) the gateway uses it; else it brings its own. */
export const kernelEsp = process.env['AOVPN_LAB_ESP'] === 'kernel';
const plugins = [
  'aesni aes sha2 sha1 md5 mgf1 random nonce x509 revocation constraints pubkey pkcs1 pkcs8 pkcs12 pem openssl curve25519 chapoly gcm ccm',
  kernelEsp ? '' : 'kernel-libipsec',
  'cmac hmac kdf drbg kernel-netlink socket-default vici updown eap-identity eap-mschapv2 eap-tls eap-ttls eap-radius counters',
].join(' ');
const allIkeProposals = [
  'aes128gcm16-aes256gcm16-chacha20poly1305-prfsha256-prfsha384-prfsha512-x25519-ecp256-ecp384-ecp521-modp2048-modp3072-modp4096',
  'aes128-aes192-aes256-sha256-sha384-sha512-x25519-ecp256-ecp384-ecp521-modp2048-modp3072-modp4096',
];
const allEspProposals = ['aes128gcm16-aes256gcm16-chacha20poly1305', 'aes128-aes256-sha256-sha384-sha1'];

/** charon does not flush its standard output, so it writes a file. */
export function charonLog(host: Host, start: number): string {
  return path.join(host.directory, 'log', `charon-${start}.log`);
}

/** A strongSwan charon of its own on a host. Its ESP needs nothing of the kernel but TUN, as far as the lab runs on a kernel without. */
export class Strongswan {
  readonly host: Host;
  #options: GatewayOptions;
  #charon: Running | undefined;
  #starts = 0;

  private constructor(host: Host, options: GatewayOptions) {
    this.host = host;
    this.#options = options;
  }

  static async start(host: Host, options: GatewayOptions): Promise<Strongswan> {
    const gateway = new Strongswan(host, options);
    await gateway.start();
    return gateway;
  }

  get options(): GatewayOptions {
    return this.#options;
  }

  get running(): boolean {
    return this.#charon !== undefined && this.#charon.exit === undefined;
  }

  async start(): Promise<void> {
    this.host.write('/run/strongswan.conf', strongswanConf(charonLog(this.host, ++this.#starts), this.#options));
    this.#charon = this.host.spawn(['/usr/lib/ipsec/charon'], { name: 'charon', env: this.#environment() });
    await this.configure({});
  }

  /** Ends every SA with a word to the peer, and the daemon with it. */
  async stop(): Promise<void> {
    await this.#charon?.stop('SIGTERM', 10_000);
  }

  /** Ends the daemon as a power cut would: nobody is told. */
  async kill(): Promise<void> {
    await this.#charon?.stop('SIGKILL');
    // The device of a killed daemon is gone with it; its pid file is not.
    await this.host.run(['rm', '-f', '/run/charon.pid', '/run/charon.vici']);
  }

  /** Stops the daemon in its tracks, as an overloaded or hung gateway: it answers nothing but keeps its state. */
  async freeze(): Promise<void> {
    await this.#charon?.signal('SIGSTOP');
  }

  async thaw(): Promise<void> {
    await this.#charon?.signal('SIGCONT');
  }

  /** What the gateway shall be when it is started next. */
  configureNext(change: Partial<GatewayOptions>): void {
    this.#options = { ...this.#options, ...change };
  }

  /** Changes what the gateway offers; existing SAs live on. */
  async configure(change: Partial<GatewayOptions>): Promise<void> {
    this.#options = { ...this.#options, ...change };
    const options = this.#options;
    const directory = '/run/swanctl';
    await this.host.run(['rm', '-rf', directory]);
    this.host.write(`${directory}/x509/gateway.pem`, options.certificate.certificatePem);
    this.host.write(`${directory}/private/gateway.pem`, options.certificate.keyPem, 0o600);
    if (options.rawKeys) {
      this.host.write(`${directory}/pubkey/client.pem`, options.rawKeys.client);
      this.host.write(`${directory}/pubkey/gateway.pem`, publicKeyOf(options.certificate));
    }
    for (const [index, authority] of [...options.authorities, ...chainAbove(options.certificate)].entries()) {
      this.host.write(`${directory}/x509ca/ca-${index}.pem`, authority);
    }
    this.host.write(`${directory}/swanctl.conf`, swanctlConf(options), 0o600);
    const settings = strongswanConf(charonLog(this.host, this.#starts), options);
    const current = this.host.file('/run/strongswan.conf');
    if (readFileSync(current, 'utf8') !== settings) {
      this.host.write('/run/strongswan.conf', settings);
      await this.swanctl(['--reload-settings']);
    }
    for (const deadline = performance.now() + hangMs; ;) {
      const loaded = await this.swanctl(['--load-all', '--clear', '--noprompt']);
      if (loaded.status === 0) return;
      if (performance.now() > deadline || !this.running || loaded.stdout.includes('loaded'))
        throw new Error(`the gateway refuses its configuration:\n${loaded.stdout}${loaded.stderr}\n${this.log()}`);
      await sleep(20);
    }
  }

  /** What `swanctl --list-sas` says: algorithms, addresses, ages. */
  async sas(): Promise<string> {
    return (await this.swanctl(['--list-sas'])).stdout;
  }

  /** Waits until no established IKE SA is left, so that the next story begins with none. (Half-open ones time out by themselves.) */
  async quiet(): Promise<void> {
    const deadline = performance.now() + hangMs;
    while (/ESTABLISHED|DELETING|REKEY/.test(await this.sas())) {
      if (performance.now() > deadline) throw new Error(`the gateway still has:\n${await this.sas()}`);
      await sleep(20);
    }
  }

  swanctl(args: readonly string[]): Promise<ExecResult> {
    return this.host.run(['swanctl', ...args, '--uri', 'unix:///run/charon.vici'], { env: this.#environment() });
  }

  /** Number of established IKE SAs. */
  async established(): Promise<number> {
    const { stdout } = await this.swanctl(['--list-sas']);
    return [...stdout.matchAll(/ESTABLISHED/g)].length;
  }

  /** Starts a rekey from the gateway's side. */
  async rekey(what: 'ike' | 'child'): Promise<ExecResult> {
    return this.swanctl(what === 'child' ? ['--rekey', '--child', 'net'] : ['--rekey', '--ike', await this.#connectionName()]);
  }

  /** Deletes all IKE SAs, with a word to the peer. */
  async terminate(): Promise<ExecResult> {
    return this.swanctl(['--terminate', '--ike', await this.#connectionName(), '--timeout', '5']);
  }

  /** The daemon's log since it was started. */
  log(): string {
    const file = charonLog(this.host, this.#starts);
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  async #connectionName(): Promise<string> {
    const { stdout } = await this.swanctl(['--list-sas']);
    return /^([\w-]+): #\d+, ESTABLISHED/m.exec(stdout)?.[1] ?? 'pubkey';
  }

  #environment(): NodeJS.ProcessEnv {
    return { ...process.env, STRONGSWAN_CONF: '/run/strongswan.conf', SWANCTL_DIR: '/run/swanctl' };
  }
}

function strongswanConf(log: string, options: GatewayOptions): string {
  return section({
    charon: {
      load: options.certificateUrlBase === undefined ? plugins : `${plugins} curl`,
      ...(options.certificateUrlBase ? { hash_and_url: 'yes' } : {}),
      threads: 16,
      install_virtual_ip: 'no',
      retransmit_tries: 3,
      retransmit_timeout: patience,
      close_ike_on_child_failure: 'no',
      // charon drops what is not up by then; a second factor takes longer than its 30 s.
      half_open_timeout: 200,
      ...(options.cookies ? { cookie_threshold: 1 } : { dos_protection: 'no' }),
      ...(options.signatureAuthentication === false ? { signature_authentication: 'no' } : {}),
      filelog: {
        file: {
          path: log,
          flush_line: 'yes',
          time_format: '%H:%M:%S',
          time_add_ms: 'yes',
          ike_name: 'yes',
          default: 1,
        },
      },
      plugins: {
        vici: { socket: 'unix:///run/charon.vici' },
        ...(kernelEsp ? {} : { 'kernel-libipsec': { allow_peer_ts: 'yes' } }),
        revocation: { enable_crl: 'no', enable_ocsp: 'no' },
        'eap-ttls': { phase2_method: 'mschapv2' },
        ...(options.radius ? { 'eap-radius': radiusConf(options.radius, options.radiusPatienceSeconds ?? 150) } : {}),
      },
    },
    libtls: { version_max: options.tlsVersionMax ?? '1.2' },
    swanctl: { load: 'pem pkcs1 pkcs8 x509 pubkey openssl random' },
  });
}

/** Evenly every five seconds: a server that is at work takes a repeated question for what it is. */
function radiusConf(server: RadiusServer, patienceSeconds: number): Settings {
  const every = Math.min(5, patienceSeconds);
  return {
    accounting: 'no',
    retransmit_base: 1.0,
    retransmit_timeout: every,
    retransmit_tries: Math.max(1, Math.ceil(patienceSeconds / every) - 1),
    servers: { main: { address: server.address, auth_port: server.port, secret: server.secret, sockets: 8 } },
  };
}

function swanctlConf(options: GatewayOptions): string {
  const pools: NonNullable<GatewayOptions['pools']> = options.pools ?? { v4: true, v6: true };
  const poolNames = [...(pools.v4 ? ['pool4'] : []), ...(pools.v6 ? ['pool6'] : [])];
  const connections: Record<string, Settings> = {};
  for (const authentication of options.authentication ?? ['pubkey']) {
    connections[authentication.replace('+', '-then-')] = {
      version: 2,
      local_addrs: '%any',
      remote_addrs: '%any',
      proposals: (options.ikeProposals ?? allIkeProposals).join(','),
      encap: 'yes',
      mobike: options.mobike === false ? 'no' : 'yes',
      fragmentation: options.fragmentation === false ? 'no' : 'yes',
      dpd_delay: `${options.dpdSeconds ?? 0}s`,
      rekey_time: `${options.ikeRekeySeconds ?? 0}s`,
      reauth_time: `${options.reauthSeconds ?? 0}s`,
      ...(options.childless ? { childless: options.childless } : {}),
      ...(options.ppk ? { ppk_required: options.ppk.required ? 'yes' : 'no' } : {}),
      send_cert: 'always',
      unique: 'no',
      pools: poolNames.join(','),
      local: localOf(authentication, options),
      ...remotesOf(authentication, options),
      children: {
        net: {
          local_ts: (options.localSelectors ?? ['0.0.0.0/0', '::/0']).join(','),
          remote_ts: 'dynamic',
          esp_proposals: (options.espProposals ?? allEspProposals).join(','),
          rekey_time: `${options.childRekeySeconds ?? 0}s`,
          rekey_bytes: 0,
          rekey_packets: 0,
          mode: 'tunnel',
          dpd_action: 'clear',
          start_action: 'none',
        },
      },
    };
  }
  const users = Object.entries(options.users ?? {});
  return section({
    connections,
    pools: {
      ...(pools.v4 ? { pool4: { addrs: pools.range4 ?? network.pool.range4, dns: network.corp.dns4 } } : {}),
      ...(pools.v6 ? { pool6: { addrs: network.pool.range6, dns: network.corp.dns6 } } : {}),
    },
    ...(options.certificateUrlBase
      ? { authorities: { issuer: { cacert: 'ca-0.pem', cert_uri_base: options.certificateUrlBase } } }
      : {}),
    secrets: {
      ...secretsOf('eap', users),
      ...secretsOf('ike', Object.entries(options.sharedKeys ?? {})),
      ...secretsOf('ppk', options.ppk ? [[options.ppk.identity, options.ppk.secret]] : []),
    },
  });
}

function secretsOf(kind: 'eap' | 'ike' | 'ppk', entries: readonly (readonly [string, string])[]): Record<string, Settings> {
  return Object.fromEntries(entries.map(([id, secret], index) => [`${kind}-${index}`, { id, secret: `"${secret}"` }]));
}

function localOf(authentication: GatewayAuthentication, options: GatewayOptions): Settings {
  const id = options.id ?? network.gateway.name;
  if (authentication === 'psk') return { auth: 'psk', id };
  const key: Settings = options.rawKeys ? { pubkeys: 'gateway.pem' } : { certs: 'gateway.pem' };
  return { auth: options.localAuth ?? 'pubkey', ...key, id };
}

function remotesOf(authentication: GatewayAuthentication, options: GatewayOptions): Record<string, Settings> {
  const { rawKeys, remoteAuth = 'pubkey' } = options;
  switch (authentication) {
    case 'pubkey':
      return { remote: rawKeys ? { auth: remoteAuth, pubkeys: 'client.pem', id: rawKeys.name } : { auth: remoteAuth } };
    case 'psk':
      return { remote: { auth: 'psk' } };
    case 'pubkey+eap-mschapv2':
      return {
        'remote-machine': { auth: remoteAuth, round: 1 },
        'remote-user': { auth: 'eap-mschapv2', eap_id: '%any', round: 2 },
      };
    case 'eap-mschapv2':
    case 'eap-tls':
    case 'eap-ttls':
    case 'eap-radius':
      return { remote: { auth: authentication, eap_id: '%any' } };
  }
}

function publicKeyOf({ keyPem }: Issued): string {
  return createPublicKey(keyPem).export({ type: 'spki', format: 'pem' }).toString();
}

function chainAbove(issued: Issued): string[] {
  return (issued.chainPem.match(/-----BEGIN[^]+?-----END CERTIFICATE-----\n/g) ?? []).slice(1);
}
