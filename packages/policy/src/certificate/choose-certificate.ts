import type { CertificateCandidate } from './candidate.ts';
import { dateText } from './date-text.ts';
import {
  anyExtendedKeyUsage,
  anyPurpose,
  clientAuth,
  type CertificateWish,
  type EkuAlternative,
  type Wished,
} from './certificate-wish.ts';

/** In the order in which they are looked at. */
export type Criterion =
  | 'source'
  | 'private key'
  | 'validity'
  | 'key usage'
  | 'issuer'
  | 'authorities'
  | 'extended key usage'
  | 'user name';

export interface CriterionResult {
  readonly criterion: Criterion;
  /** `warning`: not as it should be, and no reason to leave the certificate. */
  readonly met: 'yes' | 'no' | 'warning';
  readonly reason: string;
  /** Line of the profile that asks for it. */
  readonly line?: number;
  /** What Windows shows once the server has refused it for that. */
  readonly windows?: number;
}

export interface JudgedCertificate {
  readonly candidate: CertificateCandidate;
  /** No criterion says no. */
  readonly suitable: boolean;
  readonly criteria: readonly CriterionResult[];
}

/** Why there is none: what was missing for the certificate that came closest. */
export type NoCertificateCause = 'no-candidate' | 'expired' | 'not-yet-valid' | 'no-key' | 'no-token' | 'filter';

export interface CertificateChoice {
  readonly wish: CertificateWish;
  readonly outcome:
    /** `objections`: what the profile has against a certificate that was named explicitly. */
    | {
        readonly kind: 'chosen';
        readonly candidate: CertificateCandidate;
        readonly why: string;
        readonly objections: readonly CriterionResult[];
      }
    /** Several are right and the profile does not want one to be picked: the user is asked, or it is refused when nobody is there. */
    | { readonly kind: 'ambiguous'; readonly candidates: readonly CertificateCandidate[]; readonly why: string }
    | { readonly kind: 'none'; readonly why: string; readonly cause: NoCertificateCause };
  /** Every candidate, suitable ones first, best first. */
  readonly judged: readonly JudgedCertificate[];
}

/**
 * Which certificate speaks for us. Of several suitable ones, the first in this order: with a user principal name (for users),
 * valid for longest, newest, smallest SHA-256. `now`: milliseconds since 1970.
 */
export function chooseCertificate(
  candidates: readonly CertificateCandidate[],
  wanted: CertificateWish,
  now: number,
): CertificateChoice {
  const judged = candidates
    .map((candidate) => judge(candidate, wanted, now))
    .sort((a, b) => Number(b.suitable) - Number(a.suitable) || compare(a.candidate, b.candidate, wanted));
  return { wish: wanted, outcome: decide(judged, wanted), judged };
}

function decide(judged: readonly JudgedCertificate[], wanted: CertificateWish): CertificateChoice['outcome'] {
  const { explicit } = wanted;
  if (explicit) {
    const named = judged.find(({ candidate }) => candidate.id === explicit.id);
    if (!named) return { kind: 'none', why: `the one that was named (${explicit.why}) is not there`, cause: 'no-candidate' };
    const objections = named.criteria.filter(({ met }) => met === 'no');
    // Everything else may be forgiven for somebody's word; without the key nothing can be signed.
    const key = objections.find(({ criterion }) => criterion === 'private key');
    if (key) return { kind: 'none', why: `the one that was named (${explicit.why}): ${key.reason}`, cause: 'no-key' };
    return { kind: 'chosen', candidate: named.candidate, why: `named explicitly: ${explicit.why}`, objections };
  }
  const suitable = judged.filter((one) => one.suitable).map(({ candidate }) => candidate);
  const [best, second] = suitable;
  if (!best) return none(judged);
  if (!second) return { kind: 'chosen', candidate: best, why: 'the only one that fits', objections: [] };
  const { simpleSelection } = wanted;
  if (!simpleSelection.value) {
    const why = `${suitable.length} certificates fit, and ${simpleSelection.what} is false${lineOf(simpleSelection)}: one must be named`;
    return { kind: 'ambiguous', candidates: suitable, why };
  }
  return {
    kind: 'chosen',
    candidate: best,
    why: `${suitable.length} fit; this one ${advantage(best, second, wanted)}`,
    objections: [],
  };
}

function none(judged: readonly JudgedCertificate[]): CertificateChoice['outcome'] {
  if (judged.length === 0)
    return { kind: 'none', why: 'none was found beside the profile, in the settings or on a token', cause: 'no-candidate' };
  const failures = judged.map(({ candidate, criteria }) => ({ candidate, no: criteria.filter(({ met }) => met === 'no') }));
  const closest = failures.toSorted((a, b) => a.no.length - b.no.length)[0]!;
  const first = closest.no[0]!;
  const many = judged.length === 1 ? '' : `none of ${judged.length} certificates fits; closest is `;
  const why = `${many}${nameOf(closest.candidate)}: ${closest.no.map(({ reason }) => reason).join('; ')}`;
  return { kind: 'none', why, cause: closest.no.length > 1 ? 'filter' : causeOf(first) };
}

