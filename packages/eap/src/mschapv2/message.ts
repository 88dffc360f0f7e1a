import { decodeUtf8, fromHex, Reader, TruncatedError, Writer } from '@aovpn/bytes';

/** OpCodes of EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2-02 §2). */
export const mschapV2OpCode = { challenge: 1, response: 2, success: 3, failure: 4, changePassword: 7 } as const;

export type MschapV2Message =
  | { readonly kind: 'challenge'; readonly id: number; readonly challenge: Uint8Array; readonly serverName: string }
  /** `authenticator`: the text after `S=`, as sent. */
  | { readonly kind: 'success'; readonly id: number; readonly authenticator: string; readonly message: string }
  | { readonly kind: 'failure'; readonly id: number; readonly failure: MschapV2Failure }
  | { readonly kind: 'malformed'; readonly problem: string };

/** A Failure packet's fields (RFC 2759 §6). */
export interface MschapV2Failure {
  readonly error: number;
  readonly retry: boolean;
  readonly challenge: Uint8Array | undefined;
  readonly version: number | undefined;
  readonly message: string;
}

/** Longest text of a Success or Failure that is read: far above what the fields need. */
const textLimit = 512;

/** Reads the Type-Data of a Request. MS-Length counts from the OpCode to the end. */
export function readMessage(data: Uint8Array): MschapV2Message {
  try {
    const reader = new Reader(data, 'EAP-MSCHAPv2 packet');
    const opCode = reader.u8();
    const id = reader.u8();
    const length = reader.u16();
    if (length !== data.length) return malformed(`MS-Length says ${length}, there are ${data.length} octets`);
    switch (opCode) {
      case mschapV2OpCode.challenge: {
        const size = reader.u8();
        if (size !== 16) return malformed(`a challenge of ${size} octets`);
        return { kind: 'challenge', id, challenge: reader.bytes(16).slice(), serverName: decodeUtf8(limited(reader.rest())) };
      }
      case mschapV2OpCode.success: {
        const text = readText(reader);
        const fields = /^S=([0-9A-Fa-f]{40})(?: +M=(.*))?$/s.exec(text);
        if (!fields) return malformed('a Success without S= and 40 hexadecimal digits');
        return { kind: 'success', id, authenticator: fields[1]!, message: fields[2] ?? '' };
      }
      case mschapV2OpCode.failure:
        return readFailure(id, readText(reader));
      default:
        return malformed(`OpCode ${opCode}`);
    }
  } catch (error) {
    if (error instanceof TruncatedError) return malformed(error.message);
    throw error;
  }
}

/** The Response packet (draft-kamath §2.2). */
export function writeMschapResponse(
  id: number,
  peerChallenge: Uint8Array,
  ntResponse: Uint8Array,
  userName: Uint8Array,
): Uint8Array {
  const writer = new Writer(64 + userName.length).u8(mschapV2OpCode.response).u8(id).u16(0).u8(49);
  writer.bytes(peerChallenge).bytes(new Uint8Array(8)).bytes(ntResponse).u8(0).bytes(userName);
  return writer.patchU16(2, writer.length).finish();
}

/** `E=691 R=1 C=<32 digits> V=3 M=text`: E first, M last and free text, the others optional. */
function readFailure(id: number, text: string): MschapV2Message {
  const [fields, message] = splitMessage(text);
  const values = new Map<string, string>();
  for (const field of fields.split(/ +/).filter((part) => part !== '')) {
    const name = field.slice(0, 2);
    if (!/^[A-Z]=$/.test(name) || values.has(name)) return malformed('a Failure whose fields cannot be read');
    values.set(name, field.slice(2));
  }
  const error = values.get('E=');
  if (error === undefined || !/^\d{1,10}$/.test(error)) return malformed('a Failure without an error number');
  const retry = values.get('R=') ?? '0';
  if (!/^[01]$/.test(retry)) return malformed('a Failure whose retry flag is neither 0 nor 1');
  const challenge = values.get('C=');
  if (challenge !== undefined && !/^[0-9A-Fa-f]{32}$/.test(challenge))
    return malformed('a Failure with a challenge that is not 16 octets');
  const version = values.get('V=');
  if (version !== undefined && !/^\d{1,10}$/.test(version)) return malformed('a Failure whose version is not a number');
  const failure: MschapV2Failure = {
    error: Number(error),
    retry: retry === '1',
    challenge: challenge === undefined ? undefined : fromHex(challenge),
    version: version === undefined ? undefined : Number(version),
    message,
  };
  return { kind: 'failure', id, failure };
}

function splitMessage(text: string): [fields: string, message: string] {
  const at = text.startsWith('M=') ? 0 : text.indexOf(' M=');
  if (at < 0) return [text, ''];
  return [text.slice(0, at), text.slice(text.indexOf('M=', at) + 2)];
}

function readText(reader: Reader): string {
  const octets = limited(reader.rest());
  const end = octets.indexOf(0);
  return decodeUtf8(end < 0 ? octets : octets.subarray(0, end));
}

function limited(octets: Uint8Array): Uint8Array {
  if (octets.length > textLimit) throw new TruncatedError('EAP-MSCHAPv2 packet', textLimit, `text of ${octets.length} octets`);
  return octets;
}

function malformed(problem: string): MschapV2Message {
  return { kind: 'malformed', problem };
}
