import { createPublicKey, sign, type KeyObject } from 'node:crypto';
import * as asn1js from 'asn1js';
import * as pkijs from 'pkijs';
import type { CertificateNames, SubjectPart } from '@aovpn/policy';
import { oid } from '../trust/oid.ts';

const extensionRequest = '1.2.840.113549.1.9.14';
const challengePassword = '1.2.840.113549.1.9.7';

export interface CertificateRequest extends CertificateNames {
  /** It is certified, and signs the request: proof that we have it. */
  readonly key: KeyObject;
  /** DER Name that stands in the place of `subject`: a renewal keeps that of the certificate (RFC 7030 §4.2.2). */
  readonly subjectDn?: Uint8Array;
  /** DER GeneralNames in the place of the other names, for the same reason. */
  readonly alternativeNames?: Uint8Array;
  /** A secret of SCEP, or what binds the request to a TLS connection (RFC 7030 §3.5). */
  readonly challenge?: string;
  /** DER of extensions that the server wants to be asked for. */
  readonly extensions?: readonly Uint8Array[];
  /** The least that the server wants to be signed with. */
  readonly hash?: 'sha256' | 'sha384' | 'sha512';
}

/** A certification request (PKCS#10, RFC 2986), DER. */
export function createCertificateRequest(request: CertificateRequest): Uint8Array {
  const { key, challenge } = request;
  const attributes: pkijs.Attribute[] = [];
  if (challenge !== undefined)
    attributes.push(new pkijs.Attribute({ type: challengePassword, values: [directoryString(challenge)] }));
  const extensions = (request.extensions ?? []).map((der) => asn1js.fromBER(der).result);
  const names = request.alternativeNames ?? alternativeNames(request);
  const subject = request.subjectDn ?? new Uint8Array(nameOf(request.subject).toSchema().toBER());
  if (names)
    extensions.unshift(
      new pkijs.Extension({
        extnID: oid.subjectAltName,
        // RFC 5280 §4.1.2.6: with an empty subject it is critical.
        critical: subject.length <= 2,
        extnValue: arrayOf(names),
      }).toSchema(),
    );
  if (extensions.length > 0)
    attributes.push(new pkijs.Attribute({ type: extensionRequest, values: [new asn1js.Sequence({ value: extensions })] }));
  const information = new asn1js.Sequence({
    value: [
      new asn1js.Integer({ value: 0 }),
      asn1js.fromBER(subject).result,
      asn1js.fromBER(spkiOf(key)).result,
      new asn1js.Constructed({
        idBlock: { tagClass: 3, tagNumber: 0 },
        value: attributes.map((attribute) => attribute.toSchema()),
      }),
    ],
  });
  const { algorithm, hash } = signatureOf(key, request.hash);
  const signature = sign(hash, new Uint8Array(information.toBER()), { key, dsaEncoding: 'der' });
  const signed = new asn1js.Sequence({
    value: [information, algorithm, new asn1js.BitString({ valueHex: arrayOf(signature) })],
  });
  return new Uint8Array(signed.toBER());
}

/** What a key signs requests and messages with: RSA in PKCS#1 v1.5, ECDSA with the hash of its curve. */
function signatureOf(
  key: KeyObject,
  least: 'sha256' | 'sha384' | 'sha512' = 'sha256',
): { readonly hash: string; readonly algorithm: asn1js.Sequence } {
  const isRsa = key.asymmetricKeyType === 'rsa';
  const own = key.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'sha384' : 'sha256';
  const hash = own > least ? own : least;
  const algorithm = new asn1js.Sequence({
    value: [
      new asn1js.ObjectIdentifier({ value: (isRsa ? rsaSignatures : curveSignatures)[hash] }),
      // RFC 4055 §5: NULL with RSA; RFC 5758 §3.2: nothing with ECDSA.
      ...(isRsa ? [new asn1js.Null()] : []),
    ],
  });
  return { hash, algorithm };
}

const rsaSignatures = {
  sha256: '1.2.840.113549.1.1.11',
  sha384: '1.2.840.113549.1.1.12',
  sha512: '1.2.840.113549.1.1.13',
} as const;
const curveSignatures = { sha256: '1.2.840.10045.4.3.2', sha384: '1.2.840.10045.4.3.3', sha512: '1.2.840.10045.4.3.4' } as const;

export function spkiOf(key: KeyObject): Uint8Array {
  return new Uint8Array(createPublicKey(key).export({ type: 'spki', format: 'der' }));
}

export function nameOf(parts: readonly SubjectPart[]): pkijs.RelativeDistinguishedNames {
  const texts = { utf8: asn1js.Utf8String, printable: asn1js.PrintableString, ia5: asn1js.IA5String } as const;
  return new pkijs.RelativeDistinguishedNames({
    typesAndValues: parts.map(
      ({ type, text, as }) => new pkijs.AttributeTypeAndValue({ type, value: new texts[as]({ value: text }) }),
    ),
  });
}

/** DER GeneralNames; undefined: there are none. */
function alternativeNames({ dns, email, upn }: CertificateNames): Uint8Array | undefined {
  const plain = (tagNumber: number, text: string): asn1js.Primitive =>
    new asn1js.Primitive({ idBlock: { tagClass: 3, tagNumber }, valueHex: arrayOf(Buffer.from(text, 'latin1')) });
  // SEQUENCE { type-id, [0] EXPLICIT value }, with the sequence's own tag replaced (RFC 5280 §4.2.1.6).
  const other = (text: string): asn1js.Constructed =>
    new asn1js.Constructed({
      idBlock: { tagClass: 3, tagNumber: 0 },
      value: [
        new asn1js.ObjectIdentifier({ value: oid.upn }),
        new asn1js.Constructed({ idBlock: { tagClass: 3, tagNumber: 0 }, value: [new asn1js.Utf8String({ value: text })] }),
      ],
    });
  const value = [...dns.map((text) => plain(2, text)), ...email.map((text) => plain(1, text)), ...upn.map(other)];
  return value.length === 0 ? undefined : new Uint8Array(new asn1js.Sequence({ value }).toBER());
}

/** PrintableString where it fits, as RFC 2985 §5.4.1 wants it for everybody's sake; else UTF8String. */
function directoryString(text: string): asn1js.PrintableString | asn1js.Utf8String {
  return /^[A-Za-z0-9 '()+,\-./:=?]*$/.test(text)
    ? new asn1js.PrintableString({ value: text })
    : new asn1js.Utf8String({ value: text });
}

function arrayOf(octets: Uint8Array): ArrayBuffer {
  return new Uint8Array(octets).buffer;
}