function causeOf({ criterion, reason }: CriterionResult): NoCertificateCause {
  switch (criterion) {
    case 'source':
      return 'no-token';
    case 'private key':
      return 'no-key';
    case 'validity':
      return reason.startsWith('expired') ? 'expired' : 'not-yet-valid';
    case 'key usage':
    case 'issuer':
    case 'authorities':
    case 'extended key usage':
    case 'user name':
      return 'filter';
  }
}

function judge(candidate: CertificateCandidate, wanted: CertificateWish, now: number): JudgedCertificate {
  const criteria = [
    judgeSource(candidate, wanted),
    judgeKey(candidate),
    judgeValidity(candidate, now),
    judgeKeyUsage(candidate),
    judgeIssuer(candidate, wanted),
    ...judgeAuthorities(candidate, now),
    judgeExtendedKeyUsage(candidate, wanted),
    ...(wanted.forUser ? [judgeUserName(candidate)] : []),
  ];
  return { candidate, suitable: criteria.every(({ met }) => met !== 'no'), criteria };
}

function judgeSource({ onToken, source }: CertificateCandidate, { onToken: wanted }: CertificateWish): CriterionResult {
  const criterion = 'source';
  if (!wanted) return { criterion, met: 'yes', reason: `${source}; any source will do` };
  const reason = onToken ? `on a token: ${source}` : `not on a token (${source}), but a smart card is wanted`;
  return { criterion, met: onToken ? 'yes' : 'no', reason, ...lineIn(wanted) };
}

function judgeKey({ hasKey }: CertificateCandidate): CriterionResult {
  return {
    criterion: 'private key',
    met: hasKey ? 'yes' : 'no',
    reason: hasKey ? 'its private key is there' : 'its private key is not there',
  };
}

function judgeValidity({ notBefore, notAfter }: CertificateCandidate, now: number): CriterionResult {
  const criterion = 'validity';
  if (now < notBefore) return { criterion, met: 'no', reason: `not valid before ${dateText(notBefore)}` };
  // RFC 5280 §4.1.2.5: notAfter is inclusive.
  if (now > notAfter) return { criterion, met: 'no', reason: `expired on ${dateText(notAfter)}` };
  return { criterion, met: 'yes', reason: `valid until ${dateText(notAfter)}` };
}

function judgeKeyUsage({ digitalSignature }: CertificateCandidate): CriterionResult {
  const criterion = 'key usage';
  if (digitalSignature === undefined) return { criterion, met: 'yes', reason: 'key usage is not restricted' };
  return digitalSignature
    ? { criterion, met: 'yes', reason: 'key usage has digitalSignature' }
    : { criterion, met: 'no', reason: 'key usage lacks digitalSignature, so it must not sign' };
}

function judgeIssuer(candidate: CertificateCandidate, { issuerHashes, issuerName }: CertificateWish): CriterionResult {
  const criterion = 'issuer';
  const { issuer, issuerHashes: known, issuerSubjects } = candidate;
  if (issuerHashes) {
    const found = known.findIndex((hash) => issuerHashes.value.includes(hash));
    const line = lineIn(issuerHashes);
    if (found >= 0)
      return {
        criterion,
        met: 'yes',
        reason: `below ${issuerSubjects[found] ?? known[found]}, which ${issuerHashes.what} names`,
        ...line,
      };
    const seen =
      known.length === 0
        ? 'no certificate of an authority above it is known here'
        : `above it ${known.length === 1 ? 'is' : 'are'} ${known.map((hash, i) => `${issuerSubjects[i] ?? 'an authority'} (${hash})`).join(', ')}`;
    return { criterion, met: 'no', reason: `not below an authority that ${issuerHashes.what} names: ${seen}`, ...line };
  }
  if (issuerName) {
    const above = [issuer, ...issuerSubjects];
    const found = above.some((subject) => isNamed(subject, issuerName.value));
    const reason = found
      ? `below an authority called "${issuerName.value}"`
      : `not below an authority called "${issuerName.value}", but ${issuer}`;
    return { criterion, met: found ? 'yes' : 'no', reason, ...lineIn(issuerName) };
  }
  return { criterion, met: 'yes', reason: `issued by ${issuer}; any issuer will do` };
}

/** What the server will find when it looks up the same way; nothing to say as long as all are valid. It may know newer ones than we do. */
function judgeAuthorities({ issuerValidity = [], issuerSubjects }: CertificateCandidate, now: number): CriterionResult[] {
  const index = issuerValidity.findIndex(({ notAfter }) => now > notAfter);
  const expired = issuerValidity[index];
  if (!expired) return [];
  const what = expired.isRoot ? 'the root' : 'an authority';
  const reason = `${issuerSubjects[index] ?? what}, ${what} above it, expired on ${dateText(expired.notAfter)}: the server will most likely refuse it`;
  return [{ criterion: 'authorities', met: 'warning', reason, windows: expired.isRoot ? 863 : 854 }];
}

