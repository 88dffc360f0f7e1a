import * as asn1js from 'asn1js';
import * as pkijs from 'pkijs';
import type { EnrolmentKey } from '@aovpn/policy';
import { CertificateError, decoding } from '../trust/certificate.ts';
import { oid } from '../trust/oid.ts';

/** What the server wants to find in a request. What is not understood is no reason to stop (RFC 7030 §4.5.2). */
export interface CsrAttributes {
  /** The request is to be bound to its TLS connection (§3.5). */
  readonly binding: boolean;
  readonly key?: EnrolmentKey;
  readonly hash?: 'sha256' | 'sha384' | 'sha512';
  /** DER of each Extension; names are the administrator's matter here and not among them. */
  readonly extensions: readonly Uint8Array[];
}

export const noAttributes: CsrAttributes = { binding: false, extensions: [] };

const challengePassword = '1.2.840.113549.1.9.7';
const extensionRequest = '1.2.840.113549.1.9.14';
const rsaEncryption = '1.2.840.113549.1.1.1';
const ecPublicKey = '1.2.840.10045.2.1';
const curves: Readonly<Record<string, EnrolmentKey>> = { '1.2.840.10045.3.1.7': 'p256', '1.3.132.0.34': 'p384' };
const hashes: Readonly<Record<string, 'sha256' | 'sha384' | 'sha512'>> = {
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
};
/** Of attributes, and of extensions. */
const countLimit = 64;

/** Reads `CsrAttrs` (RFC 7030 §4.5.2, RFC 8951 §4). @throws {CertificateError} when it is no DER of that shape */
export function readCsrAttributes(der: Uint8Array): CsrAttributes {
  return decoding('CSR attributes', () => attributesOf(der));
}

function attributesOf(der: Uint8Array): CsrAttributes {
  const outer = asn1js.fromBER(der);
  if (outer.offset !== der.length || !(outer.result instanceof asn1js.Sequence))
    throw new CertificateError('CSR attributes that cannot be decoded');
  const all = outer.result.valueBlock.value;
  if (all.length > countLimit) throw new CertificateError(`${all.length} CSR attributes`);
  let found = noAttributes;
  for (const one of all) {
    if (one instanceof asn1js.ObjectIdentifier) found = { ...found, ...ofType(one.getValue()) };
    else if (one instanceof asn1js.Sequence) {
      const [type, values] = one.valueBlock.value;
      if (!(type instanceof asn1js.ObjectIdentifier) || !(values instanceof asn1js.Set)) continue;
      found = { ...found, ...ofAttribute(type.getValue(), values.valueBlock.value, found) };
    }
  }
  return found;
}

function ofType(type: string): Partial<CsrAttributes> {
  if (type === challengePassword) return { binding: true };
  const hash = hashes[type];
  return hash === undefined ? {} : { hash };
}

function ofAttribute(type: string, values: readonly unknown[], { extensions }: CsrAttributes): Partial<CsrAttributes> {
  const [first] = values;
  if (type === ecPublicKey && first instanceof asn1js.ObjectIdentifier) {
    const key = curves[first.getValue()];
    return key === undefined ? {} : { key };
  }
  if (type === rsaEncryption && first instanceof asn1js.Integer) {
    const bits = first.valueBlock.valueDec;
    return { key: bits <= 2048 ? 'rsa2048' : bits <= 3072 ? 'rsa3072' : 'rsa4096' };
  }
  if (type === extensionRequest) return { extensions: [...extensions, ...values.flatMap(wholeExtensions)].slice(0, countLimit) };
  return ofType(type);
}

/** Those that have a value; a bare identifier says that one is wanted and not which. */
function wholeExtensions(value: unknown): Uint8Array[] {
  if (!(value instanceof asn1js.Sequence)) return [];
  return value.valueBlock.value.flatMap((one) => {
    try {
      const { extnID } = new pkijs.Extension({ schema: one });
      return extnID === oid.subjectAltName ? [] : [new Uint8Array(one.toBER())];
    } catch {
      return [];
    }
  });
}
