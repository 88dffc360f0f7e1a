import { existsSync, readFileSync } from 'node:fs';
import type { Host } from '../host.ts';
import { network } from '../network.ts';
import { hangMs } from '../patience.ts';
import type { Issued } from '../pki/authority.ts';
import type { Running } from '../running.ts';

/** Methods by FreeRADIUS' names of `EAP-Type`. */
export type RadiusMethod = 'MSCHAPv2' | 'TLS' | 'TTLS' | 'PEAP' | 'GTC' | 'MD5-Challenge';

export interface RadiusUser {
  readonly password: string;
  /** What an Active Directory would say of the account; default: nothing. */
  readonly account?: 'password-expired' | 'disabled' | 'locked-out';
  /** The only outer method that this account may use. */
  readonly method?: RadiusMethod;
}

export interface FreeRadiusOptions {
  readonly certificate: Issued;
  /** PEM of the authorities whose user certificates are accepted. */
  readonly authorities: readonly string[];
  readonly users: Readonly<Record<string, RadiusUser>>;
  /** The only version of TLS that is spoken. */
  readonly tls?: '1.2' | '1.3';
  /** Octets of TLS in one EAP packet. */
  readonly fragmentSize?: number;
  /** Sessions may be resumed. */
  readonly fastReconnect?: boolean;
  /** PEM revocation lists of the authorities; when given, every user certificate is looked up. */
  readonly revocationLists?: readonly string[];
}

/** One authentication as the server saw it. */
export interface RadiusResult {
  readonly outcome: 'accept' | 'reject';
  /** `outer`: the whole; `inner`: what happened inside the tunnel. */
  readonly where: 'outer' | 'inner';
  readonly user: string;
  /** EAP method, or `PAP`, `CHAP`, `MS-CHAP` for what is not EAP. */
  readonly method: string;
  readonly tls: string;
  /** Common name in the peer's certificate. */
  readonly certificate: string;
  /** Whether a TLS session of before was resumed. */
  readonly resumed: boolean;
  /** What the server says about a refusal. */
  readonly reason: string;
}

export const radiusSecret = 'lab-radius-secret';
const radiusPort = 1812;
const home = '/run/freeradius';

/** Debian's FreeRADIUS with a configuration of its own on a host of a world; nothing of /etc/freeradius is read. */
export class FreeRadius {
  readonly host: Host;
  #options: FreeRadiusOptions;
  #running: Running | undefined;
  #starts = 0;

  private constructor(host: Host, options: FreeRadiusOptions) {
    this.host = host;
    this.#options = options;
  }

  static async start(host: Host, options: FreeRadiusOptions): Promise<FreeRadius> {
    const server = new FreeRadius(host, options);
    await server.start();
    return server;
  }

  get options(): FreeRadiusOptions {
    return this.#options;
  }

