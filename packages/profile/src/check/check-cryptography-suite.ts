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
    if (!choice) continue;
    const elementPath = `${path}/${elementNames[name]}`;
    const what = `${elementNames[name]} is ${choice.value}`;
    if (broken[name].includes(choice.value)) report('brokenAlgorithm', choice.at, elementPath, what);
    else if (weak[name].includes(choice.value) && !isPrfOnly(name, suite)) report('weakAlgorithm', choice.at, elementPath, what);
  }
  if (suite.pfsGroup?.value === 'None') report('noForwardSecrecy', suite.pfsGroup.at, `${path}/PfsGroup`, 'PfsGroup is None');
}

/** With an AEAD cipher IntegrityCheckMethod selects the PRF alone, for which SHA-1 is not weak (RFC 8247 §2.2). */
function isPrfOnly(name: Choice, suite: CryptographySuite): boolean {
  return name === 'integrityCheckMethod' && suite.encryptionMethod?.value.startsWith('AES_GCM') === true;
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

/** What RFC 8247 and RFC 8221 advise against, but old gateways still insist on. */
const weak: Readonly<Record<Choice, readonly string[]>> = {
  authenticationTransformConstants: ['SHA196'],
  cipherTransformConstants: ['DES3'],
  pfsGroup: ['PFS2', 'PFS24'],
  dhGroup: ['Group2', 'Group24'],
  integrityCheckMethod: ['SHA196'],
  encryptionMethod: ['DES3'],
};

/** What they forbid. */
const broken: Readonly<Record<Choice, readonly string[]>> = {
  authenticationTransformConstants: ['MD596'],
  cipherTransformConstants: ['DES'],
  pfsGroup: ['PFS1'],
  dhGroup: ['None', 'Group1'],
  integrityCheckMethod: ['MD5'],
  encryptionMethod: ['DES'],
};
