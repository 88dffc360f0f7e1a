import { EnrolError } from '../enrol-error.ts';
import { newKey } from '../new-key.ts';
import { fold } from '../server-words.ts';
import { resourceUrl } from './acme-objects.ts';
import { problemIn, type AcmeSession } from './acme-session.ts';
import { readAcmeState, writeAcmeState, type AcmeState } from './acme-state.ts';
import { bindAccount, isBase64Url, publicJwk } from './jws.ts';

/** The MAC key of an external account, base64url as authorities give it out. */
export interface AcmeSecret {
  readonly text: string;
}

export interface AccountWanted {
  readonly directory: string;
  readonly name: string;
  readonly keyId: string;
  readonly secret?: AcmeSecret;
  readonly anew: boolean;
  readonly termsAgreed: boolean;
}

/** Octets; RFC 7518 §3.2 wants as many as the hash has, and authorities have been seen with fewer. */
const shortestMacKey = 16;

/**
 * The account that is there, or a new one (RFC 8555 §7.3), bound to the one that the authority's administrator has made where there is a secret (§7.3.4). Its key is on
 * the disk before the server hears of it, so that an answer that is lost loses nothing (§7.3.1).
 * @throws {EnrolError}
 */
export async function openAccount(session: AcmeSession, wanted: AccountWanted): Promise<AcmeState> {
  const { directory, name, keyId, anew } = wanted;
  const server = session.url.href;
  const found = await readAcmeState(directory, name);
  const kept = found?.server === server && found.keyId === keyId ? found : undefined;
  if (kept?.account !== undefined && !anew) return kept;
  const before = anew && kept?.account !== undefined ? undefined : kept;
  const fresh: AcmeState = before ?? {
    server,
    keyId,
    key: await newKey('p256'),
    account: undefined,
    order: undefined,
    // Whatever else changes, they are in the DNS.
    records: found?.records ?? [],
  };
  // An account that works is given up for another one, not for the hope of it.
  if (found?.account === undefined) await writeAcmeState(directory, name, fresh);
  const account = await registerAccount(session, fresh, wanted);
  const state = { ...fresh, account };
  await writeAcmeState(directory, name, state);
  return state;
}

/** Makes a key known (§7.3); one that is known already changes nothing (§7.3.1). @returns the URL of its account @throws {EnrolError} */
export async function registerAccount(
  session: AcmeSession,
  { key }: AcmeState,
  { keyId, secret, termsAgreed }: Pick<AccountWanted, 'keyId' | 'secret' | 'termsAgreed'>,
): Promise<string> {
  const { newAccount, terms, bindingRequired } = session.directory;
  if (terms !== undefined && !termsAgreed)
    throw new EnrolError(
      'refused',
      `the authority has terms of service (${fold(terms).slice(0, 200)}): agree-to-terms = true says that you agree`,
    );
  if (bindingRequired && !secret)
    throw new EnrolError(
      'refused',
      'the authority wants a bound account: user-name is its key identifier, secret-file has its MAC key',
    );
  const payload = {
    ...(terms !== undefined && { termsOfServiceAgreed: true }),
    ...(secret && { externalAccountBinding: bindAccount(macKey(secret, keyId), keyId, newAccount, publicJwk(key)) }),
  };
  const answer = await session.post(newAccount, { key }, payload);
  if (answer.status === 200 || answer.status === 201)
    return resourceUrl(answer.headers.location, 'the URL of the account', session.url);
  const refused = session.refusal(answer, 'an account was asked for');
  // Whether the secret or something else was wrong is not told: to try it again could use it up, or lock it.
  const isSecret = refused.failure === 'refused' && secret && bindingProblems.has(problemIn(answer)?.type ?? '');
  throw isSecret ? new EnrolError('secret-refused', refused.message) : refused;
}

const bindingProblems = new Set(['', 'unauthorized', 'malformed', 'externalAccountRequired']);

function macKey({ text }: AcmeSecret, keyId: string): Uint8Array {
  if (keyId === '') throw new EnrolError('host', 'a secret of ACME belongs to a key identifier: set user-name');
  const plain = text.trim().replace(/=+$/, '');
  const octets = isBase64Url(plain, 1024) ? new Uint8Array(Buffer.from(plain, 'base64url')) : new Uint8Array();
  if (octets.length < shortestMacKey)
    throw new EnrolError('host', `the secret is no MAC key: at least ${shortestMacKey} octets in base64url are wanted`);
  return octets;
}
