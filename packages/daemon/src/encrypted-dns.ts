import path from 'node:path';
import type { DoctorCheck, EncryptedDnsStatus } from '@aovpn/api';
import { formatAddress } from '@aovpn/bytes';
import { upstreamsOf, type EncryptedResolverState, type UpstreamAsker } from '@aovpn/host';
import type { TunnelConfiguration } from '@aovpn/ike';
import { describeProof, whyNotAsked, type DnsRule, type EncryptedDnsFacts, type EncryptedServer } from '@aovpn/policy';
import { buildQuery, encodeName } from './dns-question.ts';
import type { Log } from './log.ts';
import { readOwn } from './own-file.ts';
import type { ProfileSettings } from './profile-settings.ts';

/**
 * What the policy room needs to know of encrypted resolvers that a gateway names; undefined: it names none.
 * Authorities that cannot be read are none, so that nobody is believed instead.
 */
export async function encryptedDnsFacts(
  { encryptedDns: resolvers }: TunnelConfiguration,
  { encryptedDns: use, dnsCa }: Pick<ProfileSettings, 'encryptedDns' | 'dnsCa'>,
  configDir: string,
  warn: (text: string) => void,
): Promise<EncryptedDnsFacts | undefined> {
  if (resolvers.length === 0) return undefined;
  if (dnsCa === undefined || use === 'off') return { use, resolvers };
  try {
    return { use, resolvers, authorities: await readOwn(path.resolve(configDir, dnsCa)) };
  } catch (error) {
    warn(
      `dns-ca: ${error instanceof Error ? error.message : String(error)}; no encrypted resolver can prove itself by a certificate`,
    );
    return { use, resolvers, authorities: '' };
  }
}

/** What the gateway names, whom of it names are asked of, and what has come of it. */
export function encryptedDnsStatus(
  configuration: Pick<TunnelConfiguration, 'addresses' | 'dns' | 'encryptedDns'>,
  use: EncryptedDnsFacts['use'],
  rules: readonly Pick<DnsRule, 'encrypted'>[],
  known: readonly EncryptedResolverState[],
): readonly EncryptedDnsStatus[] {
  const { encryptedDns: resolvers } = configuration;
  const facts = { ...configuration, encryptedDns: { use, resolvers } };
  return resolvers.map((resolver) => {
    const { name, addresses, protocols, port, path: template } = resolver;
    const own = rules
      .flatMap(({ encrypted = [] }) => encrypted)
      .filter(
        (server) =>
          server.name === name &&
          server.port === (port ?? 853) &&
          addresses.some((address) => formatAddress(address) === formatAddress(server.address)),
      );
    const servers = own.filter((server, i) => own.findIndex((other) => isSame(other, server)) === i);
    const why = whyNotAsked(resolver, facts) ?? (servers.length === 0 ? 'no name rule leads to it' : undefined);
    return {
      name,
      addresses: addresses.map(formatAddress),
      protocols,
      ...(port !== undefined && { port }),
      ...(template !== undefined && { path: template }),
      ...(why === undefined
        ? { provenBy: describeProof(servers[0]!), servers: servers.map((server) => serverStatus(server, known)) }
        : { notAsked: why }),
    };
  });
}

/** One has proven itself after it had not, or fails. */
export function tellResolver(log: Log, { server, state, failure }: EncryptedResolverState): void {
  const who = `encrypted resolver ${server.name} (${formatAddress(server.address)})`;
  if (failure) log.warn(`${who}: ${failure.what} [${failure.code}]`);
  else if (state === 'proven') log.info(`${who} is proven by ${describeProof(server)}`);
}

/** Asks each of them something now, through the tunnel. */
export async function checkEncryptedDns(
  rules: readonly DnsRule[],
  mark: number,
  asker: UpstreamAsker,
): Promise<readonly DoctorCheck[]> {
  const all = rules.flatMap((rule) => upstreamsOf(rule, mark).first.filter(({ tls }) => tls));
  const upstreams = all.filter((one, i) => all.findIndex(({ tls }) => isSame(tls!, one.tls!)) === i);
  return await Promise.all(
    upstreams.map(async (upstream): Promise<DoctorCheck> => {
      const { tls } = upstream;
      const name = `encrypted resolver ${tls!.name} (${formatAddress(tls!.address)})`;
      const query = buildQuery(encodeName(tls!.name)!, 1);
      const { promise, resolve } = Promise.withResolvers<Parameters<Parameters<UpstreamAsker['ask']>[5]>[0]>();
      asker.ask(upstream, query, query.length, false, patience, resolve);
      const result = await promise;
      if (result.ok) return { name, verdict: 'ok', found: `answers by TLS, proven by ${describeProof(tls!)}` };
      const failure = asker.encrypted(upstream)?.failure;
      const cure = failure?.cure ?? 'Check that the resolver runs, and its log.';
      return { name, verdict: 'failed', found: result.why, cure };
    }),
  );
}

/** Milliseconds. */
const patience = 6000;

function serverStatus(
  server: EncryptedServer,
  known: readonly EncryptedResolverState[],
): NonNullable<EncryptedDnsStatus['servers']>[number] {
  const found = known.find((one) => isSame(one.server, server));
  const failure = found?.failure;
  return {
    address: formatAddress(server.address),
    state: found?.state ?? 'unasked',
    ...(failure && { problem: { code: failure.code, side: failure.side, message: failure.what, cure: failure.cure } }),
  };
}

function isSame(a: EncryptedServer, b: EncryptedServer): boolean {
  return a.name === b.name && a.port === b.port && formatAddress(a.address) === formatAddress(b.address);
}
