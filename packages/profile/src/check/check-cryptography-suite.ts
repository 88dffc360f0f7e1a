import type { CryptographySuite } from '../profile.ts';
import type { CheckContext } from './check.ts';

/** The six choices of a cryptography suite against each other. */
export function checkCryptographySuite({ profile, report }: CheckContext): void {
  const native = profile.nativeProfile;
  const suite = native?.cryptographySuite;
  if (!suite) return;
  const path = 'VPNProfile/NativeProfile/CryptographySuite';
  const protocol = native.nativeProtocolType;
  if (protocol?.value !== 'IKEv2') {
    report('suiteWithoutIkev2', suite.at, path, `NativeProtocolType is ${protocol?.value ?? 'absent'}`);
  }
  const names = Object.keys(elementNames) as (keyof typeof elementNames)[];
  const missing = names.filter((name) => suite[name] === undefined);
  if (missing.length > 0)
    report('suiteIncomplete', suite.at, path, `missing: ${missing.map((name) => elementNames[name]).join(', ')}`);
  const { cipherTransformConstants: cipher, authenticationTransformConstants: integrity } = suite;
  if (cipher && integrity) {
    const pair = `CipherTransformConstants is ${cipher.value}, AuthenticationTransformConstants is ${integrity.value}`;
    const cipherIsGcm = cipher.value.startsWith('GCM');
    if (cipherIsGcm && cipher.value !== integrity.value) report('gcmWithOtherIntegrity', integrity.at, path, pair);
    if (!cipherIsGcm && integrity.value.startsWith('GCM')) report('gcmIntegrityAlone', integrity.at, path, pair);
  }
  for (const name of names) {
    const choice = suite[name];
    if (choice && weak[name].includes(choice.value)) {
      report('weakAlgorithm', choice.at, `${path}/${elementNames[name]}`, `${elementNames[name]} is ${choice.value}`);
    }
  }
}

type Choice = Exclude<keyof CryptographySuite, 'at'>;

const elementNames = {
  authenticationTransformConstants: 'AuthenticationTransformConstants',
  cipherTransformConstants: 'CipherTransformConstants',
  pfsGroup: 'PfsGroup',
  dhGroup: 'DHGroup',
  integrityCheckMethod: 'IntegrityCheckMethod',
  encryptionMethod: 'EncryptionMethod',
} as const satisfies Record<Choice, string>;

/** What RFC 8247 and RFC 8221 advise against or forbid; for PFS also "none", which leaves one key exchange to protect all. */
const weak: Readonly<Record<Choice, readonly string[]>> = {
  authenticationTransformConstants: ['MD596', 'SHA196'],
  cipherTransformConstants: ['DES', 'DES3'],
  pfsGroup: ['None', 'PFS1', 'PFS2', 'PFS24'],
  dhGroup: ['None', 'Group1', 'Group2', 'Group24'],
  integrityCheckMethod: ['MD5', 'SHA196'],
  encryptionMethod: ['DES', 'DES3'],
};
