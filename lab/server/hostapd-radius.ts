import type { Host } from '../host.ts';
import { network } from '../network.ts';
import type { Issued } from '../pki/authority.ts';
import type { Running } from '../running.ts';
import { radiusSecret } from './freeradius.ts';

export interface HostapdOptions {
  readonly certificate: Issued;
  readonly authorities: readonly string[];
  /** Passwords of users inside the tunnel. */
  readonly users: Readonly<Record<string, string>>;
  /** What runs inside PEAP and TTLS; default MS-CHAPv2 with the passwords. `TLS`: everybody by certificate. */
  readonly inner?: 'MSCHAPV2' | 'TLS';
  readonly fastReconnect?: boolean;
}

/** hostapd answers from the first address of its host, whichever it was asked at. Another port than FreeRADIUS, so that both can stand there. */
export const hostapdServer = { address: network.corp.dns4, port: 1912, secret: radiusSecret } as const;

const home = '/run/hostapd-radius';

/**
 * hostapd's EAP server behind its RADIUS front, without any radio (driver `none`). Its PEAP is the second implementation of cryptobinding
 * ([MS-PEAP] §3.1.5.5) that a test can stand against; FreeRADIUS has none.
 */
export class HostapdRadius {
  readonly host: Host;
  #options: HostapdOptions;
  #running: Running | undefined;

  private constructor(host: Host, options: HostapdOptions) {
    this.host = host;
    this.#options = options;
  }

  static async start(host: Host, options: HostapdOptions): Promise<HostapdRadius> {
    const server = new HostapdRadius(host, options);
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const { host } = this;
    const options = this.#options;
    host.write(`${home}/server.pem`, options.certificate.chainPem);
    host.write(`${home}/server.key`, options.certificate.keyPem, 0o600);
    host.write(`${home}/authorities.pem`, options.authorities.join(''));
    host.write(`${home}/clients`, `0.0.0.0/0 ${radiusSecret}\n`, 0o600);
    host.write(`${home}/users`, usersFile(options), 0o600);
    host.write(`${home}/hostapd.conf`, hostapdConf(options), 0o600);
    this.#running = host.spawn(['hostapd', '-dd', `${home}/hostapd.conf`], { name: 'hostapd' });
    await this.#running.saysWithin(/AP-ENABLED/);
  }

  async stop(): Promise<void> {
    await this.#running?.stop('SIGTERM');
  }

  async configure(change: Partial<HostapdOptions>): Promise<void> {
    const next = { ...this.#options, ...change };
    if (JSON.stringify(next) === JSON.stringify(this.#options)) return;
    await this.stop();
    this.#options = next;
    await this.start();
  }

  /** What the server said since it was started last. */
  log(): string {
    return this.#running?.output() ?? '';
  }
}

function usersFile({ users, inner }: HostapdOptions): string {
  const quoted = (text: string): string => {
    if (/["\n]/.test(text)) throw new Error(`hostapd cannot be told ${text}`);
    return `"${text}"`;
  };
  return [
    // PEAPv0: what Windows speaks.
    '* PEAP,TTLS,TLS [ver=0]',
    ...(inner === 'TLS'
      ? ['"alice@corp.example" TLS [2]']
      : Object.entries(users).map(
          ([name, password]) => `${quoted(name)} MSCHAPV2,TTLS-MSCHAPV2,TTLS-PAP,GTC ${quoted(password)} [2]`,
        )),
    '',
  ].join('\n');
}

function hostapdConf(options: HostapdOptions): string {
  return `driver=none
interface=lo
eap_server=1
eap_user_file=${home}/users
ca_cert=${home}/authorities.pem
server_cert=${home}/server.pem
private_key=${home}/server.key
radius_server_clients=${home}/clients
radius_server_auth_port=${hostapdServer.port}
fragment_size=1024
tls_session_lifetime=${options.fastReconnect ? 3600 : 0}
tls_flags=[DISABLE-TLSv1.3][DISABLE-TLSv1.0][DISABLE-TLSv1.1]
`;
}
