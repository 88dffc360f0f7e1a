import { appendFileSync } from 'node:fs';
import type { ExecResult, Host } from '../host.ts';
import { network } from '../network.ts';
import type { Issued } from '../pki/authority.ts';
import { repository } from '../product.ts';
import type { Running } from '../running.ts';

/** What the gateway offers and demands. Transforms in OpenIKED's words. */
export interface OpenIkedOptions {
  readonly certificate: Issued;
  readonly authority: string;
  /** Of the outer and the inner addresses; default 4. */
  readonly family?: 4 | 6;
  readonly ikesa?: string;
  /**
   * The Linux build hands SAs to the kernel through PF_KEY, which knows no AEAD and of HMAC only MD5 and SHA-1: `enc aes-256 auth hmac-sha1` is
   * the best that it can do.
   */
  readonly childsa?: string;
  /** A user for EAP-MSCHAPv2, instead of certificates; it proves itself by an RSA key then. */
  readonly user?: { readonly name: string; readonly password: string };
  /** The same key for everybody, instead of certificates. */
  readonly sharedKey?: string;
}

const installed = repository('.build/debian/openiked/usr/sbin');

/** An OpenIKED on a host, with the ESP of the kernel. Its package is only unpacked. */
export class OpenIked {
  readonly host: Host;
  readonly #iked: Running;

  private constructor(host: Host, iked: Running) {
    this.host = host;
    this.#iked = iked;
  }

  static async start(host: Host, options: OpenIkedOptions): Promise<OpenIked> {
    const { certificate, authority } = options;
    // The unprivileged half of the daemon runs as this user.
    appendFileSync(host.file('/etc/passwd'), '_iked:x:798:798::/run/iked:/usr/sbin/nologin\n');
    appendFileSync(host.file('/etc/group'), '_iked:x:798:\n');
    await host.exec([
      'sh',
      '-c',
      'mkdir -p /run/iked /etc/iked/crls /etc/iked/pubkeys/fqdn /etc/iked/pubkeys/ipv4 && chmod 755 /run/iked',
    ]);
    host.write('/etc/iked/ca/ca.crt', authority);
    host.write(`/etc/iked/certs/${network.gateway.name}.crt`, certificate.certificatePem);
    host.write('/etc/iked/private/local.key', certificate.keyPem, 0o600);
    host.write('/etc/iked.conf', ikedConf(options), 0o600);
    const iked = host.spawn([`${installed}/iked`, '-d', '-v', '-f', '/etc/iked.conf', '-s', '/run/iked.sock'], { name: 'iked' });
    await iked.saysWithin(/ikev2 "corp"|ca_reload|config_/);
    return new OpenIked(host, iked);
  }

  ikectl(args: readonly string[]): Promise<ExecResult> {
    return this.host.run([`${installed}/ikectl`, '-s', '/run/iked.sock', ...args]);
  }

  async sas(): Promise<string> {
    return (await this.ikectl(['show', 'sa'])).stdout;
  }

  async stop(): Promise<void> {
    await this.#iked.stop('SIGTERM', 10_000);
  }

  log(): string {
    return this.#iked.output();
  }
}

function ikedConf(options: OpenIkedOptions): string {
  const { user, sharedKey } = options;
  const six = options.family === 6;
  const words = [
    `ikev2 "corp" passive esp from ${six ? '::/0' : '0.0.0.0/0'} to dynamic`,
    `local ${six ? network.gateway.v6 : network.gateway.v4} peer any`,
    `ikesa ${options.ikesa ?? 'enc aes-256-gcm prf hmac-sha2-256 group ecp256'}`,
    `childsa ${options.childsa ?? 'enc aes-256 auth hmac-sha1'}`,
    `srcid ${network.gateway.name}`,
    ...(user ? ['eap "mschap-v2"'] : []),
    ...(sharedKey === undefined ? [] : [`psk "${sharedKey}"`]),
    `config address ${six ? network.pool.prefix6 : network.pool.prefix4}`,
    `config name-server ${six ? network.corp.dns6 : network.corp.dns4}`,
  ];
  return `${user ? `user "${user.name}" "${user.password}"\n` : ''}${words.join(' \\\n    ')}\n`;
}
