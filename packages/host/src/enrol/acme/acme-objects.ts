import { EnrolError } from '../enrol-error.ts';
import { isBase64Url } from './jws.ts';

/** What the objects of a server may count. */
const limits = { identifiers: 16, challenges: 32, url: 2048, token: 512, text: 2000, subproblems: 16 } as const;

/** RFC 8555 §7.1.1. URLs are kept letter by letter, as §6.4 wants them back. */
export interface Directory {
  readonly newNonce: string;
  readonly newAccount: string;
  readonly newOrder: string;
  /** Where its terms of service are. */
  readonly terms: string | undefined;
  readonly bindingRequired: boolean;
}

const orderStates = ['pending', 'ready', 'processing', 'valid', 'invalid'] as const;
const authorizationStates = ['pending', 'valid', 'invalid', 'deactivated', 'expired', 'revoked'] as const;
const challengeStates = ['pending', 'processing', 'valid', 'invalid'] as const;

/** §7.1.3 */
export interface Order {
  readonly status: (typeof orderStates)[number];
  /** In lower case. */
  readonly names: readonly string[];
  readonly authorizations: readonly string[];
  readonly finalize: string;
  /** There when it is valid. */
  readonly certificate: string | undefined;
  readonly error: AcmeProblem | undefined;
}

/** §7.1.4 */
export interface Authorization {
  readonly status: (typeof authorizationStates)[number];
  readonly name: string;
  readonly challenges: readonly Challenge[];
}

/** §7.1.5, §8 */
export interface Challenge {
  readonly type: string;
  readonly url: string;
  readonly status: (typeof challengeStates)[number];
  /** Undefined for types that have none. */
  readonly token: string | undefined;
  readonly error: AcmeProblem | undefined;
}

/** A problem document (RFC 7807, RFC 8555 §6.7). */
export interface AcmeProblem {
  /** Behind `urn:ietf:params:acme:error:`; another URI as a whole; empty: none was given. */
  readonly type: string;
  /** Its own words, and those of its parts. As the server wrote them. */
  readonly detail: string;
  /** Where a person has to go (userActionRequired). */
  readonly instance: string | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/** @param server URL of the directory: a server that sends us to another one is not followed @throws {EnrolError} unusable */
export function readDirectory(body: Uint8Array, server: URL): Directory {
  const fields = object(body, 'directory');
  const meta = isFields(fields['meta']) ? fields['meta'] : {};
  return {
    newNonce: resource(fields, 'newNonce', server),
    newAccount: resource(fields, 'newAccount', server),
    newOrder: resource(fields, 'newOrder', server),
    terms: shortText(meta['termsOfService']),
    bindingRequired: meta['externalAccountRequired'] === true,
  };
}

/** @throws {EnrolError} unusable */
export function readOrder(body: Uint8Array, server: URL): Order {
  const fields = object(body, 'order');
  const status = state(fields, orderStates, 'order');
  const authorizations = list(fields['authorizations'], limits.identifiers, 'authorizations of an order');
  return {
    status,
    names: list(fields['identifiers'], limits.identifiers, 'identifiers of an order').map(identifier),
    authorizations: authorizations.map((url) => resourceUrl(url, 'an authorization', server)),
    finalize: resource(fields, 'finalize', server),
    certificate: status === 'valid' ? resource(fields, 'certificate', server) : undefined,
    error: problemOf(fields['error']),
  };
}

/** @throws {EnrolError} unusable */
export function readAuthorization(body: Uint8Array, server: URL): Authorization {
  const fields = object(body, 'authorization');
  return {
    status: state(fields, authorizationStates, 'authorization'),
    name: identifier(fields['identifier']),
    challenges: list(fields['challenges'], limits.challenges, 'challenges').map((one) => challenge(one, server)),
  };
}

/** Undefined: it is none. */
export function readProblem(body: Uint8Array): AcmeProblem | undefined {
  try {
    return problemOf(JSON.parse(Buffer.from(body).toString('utf8')));
  } catch {
    return undefined;
  }
}

function challenge(value: unknown, server: URL): Challenge {
  if (!isFields(value)) throw unusable('a challenge that is no object');
  const { type, token } = value;
  if (typeof type !== 'string' || type.length > 64) throw unusable('a challenge without a type');
  // §8.3, §8.4: nothing else than base64url may come into a record.
  const hasToken = typeof token === 'string' && isBase64Url(token, limits.token);
  if (type === 'dns-01' && !hasToken) throw unusable('a dns-01 challenge whose token is not base64url');
  return {
    type,
    url: resource(value, 'url', server),
    status: state(value, challengeStates, 'challenge'),
    token: hasToken ? token : undefined,
    error: problemOf(value['error']),
  };
}

function problemOf(value: unknown): AcmeProblem | undefined {
  if (!isFields(value)) return undefined;
  const type = shortText(value['type']) ?? '';
  const parts = Array.isArray(value['subproblems']) ? (value['subproblems'] as unknown[]).slice(0, limits.subproblems) : [];
  const words = [value, ...parts].flatMap((one) => {
    if (!isFields(one)) return [];
    const name = isFields(one['identifier']) ? shortText(one['identifier']['value']) : undefined;
    const detail = shortText(one['detail']) ?? '';
    return [name === undefined ? detail : `${name}: ${detail}`];
  });
  return {
    type: type.replace(/^urn:ietf:params:acme:error:/, ''),
    detail: words.filter((text) => text !== '').join('; '),
    instance: shortText(value['instance']),
  };
}

function object(body: Uint8Array, what: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(body).toString('utf8'));
  } catch (error) {
    throw unusable(`${what}: not JSON`, error);
  }
  if (!isFields(value)) throw unusable(`${what}: no object`);
  return value;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function list(value: unknown, most: number, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw unusable(`no ${what}`);
  if (value.length > most) throw unusable(`${value.length} ${what}`);
  return value as unknown[];
}

function identifier(value: unknown): string {
  if (!isFields(value) || value['type'] !== 'dns' || typeof value['value'] !== 'string' || value['value'].length > 255)
    throw unusable('an identifier that is no DNS name');
  return value['value'].toLowerCase();
}

function state<S extends string>(fields: Fields, all: readonly S[], what: string): S {
  const found = all.find((one) => one === fields['status']);
  if (found === undefined) throw unusable(`${what}: status ${JSON.stringify(fields['status'] ?? null).slice(0, 40)}`);
  return found;
}

function resource(fields: Fields, name: string, server: URL): string {
  return resourceUrl(fields[name], name, server);
}

/** A URL of the same server, as written. @throws {EnrolError} unusable */
export function resourceUrl(value: unknown, what: string, server: URL): string {
  const url = typeof value === 'string' && value.length <= limits.url ? URL.parse(value) : null;
  if (!url) throw unusable(`${what}: no URL`);
  if (url.origin !== server.origin || url.protocol !== 'https:' || url.username !== '' || url.password !== '')
    throw unusable(`${what}: a URL of another server than ${server.host}`);
  return value as string;
}

function shortText(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value.slice(0, limits.text) : undefined;
}

function unusable(what: string, cause?: unknown): EnrolError {
  return new EnrolError('unusable', `an answer that is not ACME's (${what})`, { cause });
}
