import { fromHex } from '@aovpn/bytes';
import type { EapFailure } from '../peer-contract.ts';
import { printable } from '../printable.ts';
import { mschapV2Errors } from './error-number.ts';

/** What an authenticator says of a failed logon (RFC 2759 §6). */
export interface MschapV2Failure {
  readonly error: number;
  /** The peer may try again, answering `challenge`. */
  readonly retry: boolean;
  readonly challenge: Uint8Array | undefined;
  /** Of the change of password that the server understands; 3 in MS-CHAPv2. */
  readonly version: number | undefined;
  /** Printable. */
  readonly message: string;
}

/** Reads `S=<40 digits> M=text` (RFC 2759 §5): the digits as sent, undefined when they are not there. */
export function parseSuccess(text: string): string | undefined {
  return /^S=([0-9A-Fa-f]{40})(?: +M=.*)?$/s.exec(text)?.[1];
}

/** Reads `E=691 R=1 C=<32 digits> V=3 M=text`: M last and free text, all but E optional. A text comes back when it cannot be read: why. */
export function parseFailure(text: string): MschapV2Failure | string {
  const [fields, message] = splitMessage(text);
  const values = new Map<string, string>();
  for (const field of fields.split(/ +/).filter((part) => part !== '')) {
    const name = field.slice(0, 2);
    if (!/^[A-Z]=$/.test(name) || values.has(name)) return 'a Failure whose fields cannot be read';
    values.set(name, field.slice(2));
  }
  const error = values.get('E=');
  if (error === undefined || !/^\d{1,10}$/.test(error)) return 'a Failure without an error number';
  const retry = values.get('R=') ?? '0';
  if (!/^[01]$/.test(retry)) return 'a Failure whose retry flag is neither 0 nor 1';
  const challenge = values.get('C=');
  if (challenge !== undefined && !/^[0-9A-Fa-f]{32}$/.test(challenge)) return 'a Failure with a challenge that is not 16 octets';
  const version = values.get('V=');
  if (version !== undefined && !/^\d{1,10}$/.test(version)) return 'a Failure whose version is not a number';
  return {
    error: Number(error),
    retry: retry === '1',
    challenge: challenge === undefined ? undefined : fromHex(challenge),
    version: version === undefined ? undefined : Number(version),
    message: printable(message),
  };
}

/** The failure in the words of the contract, with its number and what the server adds. */
export function reportOf({ error, message }: MschapV2Failure): EapFailure {
  const known = mschapV2Errors[error];
  const says = message === '' ? '' : `; the server says: ${message}`;
  return {
    kind: known?.kind ?? 'rejected',
    detail: `${known?.what ?? 'the server refused the logon'} (error ${error})${says}`,
    number: error,
  };
}

function splitMessage(text: string): [fields: string, message: string] {
  const at = text.startsWith('M=') ? 0 : text.indexOf(' M=');
  if (at < 0) return [text, ''];
  return [text.slice(0, at), text.slice(text.indexOf('M=', at) + 2)];
}
