import { withoutPositions, type Profile } from '@aovpn/profile';
import type { ProfileSettings } from './profile-settings.ts';

/** The parts of a profile that a running tunnel was made from; routes and names are put into force without a new tunnel. */
export function tunnelParts(profile: Profile): unknown {
  const { servers, nativeProtocolType, protocolList, cryptographySuite, authentication } = profile.nativeProfile ?? {};
  const { disableIkev2Fragmentation, lockDown, deviceTunnel } = profile;
  return withoutPositions({
    servers,
    nativeProtocolType,
    protocolList,
    cryptographySuite,
    authentication,
    disableIkev2Fragmentation,
    lockDown,
    deviceTunnel,
  });
}

/**
 * The settings that a running tunnel was made from. Where certificates, keys and passwords of ours come from is asked at the next authentication,
 * and the rest is heeded while the tunnel runs. Whom we trust, and how strictly, is not among that: it is in force at once.
 */
export function tunnelSettings(settings: ProfileSettings): Partial<ProfileSettings> {
  const elsewhere: ReadonlySet<string> = new Set([
    'certificate',
    'certificateUrl',
    'key',
    'enrolment',
    'pkcs12',
    'pkcs12PasswordFile',
    'pkcs11Module',
    'pkcs11Token',
    'pkcs11PinFile',
    'certificateDirectory',
    'passwordFile',
    'passwordSources',
    'passwordCredential',
    'secretService',
    'dnsUpdateKey',
    'dnsUpdateKeytab',
    'dnsUpdateName',
    'encryptedDns',
    'dnsCa',
    'downEnds',
    'triggerHold',
    'triggerIdleMs',
    'trustedBeacon',
    'trustedBeaconPins',
    'trustedBeaconCa',
    'includeNames',
    'excludeNames',
    'nameRefreshSeconds',
    'ppkFile',
    'ppkIdentity',
  ] satisfies (keyof ProfileSettings)[]);
  const made = Object.fromEntries(Object.entries(settings).filter(([key]) => !elsewhere.has(key)));
  // Another PPK is heeded while the tunnel runs; whether there is one at all is how strict we are.
  return { ...made, ...(settings.ppkFile !== undefined && { ppkFile: '' }) };
}
