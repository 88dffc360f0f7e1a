import { Reader, TruncatedError, Writer } from '@aovpn/bytes';

/** TLV types of the EAP TLV Extensions Method ([MS-PEAP] §2.2.4). */
const tlvType = { result: 3, cryptobinding: 12 } as const;
const mandatory = 0x8000;
const typeMask = 0x3fff;
/** TLVs in one packet; the specification knows three. */
const tlvLimit = 16;

/** Values of the Result TLV ([MS-PEAP] §2.2.8.1.2). */
const tlvResult = { success: 1, failure: 2 } as const;

/** Octets of a whole Cryptobinding TLV, header included ([MS-PEAP] §2.2.8.1.1). */
export const cryptobindingLength = 60;

export type Tlvs =
  | {
      readonly kind: 'tlvs';
      readonly result: 'success' | 'failure' | undefined;
      /** The whole Cryptobinding TLV with its header, of {@link cryptobindingLength} octets; `damaged` if it has another length. */
      readonly cryptobinding: Uint8Array | 'damaged' | undefined;
    }
  | { readonly kind: 'malformed'; readonly problem: string };

/** Reads the Type-Data of an EAP TLV Extensions Request. TLVs come in any order; unknown ones are passed over unless they are mandatory. */
export function readTlvs(typeData: Uint8Array): Tlvs {
  try {
    return read(new Reader(typeData, 'EAP-TLV'), typeData);
  } catch (error) {
    if (error instanceof TruncatedError) return malformed(error.message);
    throw error;
  }
}

/** Type-Data with a Result TLV and, if there is one, a Cryptobinding TLV. */
export function writeTlvs(result: 'success' | 'failure', cryptobinding: Uint8Array = new Uint8Array()): Uint8Array {
  return new Writer(cryptobindingLength + 6)
    .u16(mandatory | tlvType.result)
    .u16(2)
    .u16(tlvResult[result])
    .bytes(cryptobinding)
    .finish();
}

function read(reader: Reader, typeData: Uint8Array): Tlvs {
  let result: 'success' | 'failure' | undefined;
  let cryptobinding: Uint8Array | 'damaged' | undefined;
  for (let count = 0; reader.remaining > 0; count++) {
    if (count === tlvLimit) return malformed(`more than ${tlvLimit} TLVs`);
    const start = typeData.length - reader.remaining;
    const head = reader.u16();
    const value = reader.bytes(reader.u16());
    switch (head & typeMask) {
      case tlvType.result: {
        if (result) return malformed('two Result TLVs');
        if (value.length !== 2) return malformed(`a Result TLV of ${value.length} octets`);
        const status = (value[0]! << 8) | value[1]!;
        // Whatever is not success is failure.
        result = status === tlvResult.success ? 'success' : 'failure';
        break;
      }
      case tlvType.cryptobinding:
        if (cryptobinding) return malformed('two Cryptobinding TLVs');
        cryptobinding = value.length + 4 === cryptobindingLength ? typeData.slice(start, start + cryptobindingLength) : 'damaged';
        break;
      default:
        if ((head & mandatory) !== 0) return malformed(`a mandatory TLV of type ${head & typeMask}`);
    }
  }
  return { kind: 'tlvs', result, cryptobinding };
}

function malformed(problem: string): { readonly kind: 'malformed'; readonly problem: string } {
  return { kind: 'malformed', problem };
}
