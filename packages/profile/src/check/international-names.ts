import type { Report } from '../finding.ts';
import type { InternationalName, Located, Profile } from '../profile.ts';
import { quote } from '../quote.ts';

/**
 * What names with characters beyond ASCII are in DNS (UTS 46): gateways, name rules, suffixes and trusted networks. One that cannot be there is
 * reported. `toAscii` answers as `domainToASCII` of `node:url` does: the empty string for such a name.
 */
export function convertNames(profile: Profile, toAscii: (name: string) => string, report: Report): readonly InternationalName[] {
  const found = new Map<string, string>();
  const convert = (path: string, { value, at }: Located<readonly string[]>): void => {
    for (const written of value) {
      if (!isInternational(written) || found.has(written)) continue;
      const ascii = isPartOfUrl(written) ? '' : toAscii(written);
      if (isOfDns(ascii)) found.set(written, ascii);
      else report('notInternationalName', at, path, `${quote(written)} cannot be a name in DNS`);
    }
  };
  const { nativeProfile, domainNameInformation, dnsSuffix, trustedNetworkDetection } = profile;
  const servers = nativeProfile?.servers;
  if (servers)
    convert('VPNProfile/NativeProfile/Servers', { value: servers.value.map(({ host }) => host.trim()), at: servers.at });
  for (const [i, { domainName }] of domainNameInformation.entries())
    convert(`VPNProfile/DomainNameInformation[${i + 1}]/DomainName`, { value: [domainName.value.trim()], at: domainName.at });
  if (dnsSuffix) convert('VPNProfile/DnsSuffix', dnsSuffix);
  if (trustedNetworkDetection) convert('VPNProfile/TrustedNetworkDetection', trustedNetworkDetection);
  return [...found].map(([written, ascii]) => ({ written, ascii }));
}

/** The name as DNS and certificates have it, in A-labels (RFC 5890 §2.3.2.1); what is in ASCII already stays as it is. */
export function asciiNameOf({ internationalNames = [] }: Profile, written: string): string {
  return internationalNames.find((name) => name.written === written)?.ascii ?? written;
}

/** Whether a name has other characters than ASCII. */
export function isInternational(name: string): boolean {
  return /[^\0-\x7f]/.test(name);
}

/** `domainToASCII` reads as the host of a URL does: it would drop what follows some of these, decode or skip others, and give another name than the one that is written. */
function isPartOfUrl(written: string): boolean {
  return /[/?#%\\\s]/.test(written);
}

/** RFC 1035 §2.3.4: sizes. What digits of another script become is an address, which is written in ASCII. */
function isOfDns(ascii: string): boolean {
  const isAddress = /^[\d.]+$/.test(ascii);
  return ascii !== '' && !isAddress && ascii.length <= 254 && ascii.split('.').every((label) => label.length <= 63);
}
