import { createHash, type X509Certificate } from 'node:crypto';
import type { CertificateCandidate } from '@aovpn/policy';
import { AnchorStore } from '../trust/anchor-store.ts';
import type { ParsedCertificate } from '../trust/certificate.ts';
import { describeCandidate } from './candidate.ts';
import { assembleCredential, type Credential } from './credential.ts';
import { lookIntoDirectory, lookIntoPem, lookIntoPkcs12, merge } from './file-source.ts';
import type { Findings, KeySource, KeySourceProblem } from './key-source.ts';
import { keysError } from './keys-error.ts';
import type { AskPin } from './pkcs11/pin.ts';
import { TokenSource } from './pkcs11/token-source.ts';

export interface KeyRingOptions {
  /** Called when a token wants a PIN that no file gives. */
  readonly askPin?: AskPin;
  /** DER certificates that may be above a candidate; undefined: the roots of the system, if there are any. */
  readonly authorities?: readonly Uint8Array[];
}

/** Every certificate that could speak for this machine or user, wherever it is. */
export interface KeyRing {
  /**
   * Looks afresh; asks nobody for a PIN; never rejects. The same certificate in two sources is named once, with its key if one has it.
   * `above`: more certificates that may be above a candidate, beside `authorities`.
   */
  candidates(above?: readonly X509Certificate[]): Promise<CertificateCandidate[]>;
  /** What went wrong when it looked last. */
  problems(): readonly KeySourceProblem[];
  /**
   * The certificate of this candidate, with its key.
   * @throws {HostError} 100–122, 150–157
   */
  credential(id: string): Promise<Credential>;
  /** Logs out of tokens and lets go of their modules. */
  close(): Promise<void>;
}

/** Reads nothing yet. */
export function openKeyRing(sources: readonly KeySource[], options: KeyRingOptions = {}): KeyRing {
  return new Ring(sources, options);
}

class Ring implements KeyRing {
  readonly #looks: readonly (() => Promise<Findings>)[];
  readonly #tokens: TokenSource[] = [];
  readonly #options: KeyRingOptions;
  #findings: Findings | undefined;
  #anchors: AnchorStore | undefined;

  constructor(sources: readonly KeySource[], options: KeyRingOptions) {
    this.#looks = sources.map((source) => lookInto(source, this.#tokens, options.askPin));
    this.#options = options;
  }

  async candidates(above: readonly X509Certificate[] = []): Promise<CertificateCandidate[]> {
    const { found, others } = await this.#look();
    const known = [...found.map(({ certificate }) => certificate), ...others];
    this.#anchors ??= authorities(this.#options.authorities);
    const anchors = above.length > 0 ? this.#anchors.withAlso(above) : this.#anchors;
    const candidates = new Map<string, CertificateCandidate>();
    for (const { certificate, source, onToken, hasKey } of found) {
      const candidate = describeCandidate(certificate, { source, onToken, hasKey }, known, anchors);
      if (candidates.get(candidate.id)?.hasKey !== true) candidates.set(candidate.id, candidate);
    }
    return [...candidates.values()];
  }

  problems(): readonly KeySourceProblem[] {
    return this.#findings?.problems ?? [];
  }

  async credential(id: string): Promise<Credential> {
    const credential = (this.#findings && (await this.#open(this.#findings, id))) ?? (await this.#open(await this.#look(), id));
    if (credential) return credential;
    // A token that is out, say, tells more than that the certificate is nowhere.
    const [problem] = this.problems();
    if (problem) throw problem.error;
    throw keysError('AOV-HOST-117', `no key source has the certificate with the SHA-256 ${id}`);
  }

  async close(): Promise<void> {
    this.#findings = undefined;
    for (const source of this.#tokens) await source.close();
  }

  async #look(): Promise<Findings> {
    const parts: Findings[] = [];
    for (const look of this.#looks) parts.push(await look());
    this.#findings = merge(parts);
    return this.#findings;
  }

  async #open({ found, others }: Findings, id: string): Promise<Credential | undefined> {
    const matching = found.filter(({ certificate }) => idOf(certificate) === id);
    const wanted = matching.find(({ hasKey }) => hasKey) ?? matching[0];
    if (!wanted) return undefined;
    const pool = [...others, ...found.map(({ certificate }) => certificate)].filter((other) => other !== wanted.certificate);
    return assembleCredential(await wanted.openKey(), [wanted.certificate, ...pool]);
  }
}

function lookInto(source: KeySource, tokens: TokenSource[], askPin: AskPin | undefined): () => Promise<Findings> {
  switch (source.kind) {
    case 'pem':
      return () => lookIntoPem(source);
    case 'pkcs12':
      return () => lookIntoPkcs12(source);
    case 'directory':
      return () => lookIntoDirectory(source);
    case 'pkcs11': {
      const token = new TokenSource(source, askPin);
      tokens.push(token);
      return () => token.look();
    }
  }
}

function authorities(given: readonly Uint8Array[] | undefined): AnchorStore {
  if (given) return AnchorStore.fromDer(given);
  try {
    return AnchorStore.fromSystem();
  } catch {
    return new AnchorStore([]);
  }
}

function idOf(certificate: ParsedCertificate): string {
  return createHash('sha256').update(certificate.der).digest('hex');
}