function judgeExtendedKeyUsage({ extendedKeyUsage: usage }: CertificateCandidate, wanted: CertificateWish): CriterionResult {
  const criterion = 'extended key usage';
  const has = usage === undefined ? 'no extended key usage ("all purposes")' : usage.map(oidText).join(', ') || 'an empty list';
  const taken = wanted.extendedKeyUsage.find((alternative) => isMet(alternative, usage));
  if (taken) return { criterion, met: 'yes', reason: `has ${has}, as ${taken.what} wants`, ...lineIn(taken) };
  const options = wanted.extendedKeyUsage.map(alternativeText);
  const first = wanted.extendedKeyUsage.find(({ at }) => at);
  return { criterion, met: 'no', reason: `has ${has}; wanted: ${options.join(', or ')}`, ...(first && lineIn(first)) };
}

function isMet(alternative: EkuAlternative, usage: readonly string[] | undefined): boolean {
  if (alternative.kind === 'none') return usage === undefined;
  const { purpose, also, unmapped } = alternative;
  if (usage === undefined || unmapped.length > 0) return false;
  return (purpose === undefined || usage.includes(purpose)) && also.every((oid) => usage.includes(oid));
}

function alternativeText(alternative: EkuAlternative): string {
  if (alternative.kind === 'none') return `none at all (${alternative.what})`;
  const { purpose, also, unmapped, what } = alternative;
  const all = [...(purpose === undefined ? [] : [purpose]), ...also].map(oidText);
  return `${[...all, ...unmapped.map((name) => `"${name}" (not in EKUMapping)`)].join(' and ')} (${what})`;
}

function judgeUserName({ userPrincipalNames, emailAddresses }: CertificateCandidate): CriterionResult {
  const criterion = 'user name';
  const [upn] = userPrincipalNames;
  if (upn !== undefined) return { criterion, met: 'yes', reason: `for ${upn}` };
  const instead = emailAddresses.length > 0 ? ` (it has the mail address ${emailAddresses[0]})` : '';
  return {
    criterion,
    met: 'warning',
    reason: `no user principal name in it${instead}: Active Directory will not find the account by it`,
  };
}

/** Negative: `a` is better. */
function compare(a: CertificateCandidate, b: CertificateCandidate, { forUser }: CertificateWish): number {
  return (
    (forUser ? Number(b.userPrincipalNames.length > 0) - Number(a.userPrincipalNames.length > 0) : 0) ||
    b.notAfter - a.notAfter ||
    b.notBefore - a.notBefore ||
    (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
  );
}

function advantage(best: CertificateCandidate, second: CertificateCandidate, { forUser }: CertificateWish): string {
  if (forUser && best.userPrincipalNames.length > 0 && second.userPrincipalNames.length === 0) return 'has a user principal name';
  if (best.notAfter !== second.notAfter) return 'is valid for longest';
  return best.notBefore === second.notBefore ? 'comes first by its SHA-256' : 'is the newest';
}

/** Whole subject or common name, without regard to case and to blanks after commas. */
function isNamed(subject: string, wanted: string): boolean {
  const plain = (text: string): string =>
    text
      .toLowerCase()
      .replaceAll(/\s*,\s*/g, ',')
      .trim();
  const name = plain(wanted);
  return (
    plain(subject) === name ||
    plain(subject)
      .split(/(?<!\\),/)
      .includes(name.startsWith('cn=') ? name : `cn=${name}`)
  );
}

/** What a certificate is called in a sentence. */
export function nameOf({
  subject,
  commonName,
  userPrincipalNames,
  source,
}: Pick<CertificateCandidate, 'subject' | 'commonName' | 'userPrincipalNames' | 'source'>): string {
  return `${userPrincipalNames[0] ?? commonName ?? (subject || 'a certificate without a name')} (${source})`;
}

const knownOids: ReadonlyMap<string, string> = new Map([
  [clientAuth, 'clientAuth'],
  [anyPurpose, 'Any Purpose'],
  [anyExtendedKeyUsage, 'anyExtendedKeyUsage'],
  ['1.3.6.1.5.5.7.3.1', 'serverAuth'],
  ['1.3.6.1.5.5.7.3.4', 'emailProtection'],
  ['1.3.6.1.5.5.7.3.17', 'ipsecIKE'],
  ['1.3.6.1.5.5.8.2.2', 'IKE intermediate'],
  ['1.3.6.1.4.1.311.20.2.2', 'smart card logon'],
  ['1.3.6.1.4.1.311.10.3.4', 'Encrypting File System'],
  ['1.3.6.1.4.1.311.87', 'AAD Conditional Access'],
]);

function oidText(oid: string): string {
  const name = knownOids.get(oid);
  return name === undefined ? oid : `${name} (${oid})`;
}

function lineIn({ at }: { readonly at?: Wished<unknown>['at'] }): { readonly line?: number } {
  return at ? { line: at.line } : {};
}

function lineOf({ at }: Wished<unknown>): string {
  return at ? ` (line ${at.line})` : '';
}
