import { formatAddress, parsePrefix, prefixContains, sameAddress, type IpAddress } from '@aovpn/bytes';
import type { LiveTunnel } from '../compile-plan.ts';
import type { Because, NamedAddresses } from '../facts.ts';
import { FilterProblems, nowhere, type FilterProblem } from '../filter/problem.ts';
import { knownInside } from './local-network.ts';

/** One address of a name of the settings, and which way its host route goes. */
export interface NamedRoute {
  readonly address: IpAddress;
  readonly exclude: boolean;
  readonly because: Because;
}

/** Not on the internet, so no name outside can mean them for everybody: RFC 1918, RFC 4193, RFC 6598. */
const privateNetworks = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'].map((text) =>
  parsePrefix(text)!,
);
/** Never a host elsewhere: RFC 1122 §3.2.1.3, RFC 3927, RFC 5771, RFC 4291 §2.4. */
const neverRemote = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', '::/127', 'fe80::/10', 'ff00::/8'].map((text) =>
  parsePrefix(text)!,
);

/**
 * Host routes for the names of the settings (`include-names`, `exclude-names`), and what is wrong with them. What the company's name servers say
 * through the tunnel is believed. Of what somebody outside says an exclusion must not be made that opens what is inside: such addresses are left
 * out, and the rest of the name stays in force.
 */
export function compileNamedRoutes(tunnel: LiveTunnel): {
  readonly routes: readonly NamedRoute[];
  readonly problems: readonly FilterProblem[];
} {
  const { intent, facts } = tunnel;
  const problems = new FilterProblems(intent.name);
  const routes: NamedRoute[] = [];
  if (!facts.names || facts.names.length === 0) return { routes, problems: [] };
  const inside = knownInside(tunnel);
  const refuse = ({ exclude, fromInside }: NamedAddresses, address: IpAddress): string | undefined => {
    if (neverRemote.some((prefix) => prefixContains(prefix, address))) return 'no such host can be elsewhere';
    if (facts.addresses.some((own) => sameAddress(own.address, address))) return 'it is the tunnel’s own address';
    if (!exclude || fromInside) return undefined;
    if (privateNetworks.some((prefix) => prefixContains(prefix, address))) return 'somebody outside said so, and it is private';
    if (inside.around(address).some(({ length }) => length === address.bytes.length * 8))
      return 'somebody outside said so, and it is a server inside';
    return undefined;
  };
  for (const named of facts.names) {
    const setting = named.exclude ? 'exclude-names' : 'include-names';
    const path = `${setting} ${named.name}`;
    if (named.problem !== undefined) problems.add('nameWithoutAddress', nowhere, path, named.problem);
    for (const address of named.addresses) {
      const why = refuse(named, address);
      if (why !== undefined) problems.add('namedAddressRefused', nowhere, path, `${formatAddress(address)}: ${why}`);
      else routes.push({ address, exclude: named.exclude, because: { profile: intent.name, why: path } });
    }
  }
  return { routes, problems: problems.list };
}
