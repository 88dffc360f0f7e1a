import { createPrivateKey } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandFailed, type ExecResult, type Host } from '../host.ts';
import { network } from '../network.ts';
import { hangMs } from '../patience.ts';
import type { Issued } from '../pki/authority.ts';
import { repository } from '../product.ts';
import type { Running } from '../running.ts';

/** `eap-tls`: its own EAP server, which wants an RSA key. */
export type LibreswanAuthentication = 'certificate' | 'eap-tls' | SharedKey;

/** The same key for both ends. */
export interface SharedKey {
  readonly sharedKey: string;
  /** The client's name. */
  readonly client: string;
}

/** What the gateway offers and demands. Proposals in Libreswan's words, such as `aes_gcm256` or `aes256-sha2_256`. */
export interface LibreswanOptions {
  readonly certificate: Issued;
  /** Accepted issuers of clients, and of the gateway itself. */
  readonly authorities: readonly string[];
  /** Default `certificate`. */
  readonly authentication?: LibreswanAuthentication;
  /** Of the outer and the inner addresses: a connection of Libreswan 4 that hands out addresses has one family. Default 4. */
  readonly family?: 4 | 6;
  readonly ike?: string;
  readonly esp?: string;
  readonly esn?: 'yes' | 'no' | 'either';
}

/** Its package is only unpacked: installing it would remove strongSwan. */
const installed = repository('.build/debian/libreswan/usr/libexec/ipsec');
const nssDirectory = '/var/lib/ipsec/nss';
const control = '/run/pluto/pluto.ctl';
const connection = 'corp';

/** A Libreswan pluto on a host, with the ESP of the kernel. */
export class Libreswan {
  readonly host: Host;
  #options: LibreswanOptions;
  #pluto: Running;

  private constructor(host: Host, options: LibreswanOptions, pluto: Running) {
    this.host = host;
    this.#options = options;
    this.#pluto = pluto;
  }

  static async start(host: Host, options: LibreswanOptions): Promise<Libreswan> {
    // It looks for its other programs here and nowhere else. The mounts are the host's own: nothing of this machine changes.
    const mounts = '[ -e "$2/pluto" ] || { mount -t tmpfs tmpfs /usr/libexec && mkdir "$2" && mount --bind "$1" "$2"; }';
    await host.exec(['sh', '-euc', mounts, 'sh', installed, '/usr/libexec/ipsec']);
    await fillStore(host, options);
    host.write('/etc/ipsec.conf', ipsecConf(options));
    host.write('/etc/ipsec.secrets', secrets(options), 0o600);
    host.write('/run/pluto/.keep', '');
    const places = [
      '--config',
      '/etc/ipsec.conf',
      '--nssdir',
      nssDirectory,
      '--rundir',
      '/run/pluto',
      '--secretsfile',
      '/etc/ipsec.secrets',
    ];
    // Helper threads of its own would fight for two emulated processors.
    const pluto = host.spawn(
      [path.join(installed, 'pluto'), '--nofork', '--stderrlog', '--no-dnssec', '--nhelpers', '1', ...places],
      {
        name: 'pluto',
      },
    );
    await pluto.saysWithin(
      /listening for IKE|Pluto initialized|adding UDP interface|forgetting secrets|helper threads? available/i,
    );
    const gateway = new Libreswan(host, options, pluto);
    await gateway.configure({});
    return gateway;
  }

