import { Encr, Integ, Ke, Prf, type ChildProposalConfig, type IkeProposalConfig } from '@aovpn/ike';
import type {
  AuthenticationTransformConstants,
  CipherTransformConstants,
  CryptographySuite,
  DhGroup,
  EncryptionMethod,
  IntegrityCheckMethod,
  Located,
  PfsGroup,
} from '@aovpn/profile';
import type { ConnectionSettings } from './connection-settings.ts';
import { problem } from './problem-catalogue.ts';
import type { Problem } from './problem.ts';

export interface Proposals {
  readonly ike: readonly IkeProposalConfig[];
  readonly child: readonly ChildProposalConfig[];
  /** A 64-bit block cipher must not encrypt much under one key (Sweet32, CVE-2016-2183). */
  readonly smallBlocks: boolean;
}

interface Cipher {
  readonly id: number;
  readonly keyBits: number;
  readonly weak?: true;
}

/** `undefined`: an algorithm that we leave out on purpose. */
type Choice<T> = (T & { readonly weak?: true }) | undefined;

const aes = (keyBits: number): Cipher => ({ id: Encr.AES_CBC, keyBits });
const gcm = (keyBits: number): Cipher => ({ id: Encr.AES_GCM_16, keyBits });
const des3: Cipher = { id: Encr.DES3, keyBits: 192, weak: true };
const chacha: Cipher = { id: Encr.CHACHA20_POLY1305, keyBits: 256 };

// ProfileXML's words by IKEv2's numbers (VPNv2 CSP CryptographySuite; IANA "IKEv2 Parameters").

const ikeCiphers: { readonly [M in EncryptionMethod]: Choice<Cipher> } = {
  DES: undefined,
  DES3: des3,
  AES128: aes(128),
  AES192: aes(192),
  AES256: aes(256),
  AES_GCM_128: gcm(128),
  AES_GCM_256: gcm(256),
};

const ikeIntegrity: { readonly [M in IntegrityCheckMethod]: Choice<{ readonly prf: number; readonly integ: number }> } = {
  MD5: undefined,
  SHA196: { prf: Prf.HMAC_SHA1, integ: Integ.HMAC_SHA1_96, weak: true },
  SHA256: { prf: Prf.HMAC_SHA2_256, integ: Integ.HMAC_SHA2_256_128 },
  SHA384: { prf: Prf.HMAC_SHA2_384, integ: Integ.HMAC_SHA2_384_192 },
};

const dhGroups: { readonly [G in DhGroup]: Choice<{ readonly ke: number }> } = {
  None: undefined,
  Group1: undefined,
  Group2: { ke: Ke.MODP1024, weak: true },
  Group14: { ke: Ke.MODP2048 },
  ECP256: { ke: Ke.ECP256 },
  ECP384: { ke: Ke.ECP384 },
  Group24: { ke: Ke.MODP2048_256, weak: true },
};

const espCiphers: { readonly [C in CipherTransformConstants]: Choice<Cipher> } = {
  DES: undefined,
  DES3: des3,
  AES128: aes(128),
  AES192: aes(192),
  AES256: aes(256),
  GCMAES128: gcm(128),
  GCMAES192: gcm(192),
  GCMAES256: gcm(256),
};

const espIntegrity: {
  readonly [A in AuthenticationTransformConstants]: Choice<{ readonly integ: number; readonly gcmBits?: number }>;
} = {
  MD596: undefined,
  SHA196: { integ: Integ.HMAC_SHA1_96, weak: true },
  SHA256128: { integ: Integ.HMAC_SHA2_256_128 },
  GCMAES128: { integ: Integ.NONE, gcmBits: 128 },
  GCMAES192: { integ: Integ.NONE, gcmBits: 192 },
  GCMAES256: { integ: Integ.NONE, gcmBits: 256 },
};

const pfsGroups: { readonly [G in PfsGroup]: Choice<{ readonly ke: ChildProposalConfig['ke'] }> } = {
  None: { ke: [] },
  PFS1: undefined,
  PFS2: { ke: [Ke.MODP1024], weak: true },
  PFS2048: { ke: [Ke.MODP2048] },
  ECP256: { ke: [Ke.ECP256] },
  ECP384: { ke: [Ke.ECP384] },
  PFSMM: { ke: 'ike' },
  PFS24: { ke: [Ke.MODP2048_256], weak: true },
};

// What we offer where the profile is silent, most wanted first.

const modernCiphers = [gcm(256), chacha, gcm(128), aes(256), aes(128)];
const modernIntegrity = [Integ.HMAC_SHA2_256_128, Integ.HMAC_SHA2_384_192, Integ.HMAC_SHA2_512_256];
const modernPrfs = [Prf.HMAC_SHA2_256, Prf.HMAC_SHA2_384, Prf.HMAC_SHA2_512];
const modernGroups = [Ke.X25519, Ke.ECP256, Ke.ECP384, Ke.MODP2048, Ke.MODP3072, Ke.MODP4096, Ke.ECP521];

/** What an RRAS gateway at its defaults insists on: offered last, and only when weak algorithms are allowed. */
const legacyIke: IkeProposalConfig = {
  encr: [aes(256), aes(128), des3],
  integ: [Integ.HMAC_SHA1_96],
  prf: [Prf.HMAC_SHA1],
  ke: [Ke.MODP2048, Ke.MODP1024],
};
const legacyChild: ChildProposalConfig = { encr: [aes(256), aes(128), des3], integ: [Integ.HMAC_SHA1_96], ke: [], esn: false };

