import { createHash, X509Certificate } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import { HostError, hostErrors, loadCredential, readSecretFile, type Credential } from '@aovpn/host';
import { authenticationOf, type CredentialFacts, type Problem } from '@aovpn/supervisor';
import type { Profile } from '@aovpn/profile';
import type { ProfileSettings } from './settings.ts';
import { problemOfError } from './tunnel.ts';

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

/** The settings' word first, then the files beside the profile that are there. */
export async function findCredentials(
  name: string,
  settings: ProfileSettings,
  configDir: string,
  profilesDir: string,
): Promise<CredentialPaths> {
  const beside = async (ending: string): Promise<string | undefined> => {
    const file = path.join(profilesDir, `${name}${ending}`);
    return (await exists(file)) ? file : undefined;
  };
  const named = (written: string | undefined): string | undefined => written && path.resolve(configDir, written);
  const pairs: [keyof CredentialPaths, string | undefined][] = [
    ['certificate', named(settings.certificate) ?? (await beside(credentialEndings.certificate))],
    ['key', named(settings.key) ?? (await beside(credentialEndings.key))],
    ['pkcs12', named(settings.pkcs12) ?? (await beside(credentialEndings.pkcs12))],
    ['pkcs12PasswordFile', named(settings.pkcs12PasswordFile) ?? (await beside(credentialEndings.pkcs12PasswordFile))],
    ['password', named(settings.passwordFile) ?? (await beside(credentialEndings.password))],
    ['userName', await beside(credentialEndings.userName)],
    ['gatewayCa', named(settings.gatewayCa) ?? (await beside(credentialEndings.gatewayCa))],
    ['radiusCa', named(settings.radiusCa) ?? (await beside(credentialEndings.radiusCa))],
  ];
  return Object.fromEntries(pairs.filter(([, file]) => file !== undefined));
}

/** Differs when one of the files differs: place, size, time of change, inode. */
export async function digestFiles(paths: CredentialPaths): Promise<string> {
  const parts: string[] = [];
  for (const [kind, file] of Object.entries(paths) as [string, string][]) {
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
  /** From NAME.user, when the settings name nobody. */
  readonly userName?: string;
  readonly gatewayAnchors: readonly X509Certificate[];
  readonly radiusAnchors: readonly X509Certificate[];
  /** @throws {HostError} */
  readPassword(): Promise<Uint8Array | undefined>;
}

/** Where Debian, Fedora (by a link) and Arch keep the roots that the system trusts. */
const systemAnchors = '/etc/ssl/certs/ca-certificates.crt';

/** A system's whole list has a quarter of it. */
const maxAnchorBytes = 4 << 20;

/** Reads what this profile needs, and nothing else. A file that cannot be used is a problem, not an exception. */
export async function loadCredentials(
  profile: Profile,
  paths: CredentialPaths,
): Promise<LoadedCredentials | { readonly problem: Problem }> {
  const wanted = authenticationOf(profile);
  const kind = 'problem' in wanted ? undefined : wanted.kind;
  try {
    const { certificate, key, pkcs12, pkcs12PasswordFile, password, gatewayCa, radiusCa } = paths;
    const usesCertificate = kind === 'certificate' || kind === 'eap-tls';
    const files =
      certificate !== undefined
        ? { certificate, ...(key && { key }) }
        : pkcs12
          ? { pkcs12, ...(pkcs12PasswordFile && { pkcs12PasswordFile }) }
          : undefined;
    const credential = usesCertificate && files ? await loadCredential(files) : undefined;
    const gatewayAnchors = await readAnchors(gatewayCa ?? systemAnchors);
    const radiusAnchors = kind === 'eap-tls' ? await readAnchors(radiusCa ?? systemAnchors) : [];
    if (kind === 'mschapv2' && password !== undefined) (await readSecretFile(password)).fill(0);
    const userName = paths.userName === undefined ? undefined : (await readFile(paths.userName, 'utf8')).trim();
    return {
      facts: {
        ...(credential && { certificate: certificateFacts(credential) }),
        hasPassword: password !== undefined,
        gatewayAuthorities: gatewayAnchors.map(keyHash),
      },
      ...(credential && { credential }),
      ...(userName && { userName }),
      gatewayAnchors,
      radiusAnchors,
      readPassword: async () => (password === undefined ? undefined : await readSecretFile(password)),
    };
  } catch (error) {
    return { problem: problemOfError(error) };
  }
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
  let text: string;
  try {
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const facts = await handle.stat();
      // Whoever can write it decides whom we believe.
      if (!facts.isFile()) throw hostError('AOV-HOST-103', `${file} is not a regular file`);
      if (facts.uid !== 0 && facts.uid !== process.geteuid?.())
        throw hostError('AOV-HOST-102', `${file} belongs to user ${facts.uid}`);
      if ((facts.mode & 0o022) !== 0) throw hostError('AOV-HOST-101', `${file} can be written by other users`);
      if (facts.size > maxAnchorBytes) throw hostError('AOV-HOST-104', `${file} has ${facts.size} octets`);
      text = await handle.readFile('latin1');
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof HostError) throw error;
    if (file === systemAnchors && (error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw hostError('AOV-HOST-100', `${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`, error);
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

function hostError(code: string, what: string, cause?: unknown): HostError {
  return new HostError(code, what, hostErrors.find((entry) => entry.code === code)?.cure ?? '', cause);
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
