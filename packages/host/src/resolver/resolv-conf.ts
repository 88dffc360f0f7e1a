import { formatAddress, parseAddress, type IpAddress } from '@aovpn/bytes';
import { normaliseDomain } from '@aovpn/policy';

/** resolv.conf(5) as far as we read it. */
export interface ResolvConf {
  readonly nameservers: readonly IpAddress[];
  readonly search: readonly string[];
  /** The `options` lines, without the word. */
  readonly options: readonly string[];
}

/** First line of a file that we wrote. */
export const marker = '# Written by aovpn: its name rules are in force. The file that was here comes back when they end.';

/** Never fails: lines that make no sense are left out, as the C library does. */
export function parseResolvConf(text: string): ResolvConf {
  const nameservers: IpAddress[] = [];
  let search: string[] = [];
  const options: string[] = [];
  for (const line of text.split('\n')) {
    const [word, ...rest] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/);
    if (word === 'nameserver' && rest[0] !== undefined) {
      const address = parseAddress(rest[0]);
      if (address) nameservers.push(address);
    } else if (word === 'search' || word === 'domain')
      search = rest.map(normaliseDomain).filter((name): name is string => name !== undefined);
    else if (word === 'options' && rest.length > 0) options.push(rest.join(' '));
  }
  return { nameservers, search, options };
}

/** The file that sends every program to our stub resolver. */
export function formatResolvConf({ nameservers, search, options }: ResolvConf): string {
  const lines = [marker, ...nameservers.map((address) => `nameserver ${formatAddress(address)}`)];
  if (search.length > 0) lines.push(`search ${search.join(' ')}`);
  lines.push(...options.map((option) => `options ${option}`));
  return `${lines.join('\n')}\n`;
}

export function isOurs(text: string): boolean {
  return text.split('\n', 1)[0] === marker;
}
