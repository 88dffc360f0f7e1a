import {
  maxSecretBytes,
  type AnnounceSession,
  type DiffProfile,
  type OpenPortal,
  type PromptAnswer,
  type PutProfile,
} from '@aovpn/api';
import { DaemonError } from './daemon-error.ts';
import { longestPortalMinutes } from './portal-settings.ts';

const credentialFields = [
  'certificatePem',
  'keyPem',
  'pkcs12Base64',
  'pkcs12Password',
  'gatewayCaPem',
  'userName',
  'password',
] as const;
const maxCredentialLength = 1 << 20;

/** Checks the body of `PUT /v1/profiles/:name` against the contract, nothing more and nothing less. @throws {DaemonError} AOV-DAEMON-513 */
export function readPutProfile(body: unknown): PutProfile {
  const fields = record(body, 'the body');
  only(fields, ['xmlBase64', 'credentials'], 'the body');
  const xmlBase64 = base64(fields['xmlBase64'], 'xmlBase64');
  if (fields['credentials'] === undefined) return { xmlBase64 };
  const given = record(fields['credentials'], 'credentials');
  only(given, credentialFields, 'credentials');
  for (const field of credentialFields) {
    const value = given[field];
    if (value === undefined) continue;
    if (typeof value !== 'string' || value === '' || value.length > maxCredentialLength || value.includes('\0'))
      refuse(`credentials.${field} is not a text of 1 to ${maxCredentialLength} characters`);
  }
  if (given['pkcs12Base64'] !== undefined) base64(given['pkcs12Base64'], 'credentials.pkcs12Base64');
  if (given['userName'] !== undefined && /\p{Cc}/u.test(given['userName'] as string))
    refuse('credentials.userName has control characters');
  return { xmlBase64, credentials: given };
}

/** Checks the body of `POST /v1/diff`. @throws {DaemonError} AOV-DAEMON-513 */
export function readDiffProfile(body: unknown): DiffProfile {
  const fields = record(body, 'the body');
  only(fields, ['name', 'xmlBase64'], 'the body');
  const { name } = fields;
  if (typeof name !== 'string') refuse('name is not a text');
  return { name, xmlBase64: base64(fields['xmlBase64'], 'xmlBase64') };
}

/** Checks the body of `POST /v1/portal/open`. @throws {DaemonError} AOV-DAEMON-513 */
export function readOpenPortal(body: unknown): OpenPortal {
  const fields = record(body, 'the body');
  only(fields, ['pid', 'minutes'], 'the body');
  const whole = (field: 'pid' | 'minutes', to: number): number => {
    const value = fields[field];
    if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > to)
      refuse(`${field} is not a whole number from 1 to ${to}`);
    return value as number;
  };
  const pid = whole('pid', 0x7fff_ffff);
  return { pid, ...(fields['minutes'] !== undefined && { minutes: whole('minutes', longestPortalMinutes) }) };
}

/** Checks the body of `POST /v1/session/open` and `close`. @throws {DaemonError} AOV-DAEMON-513 */
export function readAnnounceSession(body: unknown): AnnounceSession {
  const fields = record(body, 'the body');
  only(fields, ['user'], 'the body');
  const { user } = fields;
  if (user === undefined) return {};
  if (typeof user !== 'string' || user === '' || user.length > 256) refuse('user is not the name of a user');
  return { user };
}

/** Checks the body of `POST /v1/prompts/:id`; octets are a secret. @throws {DaemonError} AOV-DAEMON-513 */
export function readPromptAnswer(body: unknown): PromptAnswer | Uint8Array {
  if (body instanceof Uint8Array) return body;
  const fields = record(body, 'the body');
  const { answer, choice } = fields;
  switch (answer) {
    case 'refuse':
    case 'accept':
      only(fields, ['answer'], 'the body');
      return { answer };
    case 'choose':
      only(fields, ['answer', 'choice'], 'the body');
      if (typeof choice !== 'string' || choice === '' || choice.length > 200)
        refuse('choice is not a text of 1 to 200 characters');
      return { answer, choice };
    default:
      return refuse('answer is none of "refuse", "accept" and "choose"');
  }
}

/** Checks the body of `POST /v1/enrolments/:name/enrol`: nothing, or a secret. @throws {DaemonError} AOV-DAEMON-513 */
export function readEnrolmentSecret(body: unknown): Uint8Array | undefined {
  if (body === undefined) return undefined;
  if (!(body instanceof Uint8Array) || body.length === 0 || body.length > maxSecretBytes)
    return refuse(`the body is not a secret of 1 to ${maxSecretBytes} octets`);
  return body;
}

function record(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(`${what} is not an object`);
  return value as Readonly<Record<string, unknown>>;
}

function only(fields: Readonly<Record<string, unknown>>, known: readonly string[], what: string): void {
  const unknown = Object.keys(fields).find((key) => !known.includes(key));
  if (unknown !== undefined) refuse(`${what} has an unknown field ${JSON.stringify(unknown.slice(0, 40))}`);
}

function base64(value: unknown, what: string): string {
  if (typeof value !== 'string' || value.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(value))
    refuse(`${what} is not base64`);
  return value;
}

function refuse(detail: string): never {
  throw new DaemonError('AOV-DAEMON-513', detail);
}
