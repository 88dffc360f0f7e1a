import { network } from '../network.ts';
import type { Host } from '../host.ts';
import type { Issued } from '../pki/authority.ts';
import type { Running } from '../running.ts';

export interface DnsRecords {
  /** Name without the final dot → addresses. */
  readonly [name: string]: readonly string[];
}

export interface UnboundOptions {
  readonly forward?: string;
  /** By TLS on port 853, and not in the clear. */
  readonly tls?: Issued;
  /** Where its files are, so that several run on one host. */
  readonly name?: string;
}

/** Starts unbound with exactly these names; everything else does not exist (NXDOMAIN). Queries are logged, for stories to look at. */
export async function startUnbound(
  host: Host,
  listen: readonly string[],
  records: DnsRecords,
  options: UnboundOptions = {},
): Promise<Running> {
  const { name = 'unbound' } = options;
  if (options.tls) {
    host.write(`/run/${name}.pem`, options.tls.chainPem);
    host.write(`/run/${name}.key`, options.tls.keyPem);
  }
  const lines = [
    'server:',
    ...listen.map((address) => `  interface: ${address}${options.tls ? '@853' : ''}`),
    ...(options.tls
      ? [
          '  tls-port: 853',
          `  tls-service-pem: "/run/${name}.pem"`,
          `  tls-service-key: "/run/${name}.key"`,
          '  pad-responses: yes',
        ]
      : []),
    '  do-daemonize: no',
    '  username: ""',
    '  chroot: ""',
    '  pidfile: ""',
    '  directory: "/run"',
    '  use-syslog: no',
    '  logfile: ""',
    '  log-queries: yes',
    '  log-time-ascii: yes',
    '  num-threads: 1',
    '  module-config: "iterator"',
    '  access-control: 0.0.0.0/0 allow',
    '  access-control: ::/0 allow',
    '  do-not-query-localhost: no',
    '  local-zone: "." static',
    ...Object.entries(records).flatMap(([name, addresses]) =>
      addresses.map((address) => `  local-data: "${name}. 5 IN ${address.includes(':') ? 'AAAA' : 'A'} ${address}"`),
    ),
    'remote-control:',
    '  control-enable: no',
    ...(options.forward ? ['forward-zone:', '  name: "."', `  forward-addr: ${options.forward}`] : []),
    '',
  ];
  host.write(`/run/${name}.conf`, lines.join('\n'));
  const running = host.spawn(['unbound', '-d', '-c', `/run/${name}.conf`], { name });
  await running.saysWithin(/start of service/);
  return running;
}

export const publicRecords: DnsRecords = {
  [network.gateway.name]: [network.gateway.v4, network.gateway.v6],
  [network.gateway.international.ascii]: [network.gateway.v4, network.gateway.v6],
  [`v4.${network.gateway.name}`]: [network.gateway.v4],
  [`v6.${network.gateway.name}`]: [network.gateway.v6],
  [network.internet.web]: [network.internet.web4, network.internet.web6],
  [network.internet.portal]: [network.internet.portal4, network.internet.portal6],
  // Another machine of the internet; a captive portal puts itself in its place.
  'probe.example': ['198.18.0.81'],
  // RFC 7050 §8.2: what the operator of every resolver has.
  'ipv4only.arpa': ['192.0.0.170', '192.0.0.171'],
  [network.internet.pki]: [network.internet.web4, network.internet.web6],
};

export const corporateRecords: DnsRecords = {
  ...publicRecords,
  [network.corp.web]: [network.corp.web4, network.corp.web6],
  [`web4.${network.corp.zone}`]: [network.corp.web4],
  [`web6.${network.corp.zone}`]: [network.corp.web6],
};
