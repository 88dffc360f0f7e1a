import type { KeyObject } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { HostError } from '../host-error.ts';
import type { ParsedCertificate } from '../trust/certificate.ts';
import { holdsCertificate, holdsPrivateKey, readCertificates, readPrivateKey } from './certificate-file.ts';
import { readPkcs12 } from './credential.ts';
import type { Findings, FoundCertificate, KeySource, KeySourceProblem } from './key-source.ts';
import { keysError } from './keys-error.ts';
import { readCertificateFile, readKeyFile } from './secret-file.ts';
import { softwareKey } from './software-key.ts';

/** Files of a directory that are read. */
const fileLimit = 256;

/** Looks into a PEM file. */
export async function lookIntoPem({ certificate, key }: Extract<KeySource, { kind: 'pem' }>): Promise<Findings> {
  const source = `file ${certificate}`;
  return collect(source, async () => {
    const file = await readCertificateFile(certificate);
    const [leaf, ...others] = readCertificates(file, certificate);
    const keyPath = key ?? (holdsPrivateKey(file) ? certificate : undefined);
    file.fill(0);
    const problems: KeySourceProblem[] = [];
    if (keyPath !== undefined) {
      // What would stop the key from being used later is told now.
      await loadKey(keyPath, leaf!, certificate).catch((error: unknown) => problems.push({ source, error: asHostError(error) }));
    }
    const hasKey = keyPath !== undefined && problems.length === 0;
    const openKey = async (): Promise<ReturnType<typeof softwareKey>> => {
      if (keyPath === undefined) throw keysError('AOV-HOST-111', `there is no private key for ${certificate}`);
      return softwareKey(await loadKey(keyPath, leaf!, certificate), keyPath);
    };
    return { found: [{ certificate: leaf!, source, onToken: false, hasKey, openKey }], others, problems };
  });
}

/** Looks into a PKCS#12 file; every certificate that one of its keys belongs to is found. */
export async function lookIntoPkcs12({ file, passwordFile }: Extract<KeySource, { kind: 'pkcs12' }>): Promise<Findings> {
  const source = `PKCS#12 ${file}`;
  return collect(source, async () => {
    const { keys, certificates } = await readPkcs12(file, passwordFile);
    if (keys.length === 0) throw keysError('AOV-HOST-111', `${file} holds no private key`);
    const keyOf = (certificate: ParsedCertificate): KeyObject | undefined =>
      keys.find((key) => certificate.x509.checkPrivateKey(key));
    const found = certificates.flatMap((certificate): FoundCertificate[] => {
      const key = keyOf(certificate);
      if (!key) return [];
      return [{ certificate, source, onToken: false, hasKey: true, openKey: () => Promise.resolve(softwareKey(key, file)) }];
    });
    if (found.length === 0) throw keysError('AOV-HOST-114', `no certificate in ${file} belongs to its private key`);
    return { found, others: certificates.filter((certificate) => keyOf(certificate) === undefined), problems: [] };
  });
}

/** Looks into all files of a directory that are named like certificates and keys; a key belongs to whom its public half says. */
export async function lookIntoDirectory({ path: directory }: Extract<KeySource, { kind: 'directory' }>): Promise<Findings> {
  let names: string[];
  try {
    names = (await readdir(directory)).toSorted().slice(0, fileLimit);
  } catch (error) {
    return problem(`directory ${directory}`, keysError('AOV-HOST-100', `${directory} cannot be read`, { cause: error }));
  }
  const named = (ending: RegExp): string[] => names.filter((name) => ending.test(name)).map((name) => path.join(directory, name));
  const problems: KeySourceProblem[] = [];
  const note =
    (source: string) =>
    (error: unknown): undefined => {
      problems.push({ source, error: asHostError(error) });
    };

  const keys: { readonly key: KeyObject; readonly file: string }[] = [];
  const certificates: { readonly certificate: ParsedCertificate; readonly file: string; readonly isFirst: boolean }[] = [];
  for (const file of named(/\.(pem|crt|cer|der|key)$/i)) {
    const content = await readCertificateFile(file).catch(note(`file ${file}`));
    if (!content) continue;
    if (holdsPrivateKey(content)) {
      const key = await readKeyFile(file)
        .then((octets) => {
          try {
            return readPrivateKey(octets, file);
          } finally {
            octets.fill(0);
          }
        })
        .catch(note(`file ${file}`));
      if (key) keys.push({ key, file });
    }
    if (!/\.key$/i.test(file) && (!holdsPrivateKey(content) || holdsCertificate(content))) {
      try {
        const parsed = readCertificates(content, file);
        certificates.push(...parsed.map((certificate, i) => ({ certificate, file, isFirst: i === 0 })));
      } catch (error) {
        note(`file ${file}`)(error);
      }
    }
    content.fill(0);
  }

  const found: FoundCertificate[] = [];
  const others: ParsedCertificate[] = [];
  for (const { certificate, file, isFirst } of certificates) {
    const own = keys.find(({ key }) => certificate.x509.checkPrivateKey(key));
    if (!own && (!isFirst || certificate.basicConstraints?.ca === true)) {
      others.push(certificate);
      continue;
    }
    const openKey: FoundCertificate['openKey'] = () =>
      own
        ? Promise.resolve(softwareKey(own.key, own.file))
        : Promise.reject(keysError('AOV-HOST-111', `there is no private key for ${file} in ${directory}`));
    found.push({ certificate, source: `file ${file}`, onToken: false, hasKey: own !== undefined, openKey });
  }
  const parts: Findings[] = [{ found, others, problems }];
  for (const file of named(/\.(p12|pfx)$/i)) {
    const secret = names.includes(`${path.basename(file)}.secret`) ? { passwordFile: `${file}.secret` } : {};
    parts.push(await lookIntoPkcs12({ kind: 'pkcs12', file, ...secret }));
  }
  return merge(parts);
}

export function merge(parts: readonly Findings[]): Findings {
  return {
    found: parts.flatMap((part) => part.found),
    others: parts.flatMap((part) => part.others),
    problems: parts.flatMap((part) => part.problems),
  };
}

export function asHostError(error: unknown): HostError {
  if (error instanceof HostError) return error;
  const detail = error instanceof Error ? error.message : String(error);
  return keysError('AOV-HOST-100', `unexpected: ${detail}`, { cause: error });
}

async function loadKey(keyPath: string, leaf: ParsedCertificate, certificatePath: string): Promise<KeyObject> {
  const file = await readKeyFile(keyPath);
  try {
    const key = readPrivateKey(file, keyPath);
    if (leaf.x509.checkPrivateKey(key)) return key;
    throw keysError('AOV-HOST-114', `the first certificate in ${certificatePath} ("${leaf.subject}") was issued for another key`);
  } finally {
    file.fill(0);
  }
}

async function collect(source: string, look: () => Promise<Findings>): Promise<Findings> {
  try {
    return await look();
  } catch (error) {
    return problem(source, asHostError(error));
  }
}

function problem(source: string, error: HostError): Findings {
  return { found: [], others: [], problems: [{ source, error }] };
}
