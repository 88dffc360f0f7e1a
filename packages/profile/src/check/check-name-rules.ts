import type { CheckContext } from './check.ts';

/** Name resolution rules, and what they imply. */
export function checkNameRules({ profile, report }: CheckContext): void {
  const rules = profile.domainNameInformation;
  const seen = new Map<string, number>();
  for (const [i, rule] of rules.entries()) {
    const path = `VPNProfile/DomainNameInformation[${i + 1}]`;
    const name = rule.domainName.value.toLowerCase();
    const before = seen.get(name);
    if (before === undefined) seen.set(name, rule.at.line);
    else report('domainTwice', rule.domainName.at, `${path}/DomainName`, `${rule.domainName.value} is already in line ${before}`);
    if (rule.autoTrigger?.value === true && !hasServers(rule)) {
      report(
        'triggerWithoutServers',
        rule.autoTrigger.at,
        `${path}/AutoTrigger`,
        `the rule for ${rule.domainName.value} has no DnsServers`,
      );
    }
  }
  const implied = rules.filter((rule) => hasServers(rule) && rule.domainName.value !== '.');
  const suppressible = profile.alwaysOn?.value === true || profile.deviceTunnel?.value === true;
  if (!profile.trustedNetworkDetection && implied[0] && suppressible && profile.lockDown?.value !== true) {
    const names = implied.slice(0, 5).map((rule) => rule.domainName.value);
    const more = implied.length > 5 ? ` and ${implied.length - 5} more` : '';
    report(
      'implicitTrustedNetwork',
      implied[0].at,
      'VPNProfile/TrustedNetworkDetection',
      `${names.join(', ')}${more} would count as trusted networks`,
    );
  }
}

function hasServers(rule: { readonly dnsServers?: { readonly value: readonly string[] } }): boolean {
  return rule.dnsServers !== undefined && rule.dnsServers.value.length > 0;
}
