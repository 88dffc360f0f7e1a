import { existsSync } from 'node:fs';
import process from 'node:process';
import type { Host } from '../host.ts';
import type { Running } from '../running.ts';
import { inUnpacked } from '../unpacked.ts';

/** Debian's package, merely unpacked. */
const named = inUnpacked('bind9', 'usr/sbin/named');
const libraryPath = ['x86_64', 'aarch64'].map((machine) => inUnpacked('bind9', `usr/lib/${machine}-linux-gnu`)).join(':');

export interface BindZone {
  readonly name: string;
  /** Lines of the zone file, without SOA and NS. */
  readonly records: string;
  /** More of the `zone` clause, such as `update-policy`. */
  readonly more?: string;
}

/** Starts BIND as the primary server of these zones. @param extra clauses, such as keys */
export async function startBind(host: Host, listen: string, zones: readonly BindZone[], extra = ''): Promise<Running> {
  if (!existsSync(named)) throw new Error(`${named} is missing: npm test unpacks it`);
  const clauses = zones.map(({ name, records, more = '' }) => {
    host.write(
      `/run/${name}.zone`,
      `$TTL 60\n@ IN SOA ns1.${zones[0]!.name}. admin 1 3600 600 86400 60\n@ IN NS ns1.${zones[0]!.name}.\n${records}`,
    );
    return `zone "${name}" { type primary; file "/run/${name}.zone"; ${more} };`;
  });
  host.write(
    '/run/named.conf',
    `options { directory "/run"; listen-on { ${listen}; }; listen-on-v6 { none; }; pid-file none; session-keyfile none; recursion no; dnssec-validation no; };
controls { };
logging { channel all { stderr; severity info; }; category default { all; }; category update { all; }; category queries { all; }; };
${extra}
${clauses.join('\n')}
`,
  );
  const running = host.spawn([named, '-f', '-n', '1', '-c', '/run/named.conf'], {
    name: 'named',
    env: { ...process.env, LD_LIBRARY_PATH: libraryPath },
  });
  await running.saysWithin(/all zones loaded/);
  return running;
}