  async configure(change: Partial<LibreswanOptions>): Promise<void> {
    this.#options = { ...this.#options, ...change };
    this.host.write('/etc/ipsec.conf', ipsecConf(this.#options));
    for (const deadline = performance.now() + hangMs; ;) {
      const listening = await this.whack(['--listen']);
      if (listening.status === 0) break;
      if (performance.now() > deadline)
        throw new Error(`pluto does not listen: ${listening.stdout}${listening.stderr}\n${this.log()}`);
      await sleep(50);
    }
    const argv = [path.join(installed, 'addconn'), '--config', '/etc/ipsec.conf', '--ctlsocket', control, connection];
    const added = await this.host.run(argv);
    // It says so, and ends well, when pluto does not take the connection.
    if (added.status !== 0 || /failed to add|\bbad\b/i.test(added.stdout + added.stderr))
      throw new CommandFailed(this.host.name, argv, added);
  }

  whack(args: readonly string[]): Promise<ExecResult> {
    return this.host.run([path.join(installed, 'whack'), '--ctlsocket', control, ...args]);
  }

  /** Starts a rekey from the gateway's side. */
  rekey(what: 'ike' | 'child', instance: string): Promise<ExecResult> {
    return this.whack([what === 'ike' ? '--rekey-ike' : '--rekey-ipsec', '--name', instance, '--asynchronous']);
  }

  /** What it says of its SAs. */
  async sas(): Promise<string> {
    return (await this.whack(['--trafficstatus'])).stdout + (await this.whack(['--briefstatus'])).stdout;
  }

  async stop(): Promise<void> {
    await this.#pluto.stop('SIGTERM', 10_000);
  }

  log(): string {
    return this.#pluto.output();
  }
}

function ipsecConf(options: LibreswanOptions): string {
  const six = options.family === 6;
  return `config setup
    protostack=xfrm
    uniqueids=no
    nssdir=${nssDirectory}
conn ${connection}
    ikev2=insist
    left=${six ? network.gateway.v6 : network.gateway.v4}
    leftid=@${network.gateway.name}
    leftsubnet=${six ? '::/0' : '0.0.0.0/0'}
    leftmodecfgserver=yes
    leftupdown=/bin/true
    right=%any
    rightaddresspool=${six ? network.pool.prefix6 : network.pool.range4}
    rightmodecfgclient=yes
    modecfgdns=${six ? network.corp.dns6 : network.corp.dns4}
    narrowing=yes
    encapsulation=yes
    mobike=yes
    fragmentation=yes
    rekey=no
${authentication(options)}
    ike=${options.ike ?? 'aes_gcm256-sha2_256;dh19,aes256-sha2_256;dh19'}
    esp=${options.esp ?? 'aes_gcm256,aes_gcm128'}
    esn=${options.esn ?? 'either'}
    retransmit-interval=4000
    auto=add
`;
}

/** With both kinds allowed pluto 4.10 signs as RSA whatever its key is (RFC 7427), and what it sends is no signature. Clients must have the same kind. */
function authentication({ authentication: how, certificate }: LibreswanOptions): string {
  if (typeof how === 'object') return `    authby=secret\n    rightid=@${how.client}`;
  const own = ['leftcert=gateway', 'leftsendcert=always'];
  const words = {
    certificate: [...own, 'rightid=%fromcert', 'rightca=%same', `authby=${kindOfKey(certificate)}`],
    'eap-tls': [...own, 'authby=rsa-sha2', 'leftauth=rsasig', 'leftautheap=tls', 'rightauth=eaponly', 'rightautheap=tls'],
  }[how ?? 'certificate'];
  return words.map((word) => `    ${word}`).join('\n');
}

function secrets({ authentication: how }: LibreswanOptions): string {
  return typeof how === 'object' ? `@${network.gateway.name} @${how.client} : PSK "${how.sharedKey}"\n` : '';
}

function kindOfKey({ keyPem }: Issued): string {
  return createPrivateKey(keyPem).asymmetricKeyType === 'ec' ? 'ecdsa' : 'rsa-sha2';
}

/** Certificates and key of the gateway, where Libreswan looks for them: a store of NSS. */
async function fillStore(host: Host, { certificate, authorities, authentication: how }: LibreswanOptions): Promise<void> {
  const database = `sql:${nssDirectory}`;
  host.write('/run/import/gateway.pem', certificate.chainPem);
  host.write('/run/import/gateway.key', certificate.keyPem, 0o600);
  await host.exec(['sh', '-euc', 'rm -rf "$1" && mkdir -p "$1"', 'sh', nssDirectory]);
  await host.exec(['certutil', '-N', '-d', database, '--empty-password']);
  const bundle = [
    '-inkey',
    '/run/import/gateway.key',
    '-in',
    '/run/import/gateway.pem',
    '-name',
    'gateway',
    '-passout',
    'pass:lab',
  ];
  await host.exec(['openssl', 'pkcs12', '-export', ...bundle, '-out', '/run/import/gateway.p12']);
  await host.exec(['pk12util', '-i', '/run/import/gateway.p12', '-d', database, '-W', 'lab', '-K', '']);
  for (const [index, authority] of authorities.entries()) {
    host.write(`/run/import/ca-${index}.pem`, authority);
    await host.exec(['certutil', '-A', '-d', database, '-n', `ca-${index}`, '-t', 'CT,,', '-i', `/run/import/ca-${index}.pem`]);
  }
  // Of TLS 1.3 it takes the keys by the label of TLS 1.2 (RFC 5216 instead of RFC 9190), so that no client agrees with it.
  if (how === 'eap-tls')
    appendFileSync(
      host.file(`${nssDirectory}/pkcs11.txt`),
      '\nlibrary=\nname=Policy\nNSS=flags=policyOnly,moduleDB\nconfig="allow=tls-version-max=tls1.2"\n',
    );
}
