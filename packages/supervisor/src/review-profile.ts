import type { Profile } from '@aovpn/profile';
import { authenticationOf } from './authentication.ts';
import { compileProposals } from './compile-proposals.ts';
import type { ConnectionSettings } from './connection-settings.ts';
import { problem } from './problem-catalogue.ts';
import type { Problem } from './problem.ts';

/**
 * Whether this machine can do what the profile asks for, credentials aside. What is merely not acted upon is a note of the policy room. The
 * answer is the first problem, or undefined.
 */
export function reviewProfile(
  profile: Profile,
  settings: Pick<ConnectionSettings, 'allowWeak' | 'postQuantum'>,
): Problem | undefined {
  const native = profile.nativeProfile;
  if (!native) {
    if (!profile.pluginProfile) return problem('noServers', 'there is no NativeProfile');
    return problem('plugin', profile.pluginProfile.pluginPackageFamilyName?.value ?? `line ${profile.pluginProfile.at.line}`);
  }
  if (gatewayNamesOf(profile).length === 0) return problem('noServers');
  return reviewProtocol(profile) ?? reviewAuthentication(profile) ?? problemOfSuite(profile, settings);
}

/** The gateways of `Servers` as they are written there, in order, each once. */
export function gatewayNamesOf(profile: Profile): readonly string[] {
  const names = (profile.nativeProfile?.servers?.value ?? []).map(({ host }) => host.trim()).filter((host) => host !== '');
  return [...new Set(names)];
}

function reviewProtocol(profile: Profile): Problem | undefined {
  const native = profile.nativeProfile!;
  const type = native.nativeProtocolType;
  switch (type?.value) {
    // Automatic tries several on Windows; the one we have is among them. Absent means Automatic.
    case undefined:
    case 'IKEv2':
    case 'Automatic':
      return undefined;
    case 'ProtocolList': {
      const list = native.protocolList?.protocols ?? [];
      if (list.some(({ value }) => value === 'Ikev2')) return undefined;
      return problem('tunnelProtocol', `ProtocolList without Ikev2, line ${native.protocolList?.at.line ?? type.at.line}`);
    }
    case 'SSTP':
    case 'L2TP':
    case 'PPTP':
      return problem('tunnelProtocol', `${type.value}, line ${type.at.line}`);
  }
}

function reviewAuthentication(profile: Profile): Problem | undefined {
  const authentication = authenticationOf(profile);
  return 'problem' in authentication ? authentication.problem : undefined;
}

function problemOfSuite(profile: Profile, settings: Pick<ConnectionSettings, 'allowWeak' | 'postQuantum'>): Problem | undefined {
  const proposals = compileProposals(profile.nativeProfile?.cryptographySuite, settings);
  return 'problem' in proposals ? proposals.problem : undefined;
}
