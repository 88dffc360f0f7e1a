import { sameAddress, type IpAddress } from '@aovpn/bytes';
import type { LiveTunnel } from '../compile-plan.ts';
import { isWithin } from '../domain-name.ts';
import type { FilterProblems } from '../filter/problem.ts';
import type { DnsPlan, DnsRegistration } from '../plan.ts';

const path = 'VPNProfile/RegisterDNS';

/**
 * Which tunnel registers its addresses in the company's DNS (RegisterDNS). One of them only: two would overwrite each other's addresses
 * under the machine's one name. The device tunnel before a user tunnel, since its address outlives sign-ins; then in the order of preference.
 * @param tunnels most preferred first
 */
export function compileRegistrations(
  tunnels: readonly LiveTunnel[],
  dns: Pick<DnsPlan, 'rules'>,
  problemsOf: (profile: string) => FilterProblems,
): readonly DnsRegistration[] {
  const wanting = tunnels
    .filter(({ intent }) => intent.registerDns.value)
    .toSorted((a, b) => Number(b.intent.tunnel === 'device') - Number(a.intent.tunnel === 'device'));
  const [first, ...others] = wanting;
  for (const { intent } of others)
    problemsOf(intent.name).add(
      'registersTwice',
      intent.registerDns.because.at!,
      path,
      `${JSON.stringify(first!.intent.name)} does`,
    );
  if (!first) return [];
  const { intent, facts } = first;
  const domain = intent.suffixes[0]?.value ?? facts.dnsDomains[0];
  const servers = serversFor(first, domain, dns);
  if (servers.length === 0) {
    problemsOf(intent.name).add(
      'registersNowhere',
      intent.registerDns.because.at!,
      path,
      'neither the gateway nor a rule names servers',
    );
    return [];
  }
  return [
    {
      profile: intent.name,
      device: facts.device,
      addresses: facts.addresses.map(({ address }) => address),
      servers,
      ...(domain === undefined ? {} : { domain }),
      because: intent.registerDns.because,
    },
  ];
}

/** Those of the rule for the domain, then those that the gateway gave. */
function serversFor({ facts }: LiveTunnel, domain: string | undefined, { rules }: Pick<DnsPlan, 'rules'>): readonly IpAddress[] {
  const ofRule = rules.find(
    ({ name, device }) => device === facts.device && domain !== undefined && (name === '.' || isWithin(domain, name.slice(1))),
  );
  // Updates and the questions before them are plain DNS, which an encrypted resolver does not speak.
  const all = [...((ofRule?.encrypted ? ofRule.clear : ofRule?.servers) ?? []), ...facts.dns];
  return all.filter((address, i) => all.findIndex((other) => sameAddress(other, address)) === i);
}
