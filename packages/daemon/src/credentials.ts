import { createHash, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import {
  loadCredential,
  openKeyRing,
  type AskPin,
  type Credential,
  type KeyRing,
  type KeySource,
  type KeySourceProblem,
} from '@aovpn/host';
import {
  certificatePurposeOf,
  chooseCertificate,
  compileCertificateWish,
  type CertificateChoice,
  type ExplicitCertificate,
} from '@aovpn/policy';
import { problem, problemOfCertificateChoice, type CredentialFacts, type Problem } from '@aovpn/supervisor';
import type { Profile } from '@aovpn/profile';
import { problemOfError } from './problem-error.ts';
import { goesWithoutCertificate, loadKeyMaterial, type KeyMaterial } from './key-material.ts';
import { radiusServerOf } from './secret-need.ts';
import type { ProfileSettings } from './profile-settings.ts';
import { hostError, readTrustedFile } from './trusted-file.ts';

/** Where the credentials of one profile are; undefined: there is none of that kind. */
export interface CredentialPaths {
  readonly certificate?: string;
  readonly key?: string;
  readonly pkcs12?: string;
  readonly pkcs12PasswordFile?: string;
  readonly password?: string;
  readonly userName?: string;
  readonly gatewayCa?: string;
  readonly radiusCa?: string;
}

/** What beside NAME.xml belongs to it, by its ending. */
export const credentialEndings = {
  certificate: '.pem',
  key: '.key',
  pkcs12: '.p12',
  pkcs12PasswordFile: '.p12.secret',
  password: '.secret',
  userName: '.user',
  gatewayCa: '.ca.pem',
  radiusCa: '.radius-ca.pem',
} as const satisfies { readonly [K in keyof CredentialPaths]-?: string };

/** What the names of the files of one profile begin with, its directory included. */
export interface CredentialStem {
  readonly path: string;
  /** Whether those that say whom we believe count there. */
  readonly anchors: boolean;
}

/** The settings' word first, then the files beside the profile that are there, by the order of the stems. */
export async function findCredentials(
  stems: readonly CredentialStem[],
  settings: ProfileSettings,
  configDir: string,
): Promise<CredentialPaths> {
  const beside = async (ending: string): Promise<string | undefined> => {
    for (const { path: stem, anchors } of stems) {
      if (!anchors && ending.endsWith('ca.pem')) continue;
      if (await exists(`${stem}${ending}`)) return `${stem}${ending}`;
    }
    return undefined;
  };
  const named = (written: string | undefined): string | undefined => written && path.resolve(configDir, written);
  const pairs: [keyof CredentialPaths, string | undefined][] = [
    ['certificate', named(settings.certificate) ?? (await beside(credentialEndings.certificate))],
    // The key of an enrolled certificate is in its file.
    ['key', settings.enrolment === undefined ? (named(settings.key) ?? (await beside(credentialEndings.key))) : undefined],
    ['pkcs12', named(settings.pkcs12) ?? (await beside(credentialEndings.pkcs12))],
    ['pkcs12PasswordFile', named(settings.pkcs12PasswordFile) ?? (await beside(credentialEndings.pkcs12PasswordFile))],
    ['password', named(settings.passwordFile) ?? (await beside(credentialEndings.password))],
    ['userName', await beside(credentialEndings.userName)],
    ['gatewayCa', named(settings.gatewayCa) ?? (await beside(credentialEndings.gatewayCa))],
    ['radiusCa', named(settings.radiusCa) ?? (await beside(credentialEndings.radiusCa))],
  ];
  return Object.fromEntries(pairs.filter(([, file]) => file !== undefined));
}

/** Differs when one of the files differs: place, size, time of change, inode. `more`: other files, relative to `directory`. */
export async function digestFiles(paths: CredentialPaths, more: readonly string[] = [], directory = '/'): Promise<string> {
  const parts: string[] = [];
  const others = more.map((file): [string, string] => ['other', path.resolve(directory, file)]);
  for (const [kind, file] of [...(Object.entries(paths) as [string, string][]), ...others]) {
    try {
      const { size, mtimeMs, ctimeMs, ino } = await stat(file);
      parts.push([kind, file, size, mtimeMs, ctimeMs, ino].join('\0'));
    } catch {
      parts.push([kind, file, 'missing'].join('\0'));
    }
  }
  return createHash('sha256').update(parts.join('\n')).digest('hex');
}

export interface LoadedCredentials {
  readonly facts: CredentialFacts;
  readonly credential?: Credential;
  readonly material: KeyMaterial;
  /** From NAME.user, when the settings name nobody. */
  readonly userName?: string;
  readonly gatewayAnchors: readonly X509Certificate[];
  readonly radiusAnchors: readonly X509Certificate[];
  /** Undefined: the profile uses no certificate. */
  readonly choice?: CertificateChoice;
}

/** Where Debian, Fedora (by a link) and Arch keep the roots that the system trusts. */
const systemAnchors = '/etc/ssl/certs/ca-certificates.crt';

/** Sources of keys beside the files of a profile. */
export interface KeyPlaces {
  readonly files: KeySource | undefined;
  readonly more: readonly KeySource[];
}

/** Files first, as `findCredentials` found them; then what the settings name. */
export function keyPlaces(paths: CredentialPaths, settings: ProfileSettings, configDir: string): KeyPlaces {
  const { certificate, key, pkcs12, pkcs12PasswordFile } = paths;
  const { pkcs11Module, pkcs11Token, pkcs11PinFile, certificateDirectory } = settings;
  const named = (written: string): string => path.resolve(configDir, written);
  const files: KeySource | undefined =
    certificate !== undefined
      ? { kind: 'pem', certificate, ...(key !== undefined && { key }) }
      : pkcs12 === undefined
        ? undefined
        : { kind: 'pkcs12', file: pkcs12, ...(pkcs12PasswordFile !== undefined && { passwordFile: pkcs12PasswordFile }) };
  const more: KeySource[] = [];
  if (pkcs11Module !== undefined)
    more.push({
      kind: 'pkcs11',
      module: named(pkcs11Module),
      ...(pkcs11Token !== undefined && { token: pkcs11Token }),
      ...(pkcs11PinFile !== undefined && { pinFile: named(pkcs11PinFile) }),
    });
  if (certificateDirectory !== undefined) more.push({ kind: 'directory', path: named(certificateDirectory) });
  return { files, more };
}

export function openRing({ files, more }: KeyPlaces, askPin?: AskPin): KeyRing {
  return openKeyRing([...(files ? [files] : []), ...more], askPin ? { askPin } : {});
}

/** Which certificate speaks for us, and what of the sources could not be looked into; undefined: the profile uses none. */
export async function decideCertificate(
  profile: Profile,
  paths: CredentialPaths,
  { files }: KeyPlaces,
  ring: KeyRing,
  picked?: string,
): Promise<{ readonly choice: CertificateChoice; readonly problems: readonly KeySourceProblem[] } | undefined> {
  const purpose = certificatePurposeOf(profile);
  if (purpose === undefined) return undefined;
  const explicit = (await explicitOf(files)) ?? (picked === undefined ? undefined : { id: picked, why: 'your choice' });
  const candidates = await ring.candidates(await knownAuthorities(paths));
  const wish = compileCertificateWish(profile, purpose, explicit);
  return { choice: chooseCertificate(candidates, wish, Date.now()), problems: ring.problems() };
}

/**
 * Authorities that the profile's own files name, so that a filter finds a root that no file of the certificate holds; the system's are known
 * to the ring. Nothing is believed for it, so what is wrong with a file is told where it counts.
 */
async function knownAuthorities({ gatewayCa, radiusCa }: CredentialPaths): Promise<readonly X509Certificate[]> {
  const own = [gatewayCa, radiusCa].filter((file) => file !== undefined);
  return (await Promise.all(own.map((file) => readAnchors(file).catch(() => [])))).flat();
}

/** A file beside the profile, or named in the settings, is meant for it, whatever else there is. */
async function explicitOf(files: KeySource | undefined): Promise<ExplicitCertificate | undefined> {
  if (!files) return undefined;
  const ring = openKeyRing([files], { authorities: [] });
  try {
    const found = await ring.candidates();
    const named = found.find(({ hasKey }) => hasKey) ?? found[0];
    return named && { id: named.id, why: `the ${named.source}` };
  } finally {
    await ring.close();
  }
}

/** With a choice: nothing is wrong with any file, but no certificate is the right one. */
export interface CredentialProblem {
  readonly problem: Problem;
  readonly choice?: CertificateChoice;
}

/** Reads what this profile needs, and nothing else. What cannot be used is a problem, not an exception. */
export async function loadCredentials(
  profile: Profile,
  paths: CredentialPaths,
  keys: KeyPlaces,
  ring: KeyRing,
  settings: ProfileSettings,
  configDir: string,
  picked?: string,
): Promise<LoadedCredentials | CredentialProblem> {
  try {
    const { gatewayCa, radiusCa } = paths;
    if (settings.enrolment !== undefined && paths.certificate !== undefined && !(await exists(paths.certificate)))
      return { problem: problem('notEnrolled', settings.enrolment) };
    const material = await loadKeyMaterial(settings, paths, configDir);
    const decided = goesWithoutCertificate(settings) ? undefined : await decideCertificate(profile, paths, keys, ring, picked);
    const choice = decided?.choice;
    const credential = decided && (await credentialOf(decided, keys, ring));
    const gatewayAnchors = await readAnchors(gatewayCa ?? systemAnchors);
    const radiusAnchors = radiusServerOf(profile) ? await readAnchors(radiusCa ?? systemAnchors) : [];
    const userName = paths.userName === undefined ? undefined : (await readFile(paths.userName, 'utf8')).trim();
    const obstacle = choice && !credential ? problemOfCertificateChoice(choice) : undefined;
    if (obstacle) return { problem: obstacle, choice: choice! };
    return {
      facts: {
        ...(credential && { certificate: certificateFacts(credential) }),
        ...(material.machine && { machine: certificateFacts(material.machine) }),
        ...(material.rawKey && { rawKey: material.rawKey }),
        ...(material.gatewayKeys && { gatewayKeys: material.gatewayKeys }),
        hasPassword: false,
        anyRadiusRoot: radiusCa === undefined,
        gatewayAuthorities: gatewayAnchors.map(keyHash),
      },
      ...(credential && { credential }),
      material,
      ...(userName && { userName }),
      gatewayAnchors,
      radiusAnchors,
      ...(choice && { choice }),
    };
  } catch (error) {
    return { problem: problemOfError(error) };
  }
}

async function credentialOf(
  { choice, problems }: { readonly choice: CertificateChoice; readonly problems: readonly KeySourceProblem[] },
  { files }: KeyPlaces,
  ring: KeyRing,
): Promise<Credential | undefined> {
  // Files say best what is wrong with them.
  if (files && files.kind !== 'directory' && files.kind !== 'pkcs11') {
    if (files.kind === 'pem')
      return await loadCredential({ certificate: files.certificate, ...(files.key !== undefined && { key: files.key }) });
    return await loadCredential({ pkcs12: files.file, ...passwordFileOf(files) });
  }
  if (choice.outcome.kind === 'chosen') return await ring.credential(choice.outcome.candidate.id);
  if (choice.outcome.kind === 'none' && problems[0]) throw problems[0].error;
  return undefined;
}

function passwordFileOf({ passwordFile }: { readonly passwordFile?: string }): { readonly pkcs12PasswordFile?: string } {
  return passwordFile === undefined ? {} : { pkcs12PasswordFile: passwordFile };
}

function certificateFacts({
  certificates,
  schemes,
  subjectDn,
  subject,
  names,
}: Credential): NonNullable<CredentialFacts['certificate']> {
  // A Name without any RDN is an empty SEQUENCE (RFC 5280 §4.1.2.6).
  const isEmpty = subjectDn.length <= 2;
  const commonName = /(?:^|, )CN=((?:\\.|[^,\\])+)/.exec(subject)?.[1]?.replaceAll(/\\(.)/g, '$1');
  return {
    chain: certificates,
    schemes,
    ...(!isEmpty && { subject: subjectDn }),
    ...(commonName !== undefined && { commonName }),
    alternativeNames: (['upn', 'email', 'dns'] as const).flatMap((kind) => names[kind].map((value) => ({ kind, value }))),
  };
}

async function readAnchors(file: string): Promise<readonly X509Certificate[]> {
  const text = await readTrustedFile(file);
  if (text === undefined) {
    if (file === systemAnchors) return [];
    throw hostError('AOV-HOST-100', `${file} cannot be read (ENOENT)`);
  }
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  // An anchor file without anchors must never come to mean "trust whatever the system trusts".
  if (blocks.length === 0) throw hostError('AOV-HOST-110', `${file} holds no certificate`);
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (error) {
    throw hostError('AOV-HOST-141', `${file} holds a certificate that cannot be decoded`, error);
  }
}

/** RFC 7296 §3.7: SHA-1 of the SubjectPublicKeyInfo. */
function keyHash(anchor: X509Certificate): Uint8Array {
  const spki = anchor.publicKey.export({ type: 'spki', format: 'der' });
  return new Uint8Array(createHash('sha1').update(spki).digest());
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch {
    return false;
  }
}
