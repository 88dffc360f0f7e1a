import { equal, Writer } from '@aovpn/bytes';
import type { EapCrypto } from '../peer-contract.ts';
import { eapType } from '../packet.ts';
import type { CompoundKeys } from './compound-key.ts';
import { cryptobindingLength } from './tlv.ts';

// Places in the whole TLV ([MS-PEAP] §2.2.8.1.1): type, length, reserved, version, received version, subtype, nonce, MAC.
const version = 5;
const subtype = 7;
const nonce = 8;
const mac = 40;

/**
 * Checks the server's Cryptobinding TLV ([MS-PEAP] §3.2.5.3) and gives back ours; undefined if the server cannot have taken part
 * both in the tunnel and in the inner method.
 */
export function answerCryptobinding(
  crypto: EapCrypto,
  request: Uint8Array,
  { cmk }: Pick<CompoundKeys, 'cmk'>,
): Uint8Array | undefined {
  if (request.length !== cryptobindingLength || request[version] !== 0 || request[subtype] !== 0) return undefined;
  if (!equal(request.subarray(mac), compoundMac(crypto, request, cmk))) return undefined;
  const response = new Writer(cryptobindingLength)
    .u16(12)
    .u16(cryptobindingLength - 4)
    .u8(0)
    .u8(0)
    .u8(0)
    .u8(1)
    .bytes(request.subarray(nonce, mac))
    .bytes(new Uint8Array(20))
    .finish();
  response.set(compoundMac(crypto, response, cmk), mac);
  return response;
}

/** Over the TLV with zeros for the MAC, then the EAP type of PEAP ([MS-PEAP] §3.1.5.5.1; there are no Outer TLVs). */
function compoundMac(crypto: EapCrypto, tlv: Uint8Array, cmk: Uint8Array): Uint8Array {
  return crypto.hmacSha1(cmk, tlv.subarray(0, mac), new Uint8Array(cryptobindingLength - mac), Uint8Array.of(eapType.peap));
}
