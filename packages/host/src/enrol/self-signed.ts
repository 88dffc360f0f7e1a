import { constants, randomBytes, sign, type KeyObject } from 'node:crypto';
import * as asn1js from 'asn1js';
import { parseCertificate, type ParsedCertificate } from '../trust/certificate.ts';

const day = 86_400_000;
const sha256WithRsa = '1.2.840.113549.1.1.11';

/** A certificate for an RSA key by itself: who asks by SCEP for the first time signs with it, and the answer is encrypted for it (RFC 8894 §3). */
export function selfSigned(key: KeyObject, subjectDn: Uint8Array, spki: Uint8Array): ParsedCertificate {
  const now = Date.now();
  const algorithm = (): asn1js.Sequence =>
    new asn1js.Sequence({ value: [new asn1js.ObjectIdentifier({ value: sha256WithRsa }), new asn1js.Null()] });
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  const name = (): asn1js.BaseBlock => asn1js.fromBER(subjectDn).result;
  // digitalSignature and keyEncipherment.
  const usage = new asn1js.BitString({ valueHex: Uint8Array.of(0xa0).buffer, unusedBits: 5 });
  const extension = new asn1js.Sequence({
    value: [
      new asn1js.ObjectIdentifier({ value: '2.5.29.15' }),
      new asn1js.Boolean({ value: true }),
      new asn1js.OctetString({ valueHex: usage.toBER() }),
    ],
  });
  const body = new asn1js.Sequence({
    value: [
      new asn1js.Constructed({ idBlock: { tagClass: 3, tagNumber: 0 }, value: [new asn1js.Integer({ value: 2 })] }),
      new asn1js.Integer({ valueHex: new Uint8Array(serial).buffer }),
      algorithm(),
      name(),
      new asn1js.Sequence({
        value: [
          new asn1js.UTCTime({ valueDate: new Date(now - day) }),
          new asn1js.UTCTime({ valueDate: new Date(now + 7 * day) }),
        ],
      }),
      name(),
      asn1js.fromBER(spki).result,
      new asn1js.Constructed({ idBlock: { tagClass: 3, tagNumber: 3 }, value: [new asn1js.Sequence({ value: [extension] })] }),
    ],
  });
  const signature = sign('sha256', new Uint8Array(body.toBER()), { key, padding: constants.RSA_PKCS1_PADDING });
  const signed = new asn1js.Sequence({
    value: [body, algorithm(), new asn1js.BitString({ valueHex: new Uint8Array(signature).buffer })],
  });
  return parseCertificate(new Uint8Array(signed.toBER()));
}
