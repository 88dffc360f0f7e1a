import { decodeUtf8, Reader, TruncatedError, Writer } from '@aovpn/bytes';
import { parseFailure, parseSuccess, type MschapV2Failure } from './verdict.ts';
import type { LogonChange, LogonResponse } from './logon.ts';

/** OpCodes of EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2-02 §2). */
export const mschapV2OpCode = { challenge: 1, response: 2, success: 3, failure: 4, changePassword: 7 } as const;

export type MschapV2Message =
  | { readonly kind: 'challenge'; readonly id: number; readonly challenge: Uint8Array; readonly serverName: string }
  /** `authenticator`: the text after `S=`, as sent. */
  | { readonly kind: 'success'; readonly id: number; readonly authenticator: string }
  | { readonly kind: 'failure'; readonly id: number; readonly failure: MschapV2Failure }
  | { readonly kind: 'malformed'; readonly problem: string };

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
        const authenticator = parseSuccess(readText(reader));
        if (authenticator === undefined) return malformed('a Success without S= and 40 hexadecimal digits');
        return { kind: 'success', id, authenticator };
      }
      case mschapV2OpCode.failure: {
        const failure = parseFailure(readText(reader));
        return typeof failure === 'string' ? malformed(failure) : { kind: 'failure', id, failure };
      }
      default:
        return malformed(`OpCode ${opCode}`);
    }
  } catch (error) {
    if (error instanceof TruncatedError) return malformed(error.message);
    throw error;
  }
}

/** The Response packet (draft-kamath §2.2). */
export function writeMschapResponse({ id, peerChallenge, ntResponse }: LogonResponse, userName: Uint8Array): Uint8Array {
  const writer = new Writer(64 + userName.length).u8(mschapV2OpCode.response).u8(id).u16(0).u8(49);
  writer.bytes(peerChallenge).bytes(new Uint8Array(8)).bytes(ntResponse).u8(0).bytes(userName);
  return writer.patchU16(2, writer.length).finish();
}

/** The Change-Password packet (draft-kamath §2.7, RFC 2759 §7): always 586 octets. */
export function writeChangePassword(change: LogonChange): Uint8Array {
  const writer = new Writer(586).u8(mschapV2OpCode.changePassword).u8(change.id).u16(586);
  writer.bytes(change.encryptedPassword).bytes(change.encryptedHash).bytes(change.peerChallenge);
  return writer.bytes(new Uint8Array(8)).bytes(change.ntResponse).u16(0).finish();
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