  async start(): Promise<void> {
    const { host } = this;
    const options = this.#options;
    await host.run(['rm', '-rf', home]);
    host.write(`${home}/server.pem`, options.certificate.chainPem);
    host.write(`${home}/server.key`, options.certificate.keyPem, 0o600);
    host.write(`${home}/authorities.pem`, [...options.authorities, ...(options.revocationLists ?? [])].join(''));
    host.write(`${home}/users`, usersFile(options.users));
    host.write(`${home}/sessions/.keep`, '');
    host.write(`${home}/radiusd.conf`, radiusdConf(options, this.#logFile), 0o600);
    this.#starts++;
    const argv = ['freeradius', '-f', '-xx', '-l', this.#logFile, '-d', home, '-n', 'radiusd'];
    this.#running = host.spawn(argv, { name: 'freeradius' });
    const deadline = performance.now() + hangMs;
    while (!this.log().includes('Ready to process requests')) {
      if (this.#running.exit || performance.now() > deadline)
        throw new Error(`FreeRADIUS does not start:\n${this.#running.output()}\n${this.log().slice(-3000)}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async stop(): Promise<void> {
    await this.#running?.stop('SIGKILL');
  }

  /** Changes what the server is and starts it again; sessions for fast reconnect are forgotten. */
  async configure(change: Partial<FreeRadiusOptions>): Promise<void> {
    const next = { ...this.#options, ...change };
    if (JSON.stringify(next) === JSON.stringify(this.#options)) return;
    await this.stop();
    this.#options = next;
    await this.start();
  }

  /** Every result since the server was started, oldest first. */
  results(): readonly RadiusResult[] {
    const file = this.host.file(`${home}/results`);
    if (!existsSync(file)) return [];
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const [outcome, where, user, eap, auth, tls, certificate, resumed, reason] = line.split('\t');
        return {
          outcome: outcome as RadiusResult['outcome'],
          where: where as RadiusResult['where'],
          user: (user ?? line).replaceAll('\\\\', '\\'),
          method: eap! || auth!,
          tls: tls!,
          certificate: certificate!,
          resumed: resumed !== '',
          reason: reason!,
        };
      });
  }

  /** What the server says of its work, in full. */
  log(): string {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, 'utf8') : '';
  }

  get #logFile(): string {
    return `${this.host.directory}/log/freeradius-${this.#starts}.log`;
  }
}

const accountFlags = { 'password-expired': '[Ue]', disabled: '[UD]', 'locked-out': '[UL]' } as const;

function usersFile(users: FreeRadiusOptions['users']): string {
  return Object.entries(users)
    .map(([name, { password, account, method }]) => {
      const checks = [
        `Cleartext-Password := ${quoted(password)}`,
        ...(account ? [`SMB-Account-Ctrl-Text := "${accountFlags[account]}"`] : []),
        ...(method ? [`EAP-Type := ${method}`] : []),
      ];
      // Without quotes, so that a backslash is a backslash.
      return `${name} ${checks.join(', ')}\n`;
    })
    .join('');
}

/** Single quotes: nothing is expanded. */
const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

function radiusdConf(options: FreeRadiusOptions, log: string): string {
  const result = (outcome: string, where: string): string => {
    const tls = '%{%{session-state:TLS-Session-Version}:-%{TLS-Session-Version}}';
    return [
      outcome,
      where,
      '%{User-Name}',
      '%{EAP-Type}',
      '%{control:Auth-Type}',
      tls,
      '%{TLS-Client-Cert-Common-Name}',
      '%{EAP-Session-Resumed}',
      '%{Module-Failure-Message}',
    ].join('\t');
  };
  return `
prefix = /usr
libdir = /usr/lib/freeradius
confdir = ${home}
raddbdir = ${home}
logdir = ${home}
run_dir = ${home}
db_dir = ${home}
cadir = ${home}
certdir = ${home}
pidfile = ${home}/pid
max_request_time = 30
cleanup_delay = 2
max_requests = 1024
hostname_lookups = no
log {
  destination = files
  file = ${log}
  auth = yes
}
security {
  allow_core_dumps = no
  max_attributes = 200
  reject_delay = 0
  status_server = no
}
thread pool {
  start_servers = 1
  max_servers = 3
  min_spare_servers = 1
  max_spare_servers = 2
  max_requests_per_server = 0
}
client lab {
  ipaddr = 0.0.0.0/0
  secret = ${radiusSecret}
  require_message_authenticator = yes
  shortname = lab
}
modules {
  always reject { rcode = reject }
  files { usersfile = ${home}/users }
  pap { normalise = no }
  chap { }
  mschap {
    use_mppe = yes
    with_ntdomain_hack = yes
    allow_retry = yes
  }
  linelog result {
    filename = ${home}/results
    permissions = 0600
    format = ""
    reference = "%{%{reply:Packet-Type}:-Access-Accept}"
    Access-Accept = "${result('accept', '%{Virtual-Server}')}"
    Access-Challenge = "${result('accept', '%{Virtual-Server}')}"
    Access-Reject = "${result('reject', '%{Virtual-Server}')}"
  }
  eap outer-eap {
    default_eap_type = peap
    timer_expire = 200
    max_sessions = 1024
    md5 { }
    gtc { auth_type = PAP }
    mschapv2 { send_error = yes }
    ${tlsConfig('outer-tls', options)}
    tls { tls = outer-tls }
    ttls {
      tls = outer-tls
      default_eap_type = mschapv2
      copy_request_to_tunnel = no
      use_tunneled_reply = no
      virtual_server = inner
    }
    peap {
      tls = outer-tls
      default_eap_type = mschapv2
      copy_request_to_tunnel = no
      use_tunneled_reply = no
      virtual_server = inner
    }
  }
  eap inner-eap {
    default_eap_type = mschapv2
    timer_expire = 200
    max_sessions = 1024
    md5 { }
    gtc { auth_type = PAP }
    mschapv2 { send_error = yes }
    ${tlsConfig('inner-tls', { ...options, fastReconnect: false, fragmentSize: Math.min(options.fragmentSize ?? 1024, 900) })}
    tls { tls = inner-tls }
  }
}
server outer {
  listen {
    type = auth
    ipaddr = *
    port = ${radiusPort}
  }
  authorize {
    files
    outer-eap { ok = return }
  }
  authenticate {
    Auth-Type PAP {
      pap
    }
    Auth-Type MS-CHAP {
      mschap
    }
    outer-eap
  }
  post-auth {
    result
    Post-Auth-Type REJECT {
      result
    }
  }
}
server inner {
  authorize {
    mschap
    chap
    files
    inner-eap { ok = return }
    pap
  }
  authenticate {
    Auth-Type PAP {
      pap
    }
    Auth-Type CHAP {
      chap
    }
    Auth-Type MS-CHAP {
      mschap
    }
    inner-eap
  }
  post-auth {
    result
    Post-Auth-Type REJECT {
      result
    }
  }
}
`;
}

function tlsConfig(name: string, options: FreeRadiusOptions): string {
  const version = options.tls ?? '1.2';
  return `tls-config ${name} {
      private_key_file = ${home}/server.key
      certificate_file = ${home}/server.pem
      ca_file = ${home}/authorities.pem
      auto_chain = no
      fragment_size = ${options.fragmentSize ?? 1024}
      check_crl = ${options.revocationLists?.length ? 'yes' : 'no'}
      cipher_list = "DEFAULT"
      tls_min_version = "${version}"
      tls_max_version = "${version}"
      ecdh_curve = ""
      cache {
        enable = ${options.fastReconnect ? 'yes' : 'no'}
        lifetime = 1
        name = ${name}
        persist_dir = ${home}/sessions
      }
    }`;
}

/** Where a gateway finds the server. */
export const radiusServer = { address: network.corp.radius4, port: radiusPort, secret: radiusSecret } as const;
