import {
  createCipheriv,
  createDecipheriv,
  createHash,
  constants,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto';
import { equal } from '@aovpn/bytes';
import * as asn1js from 'asn1js';
import * as pkijs from 'pkijs';
import { CertificateError, decoding, type ParsedCertificate } from '../trust/certificate.ts';
import { weaknessOf } from '../trust/signature-algorithm.ts';
import { issuerAndSerial } from './issuer-and-serial.ts';

// Cryptographic Message Syntax (RFC 5652) as far as SCEP needs it: one recipient with an RSA key, one signer.

const oids = {
  data: '1.2.840.113549.1.7.1',
  signedData: '1.2.840.113549.1.7.2',
  envelopedData: '1.2.840.113549.1.7.3',
  contentType: '1.2.840.113549.1.9.3',
  messageDigest: '1.2.840.113549.1.9.4',
  rsaEncryption: '1.2.840.113549.1.1.1',
  tripleDes: '1.2.840.113549.3.7',
  des: '1.3.14.3.2.7',
} as const;

/** Content ciphers, with the key length of each in octets (RFC 3565 §4.1). */
const ciphers: Readonly<Record<string, { readonly name: string; readonly keyOctets: number; readonly ivOctets: number }>> = {
  '2.16.840.1.101.3.4.1.2': { name: 'aes-128-cbc', keyOctets: 16, ivOctets: 16 },
  '2.16.840.1.101.3.4.1.22': { name: 'aes-192-cbc', keyOctets: 24, ivOctets: 16 },
  '2.16.840.1.101.3.4.1.42': { name: 'aes-256-cbc', keyOctets: 32, ivOctets: 16 },
  [oids.tripleDes]: { name: 'des-ede3-cbc', keyOctets: 24, ivOctets: 8 },
  // scepserver sends certificates so, which are no secret; as 3DES with the same key three times, since OpenSSL has DES no more.
  [oids.des]: { name: 'des-ede3-cbc', keyOctets: 8, ivOctets: 8 },
};
/** RFC 8894 §2.9: what everybody has. */
const ownCipher = '2.16.840.1.101.3.4.1.2';

const digests: Readonly<Record<string, string>> = {
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};
const ownDigest = '2.16.840.1.101.3.4.2.1';
/** SignatureAlgorithm of a SignerInfo with an RSA key: it names the digest again, or leaves that to digestAlgorithm (RFC 3370 §3.2). */
const rsaSignatures = new Set([
  oids.rsaEncryption,
  '1.2.840.113549.1.1.5',
  '1.2.840.113549.1.1.11',
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
]);
const curveSignatures = new Set(['1.2.840.10045.4.3.2', '1.2.840.10045.4.3.3', '1.2.840.10045.4.3.4']);

/** A signed attribute: its type, and its one value. */
export interface SignedAttribute {
  readonly type: string;
  readonly value: asn1js.BaseBlock;
}

/** EnvelopedData for the holder of one RSA key, DER of its ContentInfo. */
export function encryptFor(recipient: ParsedCertificate, content: Uint8Array): Uint8Array {
  const { name, keyOctets, ivOctets } = ciphers[ownCipher]!;
  const key = randomBytes(keyOctets);
  try {
    const iv = randomBytes(ivOctets);
    const cipher = createCipheriv(name, key, iv);
    const encrypted = Buffer.concat([cipher.update(content), cipher.final()]);
    const wrapped = publicEncrypt({ key: recipient.key, padding: constants.RSA_PKCS1_PADDING }, key);
    const transport = new asn1js.Sequence({
      value: [
        new asn1js.Integer({ value: 0 }),
        issuerAndSerial(recipient),
        algorithm(oids.rsaEncryption, new asn1js.Null()),
        octets(wrapped),
      ],
    });
    const encryptedContent = new asn1js.Sequence({
      value: [
        new asn1js.ObjectIdentifier({ value: oids.data }),
        algorithm(ownCipher, octets(iv)),
        new asn1js.Primitive({ idBlock: { tagClass: 3, tagNumber: 0 }, valueHex: new Uint8Array(encrypted).buffer }),
      ],
    });
    const enveloped = new asn1js.Sequence({
      value: [new asn1js.Integer({ value: 0 }), new asn1js.Set({ value: [transport] }), encryptedContent],
    });
    return contentInfo(oids.envelopedData, enveloped);
  } finally {
    key.fill(0);
  }
}

/**
 * Content of an EnvelopedData for our key. Whoever sent it is known already: what fails here says nothing to anybody else.
 * @param weak whether DES and 3DES will do
 * @throws {CertificateError}
 */
export function decryptWith(key: KeyObject, der: Uint8Array, weak: boolean): Uint8Array {
  return decoding('a CMS message', () => decrypted(key, der, weak));
}

function decrypted(key: KeyObject, der: Uint8Array, weak: boolean): Uint8Array {
  const enveloped = readContent(der, oids.envelopedData, (schema) => new pkijs.EnvelopedData({ schema }));
  const transports = enveloped.recipientInfos.flatMap(({ value }) =>
    value instanceof pkijs.KeyTransRecipientInfo ? [value] : [],
  );
  const [transport] = transports;
  if (!transport || transports.length > 1)
    throw new CertificateError('encrypted content for another number of recipients than one');
  if (transport.keyEncryptionAlgorithm.algorithmId !== oids.rsaEncryption)
    throw new CertificateError(`a content key encrypted with ${transport.keyEncryptionAlgorithm.algorithmId}`);
  const { contentEncryptionAlgorithm, encryptedContent } = enveloped.encryptedContentInfo;
  const { algorithmId } = contentEncryptionAlgorithm;
  const cipher = ciphers[algorithmId];
  if (!cipher || (cipher.ivOctets === 8 && !weak))
    throw new CertificateError(`content encrypted with ${cipher ? 'DES or 3DES, which allow-weak would let pass' : algorithmId}`);
  const iv: unknown = contentEncryptionAlgorithm.algorithmParams;
  if (!(iv instanceof asn1js.OctetString) || iv.valueBlock.valueHexView.length !== cipher.ivOctets || !encryptedContent)
    throw new CertificateError('encrypted content without what belongs to it');
  try {
    const content = privateDecrypt({ key, padding: constants.RSA_PKCS1_PADDING }, transport.encryptedKey.valueBlock.valueHexView);
    const whole = algorithmId === oids.des ? Buffer.concat([content, content, content]) : content;
    const opened = createDecipheriv(cipher.name, whole, iv.valueBlock.valueHexView);
    for (const key of [content, whole]) key.fill(0);
    return new Uint8Array(Buffer.concat([opened.update(wholeOctets(encryptedContent)), opened.final()]));
  } catch (error) {
    throw new CertificateError('content that our key does not decrypt', { cause: error });
  }
}

export interface MessageSigner {
  readonly certificate: ParsedCertificate;
  /** RSA. */
  readonly key: KeyObject;
}

/** SignedData over `content` (undefined: none) with its signer's certificate and SHA-256, DER of its ContentInfo. */
export function signMessage(
  { certificate, key }: MessageSigner,
  content: Uint8Array | undefined,
  attributes: readonly SignedAttribute[],
): Uint8Array {
  const digest = createHash('sha256')
    .update(content ?? new Uint8Array())
    .digest();
  const signed = [
    { type: oids.contentType, value: new asn1js.ObjectIdentifier({ value: oids.data }) },
    { type: oids.messageDigest, value: octets(digest) },
    ...attributes,
  ].map(
    ({ type, value }) =>
      new Uint8Array(
        new asn1js.Sequence({
          value: [new asn1js.ObjectIdentifier({ value: type }), new asn1js.Set({ value: [value] })],
        }).toBER(),
      ),
  );
  // DER: the elements of a SET OF in the order of their octets (X.690 §11.6).
  const body = Buffer.concat(signed.toSorted((a, b) => Buffer.compare(a, b)));
  const signature = sign('sha256', tagged(0x31, body), { key, padding: constants.RSA_PKCS1_PADDING });
  const signer = Buffer.concat(
    [
      new asn1js.Integer({ value: 1 }),
      issuerAndSerial(certificate),
      algorithm(ownDigest),
      tagged(0xa0, body),
      algorithm(oids.rsaEncryption, new asn1js.Null()),
      octets(signature),
    ].map((part) => (part instanceof Uint8Array ? part : new Uint8Array(part.toBER()))),
  );
  const encapsulated = new asn1js.Sequence({
    value: [
      new asn1js.ObjectIdentifier({ value: oids.data }),
      ...(content ? [new asn1js.Constructed({ idBlock: { tagClass: 3, tagNumber: 0 }, value: [octets(content)] })] : []),
    ],
  });
  const parts = [
    new Uint8Array(new asn1js.Integer({ value: 1 }).toBER()),
    tagged(0x31, new Uint8Array(algorithm(ownDigest).toBER())),
    new Uint8Array(encapsulated.toBER()),
    tagged(0xa0, certificate.der),
    tagged(0x31, tagged(0x30, signer)),
  ];
  return contentInfo(oids.signedData, asn1js.fromBER(tagged(0x30, Buffer.concat(parts))).result);
}

export interface VerifiedMessage {
  /** Undefined: there is none. */
  readonly content: Uint8Array | undefined;
  /** Values by type; each occurs once. */
  readonly attributes: ReadonlyMap<string, asn1js.BaseBlock>;
}

/**
 * Reads a SignedData with one signer, whose signature over the signed attributes is right.
 * @param known who may have signed: its certificate is one of these, whatever the message brings with it
 * @param weak whether SHA-1 will do
 * @throws {CertificateError}
 */
export function verifyMessage(der: Uint8Array, known: readonly ParsedCertificate[], weak: boolean): VerifiedMessage {
  return decoding('a CMS message', () => verified(der, known, weak));
}

function verified(der: Uint8Array, known: readonly ParsedCertificate[], weak: boolean): VerifiedMessage {
  const signed = readContent(der, oids.signedData, (schema) => new pkijs.SignedData({ schema }));
  const [info] = signed.signerInfos;
  if (!info || signed.signerInfos.length > 1) throw new CertificateError('a message with another number of signers than one');
  const sid: unknown = info.sid;
  const signer =
    sid instanceof pkijs.IssuerAndSerialNumber
      ? known.find(({ pki }) => pki.issuer.isEqual(sid.issuer) && pki.serialNumber.isEqual(sid.serialNumber))
      : undefined;
  if (!signer) throw new CertificateError('a message that neither the authority nor one of its own has signed');
  if (weaknessOf(signer.key) !== undefined) throw new CertificateError(`a message signed with ${weaknessOf(signer.key)}`);
  const digest = digests[info.digestAlgorithm.algorithmId];
  if (digest === undefined || (digest === 'sha1' && !weak))
    throw new CertificateError(
      `a message signed over ${digest === 'sha1' ? 'SHA-1, which allow-weak would let pass' : info.digestAlgorithm.algorithmId}`,
    );
  if (!info.signedAttrs) throw new CertificateError('a message without signed attributes');
  const attributes = new Map<string, asn1js.BaseBlock>();
  for (const { type, values } of info.signedAttrs.attributes) {
    const [value] = values as asn1js.BaseBlock[];
    if (attributes.has(type) || values.length !== 1 || !value)
      throw new CertificateError(`attribute ${type} with several values`);
    attributes.set(type, value);
  }
  // Implicitly tagged in the message, but signed as the SET that it is (RFC 5652 §5.4).
  const body = new Uint8Array(info.signedAttrs.encodedValue);
  const type = signer.key.asymmetricKeyType;
  const fits = (type === 'rsa' ? rsaSignatures : curveSignatures).has(info.signatureAlgorithm.algorithmId);
  const input =
    type === 'rsa' ? { key: signer.key, padding: constants.RSA_PKCS1_PADDING } : { key: signer.key, dsaEncoding: 'der' as const };
  if (!fits || !verify(digest, body, input, info.signature.valueBlock.valueHexView))
    throw new CertificateError('a message whose signature is wrong');
  const encapsulated = signed.encapContentInfo.eContent;
  const content = encapsulated && wholeOctets(encapsulated);
  const told = attributes.get(oids.messageDigest);
  const found = createHash(digest)
    .update(content ?? new Uint8Array())
    .digest();
  if (!(told instanceof asn1js.OctetString) || !equal(told.valueBlock.valueHexView, found))
    throw new CertificateError('a message whose content is not what was signed');
  return { content, attributes };
}

function readContent<T>(der: Uint8Array, type: string, read: (schema: pkijs.SchemaType) => T): T {
  const outer = asn1js.fromBER(der);
  if (outer.offset !== der.length) throw new CertificateError('octets that are no CMS message');
  const info = new pkijs.ContentInfo({ schema: outer.result });
  if (info.contentType !== type) throw new CertificateError(`content of type ${info.contentType}`);
  return read(info.content);
}

/** An OCTET STRING may come in parts. (That the library takes what is inside for ASN.1 as well, where it can, means nothing.) */
function wholeOctets({ idBlock, valueBlock }: asn1js.OctetString): Uint8Array {
  if (!idBlock.isConstructed) return valueBlock.valueHexView;
  return Buffer.concat(valueBlock.value.map((part) => wholeOctets(part as asn1js.OctetString)));
}

function contentInfo(type: string, content: asn1js.BaseBlock): Uint8Array {
  const explicit = new asn1js.Constructed({ idBlock: { tagClass: 3, tagNumber: 0 }, value: [content] });
  return new Uint8Array(new asn1js.Sequence({ value: [new asn1js.ObjectIdentifier({ value: type }), explicit] }).toBER());
}

function algorithm(id: string, parameters?: asn1js.BaseBlock): asn1js.Sequence {
  return new asn1js.Sequence({ value: [new asn1js.ObjectIdentifier({ value: id }), ...(parameters ? [parameters] : [])] });
}

function octets(value: Uint8Array): asn1js.OctetString {
  return new asn1js.OctetString({ valueHex: new Uint8Array(value).buffer });
}

/** DER of a definite length (X.690 §10.1). */
function tagged(tag: number, body: Uint8Array): Uint8Array {
  const length = [];
  for (let left = body.length; left > 0; left = Math.floor(left / 256)) length.unshift(left & 0xff);
  const head = body.length < 0x80 ? [tag, body.length] : [tag, 0x80 | length.length, ...length];
  return Buffer.concat([Uint8Array.from(head), body]);
}
