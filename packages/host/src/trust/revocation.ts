import { createHash } from 'node:crypto';
import type { ParsedCertificate } from './certificate.ts';
import { checkCrl, type CheckedCrl } from './crl.ts';
import { reasonOf } from './fetch-plain.ts';
import { fetchRevocation, type RevocationFetch } from './fetch-revocation.ts';
import { checkOcspResponse, writeOcspRequest } from './ocsp.ts';
import { unknown, type RevocationStatus } from './revocation-status.ts';

/** `off`: nobody is asked; `soft`: no answer is good enough; `hard`: no answer is a refusal. */
export type RevocationPolicy = 'off' | 'soft' | 'hard';

export type RevocationVerdict =
  | { readonly kind: 'accepted'; readonly trace: readonly string[] }
  | {
      readonly kind: 'refused';
      readonly reason: 'revoked' | 'revocation-unknown';
      readonly detail: string;
      readonly trace: readonly string[];
    };

/** Addresses of one certificate that are tried for each way of asking. */
const urlLimit = 2;
const cacheLimit = 64;

/** Keep one for long: it remembers answers for as long as they hold. */
export function createRevocationChecker(
  options: { readonly now?: () => Date; readonly fetch?: RevocationFetch } = {},
): RevocationChecker {
  return new RevocationChecker(options.now ?? ((): Date => new Date()), options.fetch);
}

/** Checks whether certificates of a path have been revoked; remembers answers as long as they say they hold. */
export class RevocationChecker {
  readonly #fetch: RevocationFetch;
  readonly #now: () => Date;
  readonly #crls = new Map<string, CheckedCrl>();
  readonly #answers = new Map<string, Exclude<RevocationStatus, { kind: 'unknown' }>>();

  constructor(now: () => Date, fetch: RevocationFetch = fetchRevocation) {
    this.#now = now;
    this.#fetch = fetch;
  }

  /** `path`: a validated path, leaf first. Nothing is fetched for anything that is not anchored (CVE-2022-40617). */
  async check(
    path: readonly ParsedCertificate[],
    policy: RevocationPolicy,
    stapled: readonly Uint8Array[] = [],
  ): Promise<RevocationVerdict> {
    if (policy === 'off') return { kind: 'accepted', trace: ['revocation is not checked: the settings say so'] };
    const trace: string[] = [];
    for (const [i, certificate] of path.slice(0, -1).entries()) {
      const status =
        this.#stapledStatus(certificate, path[i + 1]!, stapled, trace) ??
        (await this.#statusOf(certificate, path[i + 1]!, trace));
      switch (status.kind) {
        case 'good':
          trace.push(`"${certificate.subject}" is not revoked (known until ${status.until.toISOString()})`);
          break;
        case 'revoked': {
          const since = status.since === undefined ? '' : ` since ${status.since.toISOString()}`;
          const detail = `"${certificate.subject}" is revoked${since}`;
          return { kind: 'refused', reason: 'revoked', detail, trace: [...trace, detail] };
        }
        case 'unknown': {
          const detail = `whether "${certificate.subject}" is revoked cannot be found out: ${status.why}`;
          trace.push(policy === 'soft' ? `${detail}; accepted, as the settings say` : detail);
          if (policy === 'hard') return { kind: 'refused', reason: 'revocation-unknown', detail, trace };
          break;
        }
      }
    }
    return { kind: 'accepted', trace };
  }

  /** What somebody handed us is as good as what we would have fetched: it is signed, and holds for a while. */
  #stapledStatus(
    certificate: ParsedCertificate,
    issuer: ParsedCertificate,
    stapled: readonly Uint8Array[],
    trace: string[],
  ): RevocationStatus | undefined {
    for (const response of stapled) {
      const status = checkOcspResponse(response, certificate, issuer, this.#now());
      if (status.kind === 'unknown') continue;
      trace.push(`an OCSP response for "${certificate.subject}" came along`);
      remember(this.#answers, answerKey(certificate, issuer), status);
      return status;
    }
    return undefined;
  }

  /** OCSP first: it is smaller. A list is asked when no responder gave an answer. */
  async #statusOf(certificate: ParsedCertificate, issuer: ParsedCertificate, trace: string[]): Promise<RevocationStatus> {
    const reasons: string[] = [];
    const attempts = [
      ...httpUrls(certificate.ocspUrls).map((url) => ({ url, ask: () => this.#askOcsp(url, certificate, issuer) })),
      ...httpUrls(certificate.crlUrls).map((url) => ({ url, ask: () => this.#askCrl(url, certificate, issuer) })),
    ];
    for (const { url, ask } of attempts) {
      const status = await ask();
      if (status.kind !== 'unknown') return status;
      trace.push(`${url}: ${status.why}`);
      reasons.push(status.why);
    }
    return unknown(reasons.at(-1) ?? 'the certificate names neither an OCSP responder nor a revocation list on http');
  }

  async #askOcsp(url: string, certificate: ParsedCertificate, issuer: ParsedCertificate): Promise<RevocationStatus> {
    const key = answerKey(certificate, issuer);
    const known = this.#answers.get(key);
    if (known && known.until > this.#now()) return known;
    const response = await this.#get(url, writeOcspRequest(certificate, issuer));
    if (typeof response === 'string') return unknown(response);
    const status = checkOcspResponse(response, certificate, issuer, this.#now());
    if (status.kind !== 'unknown') remember(this.#answers, key, status);
    return status;
  }

  async #askCrl(url: string, certificate: ParsedCertificate, issuer: ParsedCertificate): Promise<RevocationStatus> {
    const key = `${createHash('sha256').update(issuer.der).digest('hex')} ${url}`;
    const known = this.#crls.get(key);
    if (known && known.until > this.#now()) return known.statusOf(certificate);
    const list = await this.#get(url);
    if (typeof list === 'string') return unknown(list);
    const checked = checkCrl(list, issuer, this.#now());
    if (checked.kind === 'unknown') return checked;
    remember(this.#crls, key, checked.crl);
    return checked.crl.statusOf(certificate);
  }

  /** The octets, or why there are none. */
  async #get(url: string, body?: Uint8Array): Promise<Uint8Array | string> {
    try {
      return await this.#fetch(url, body);
    } catch (error) {
      return `not reachable: ${reasonOf(error)}`;
    }
  }
}

function answerKey(certificate: ParsedCertificate, issuer: ParsedCertificate): string {
  return createHash('sha256').update(issuer.der).update(certificate.der).digest('hex');
}

function httpUrls(urls: readonly string[]): string[] {
  return urls.filter((url) => /^http:\/\//i.test(url) && URL.canParse(url)).slice(0, urlLimit);
}

function remember<V>(cache: Map<string, V>, key: string, value: V): void {
  const oldest = cache.keys().next();
  if (cache.size >= cacheLimit && oldest.done !== true) cache.delete(oldest.value);
  cache.set(key, value);
}