/** ML-KEM-768 as the one additional key exchange (RFC 9370, draft-ietf-ipsecme-ikev2-mlkem). */
const postQuantumKe = [[Ke.ML_KEM_768]];

/**
 * Turns CryptographySuite into proposals. An element that is absent stands for our own list in its place; without any suite the
 * whole offer is ours. Weak algorithms need `allowWeak`; broken ones are never offered. ML-KEM beside the usual key exchange comes
 * first where the whole offer is ours, and with everything when it is required.
 */
export function compileProposals(
  suite: CryptographySuite | undefined,
  { allowWeak, postQuantum }: Pick<ConnectionSettings, 'allowWeak' | 'postQuantum'>,
): Proposals | { readonly problem: Problem } {
  const faults: Problem[] = [];
  const pick = <W extends string, T extends object>(
    element: string,
    written: Located<W> | undefined,
    table: { readonly [X in W]: Choice<T> },
  ): T | undefined => {
    if (!written) return undefined;
    const choice = table[written.value];
    const where = `${element} ${written.value}, line ${written.at.line}`;
    if (!choice) faults.push(problem('unknownAlgorithm', where));
    else if (choice.weak && !allowWeak) faults.push(problem('weakAlgorithm', where));
    return choice;
  };

  const cipher = pick('EncryptionMethod', suite?.encryptionMethod, ikeCiphers);
  // With an AEAD cipher IntegrityCheckMethod chooses the PRF alone, and SHA-1 is not weak as a PRF (RFC 8247 §2.2).
  const integrityTable =
    cipher && isAead(cipher) ? { ...ikeIntegrity, SHA196: { prf: Prf.HMAC_SHA1, integ: Integ.NONE } } : ikeIntegrity;
  const integrity = pick('IntegrityCheckMethod', suite?.integrityCheckMethod, integrityTable);
  const group = pick('DHGroup', suite?.dhGroup, dhGroups);
  const espCipher = pick('CipherTransformConstants', suite?.cipherTransformConstants, espCiphers);
  const espAuth = pick('AuthenticationTransformConstants', suite?.authenticationTransformConstants, espIntegrity);
  const pfs = pick('PfsGroup', suite?.pfsGroup, pfsGroups);
  if (espCipher && espAuth && (isAead(espCipher) ? espAuth.gcmBits !== espCipher.keyBits : espAuth.gcmBits !== undefined)) {
    const written = suite!.authenticationTransformConstants!;
    faults.push(
      problem('contradictorySuite', `${suite!.cipherTransformConstants!.value} with ${written.value}, line ${written.at.line}`),
    );
  }
  if (faults[0]) return { problem: faults[0] };

  const ike = byKind(cipher ? [cipher] : modernCiphers).map(({ encr, aead }) => ({
    encr,
    integ: aead ? [] : integrity ? [integrity.integ] : modernIntegrity,
    prf: integrity ? [integrity.prf] : modernPrfs,
    ke: group ? [group.ke] : modernGroups,
  }));
  // GCMAES… without a cipher names the cipher as well.
  const espChoice = espCipher ?? (espAuth?.gcmBits !== undefined ? gcm(espAuth.gcmBits) : undefined);
  const kinds = byKind(espChoice ? [espChoice] : espAuth ? modernCiphers.filter((one) => !isAead(one)) : modernCiphers);
  const withGroups = (ke: ChildProposalConfig['ke']): ChildProposalConfig[] =>
    kinds.map(({ encr, aead }) => ({ encr, integ: aead ? [] : espAuth ? [espAuth.integ] : modernIntegrity, ke }));
  // Where the profile is silent about PFS, both with and without will do: gateways differ.
  const child = pfs ? withGroups(pfs.ke) : [...withGroups(modernGroups), ...withGroups([])];
  const legacy = !suite && allowWeak && postQuantum !== 'require';
  const offer = {
    ike: legacy ? [...ike, legacyIke] : ike,
    child: legacy ? [...child, legacyChild] : child,
    smallBlocks: legacy || espChoice?.id === Encr.DES3,
  };
  if (postQuantum === 'require') return { ...offer, ike: ike.map(withPostQuantum), child: child.map(withPostQuantum) };
  if (suite || postQuantum === 'off') return offer;
  return { ...offer, ike: [withPostQuantum(ike[0]!), ...offer.ike], child: [withPostQuantum(child[0]!), ...offer.child] };
}

/** A CHILD_SA without a key exchange of its own has the IKE SA's protection. */
function withPostQuantum<C extends IkeProposalConfig | ChildProposalConfig>(config: C): C {
  return config.ke.length === 0 ? config : { ...config, additionalKe: postQuantumKe };
}

/** A proposal never mixes AEAD and other ciphers (RFC 7296 §3.3). */
function byKind(
  ciphers: readonly Cipher[],
): { readonly encr: { readonly id: number; readonly keyBits: number }[]; readonly aead: boolean }[] {
  const plain = (wanted: boolean): { readonly id: number; readonly keyBits: number }[] =>
    ciphers.filter((cipher) => isAead(cipher) === wanted).map(({ id, keyBits }) => ({ id, keyBits }));
  return [
    { encr: plain(true), aead: true },
    { encr: plain(false), aead: false },
  ].filter(({ encr }) => encr.length > 0);
}

function isAead(cipher: Cipher): boolean {
  return cipher.id === Encr.AES_GCM_16 || cipher.id === Encr.CHACHA20_POLY1305;
}
