import type { DoctorCheck } from '@aovpn/api';
import type { Intent, PlatformDecision } from '@aovpn/policy';

/** Where the machine belongs, and whether its membership is whole. `intents`: of the profiles that are looked at. */
export function checkPlatform(platform: PlatformDecision, intents: readonly Intent[]): DoctorCheck {
  const { by, account, suffixes, trace, hostName, unread } = platform;
  const found = [trace.at(-1)!, ...(hostName === undefined ? [] : [`full name ${hostName}`]), ...unread].join('; ');
  if (platform.kind === 'domain' && account === undefined && /\((?:ad|ipa)\)/.test(by ?? ''))
    return {
      name: 'platform',
      verdict: 'warning',
      found,
      cure: 'Join the domain again (realm join, adcli join): without a key of its own in /etc/krb5.keytab this machine cannot prove itself there.',
    };
  if (unread.length > 0) return { name: 'platform', verdict: 'warning', found, cure: 'Mend what is named, or take it away.' };
  const untrusting = intents.some(
    ({ alwaysOn, lockdown, trustedNetworks }) =>
      alwaysOn.value && !lockdown && !trustedNetworks.some(({ value }) => suffixes.includes(value)),
  );
  // Only told: the profile decides which networks are trusted, and a suffix proves nothing.
  const hint =
    suffixes.length > 0 && untrusting
      ? `; not every profile trusts networks with the suffix ${suffixes.join(' or ')} (TrustedNetworkDetection)`
      : '';
  return { name: 'platform', verdict: 'ok', found: found + hint };
}
