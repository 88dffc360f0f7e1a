import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import * as der from './der.ts';

export type KeyKind = 'p256' | 'p384' | 'rsa2048' | 'rsa1024' | 'ed25519';
/** `day` is valid now; the others are what their name says, by a day. */
export type Validity = 'day' | 'expired' | 'not-yet';

export type KeyPurpose =
  | 'serverAuth'
  | 'clientAuth'
  | 'ikeIntermediate'
  | 'codeSigning'
  | 'smartcardLogon'
  | 'anyPurpose'
  /** Of Entra's conditional access; stands in certificate filters. */
  | 'conditionalAccess';

export interface LeafRequest {
  readonly commonName: string;
  readonly key?: KeyKind;
  /** dNSName entries. */
  readonly dns?: readonly string[];
  /** User principal name (otherName 1.3.6.1.4.1.311.20.2.3), as Windows wants it in user certificates. */
  readonly upn?: string;
  readonly email?: string;
  /** Default: serverAuth. None: the certificate has no extended key usage, which stands for all purposes. */
  readonly usages?: readonly KeyPurpose[];
  readonly validity?: Validity;
  /** RSA keys: how the issuer's or the own signature looks is not affected. */
  readonly crlUrl?: string;
  readonly ocspUrl?: string;
}

/** A certificate with its key and the chain above it (without the root). */
export interface Issued {
  readonly commonName: string;
  readonly serial: Uint8Array;
  readonly certificate: Uint8Array;
  readonly certificatePem: string;
  readonly keyPem: string;
  /** The certificate and the intermediates above it, leaf first. */
  readonly chainPem: string;
  readonly key: KeyObject;
}

const oids = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  crlDistributionPoints: '2.5.29.31',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  ocsp: '1.3.6.1.5.5.7.48.1',
  upn: '1.3.6.1.4.1.311.20.2.3',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  ikeIntermediate: '1.3.6.1.5.5.8.2.2',
  codeSigning: '1.3.6.1.5.5.7.3.3',
  smartcardLogon: '1.3.6.1.4.1.311.20.2.2',
  anyPurpose: '1.3.6.1.4.1.311.10.12.1',
  conditionalAccess: '1.3.6.1.4.1.311.87',
} as const;
const day = 24 * 3600 * 1000;

/** A certificate authority made on the spot (RFC 5280): a root, or an intermediate below another one. */
export class Authority {
  readonly commonName: string;
  readonly certificate: Uint8Array;
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly #key: KeyObject;
  readonly #publicKey: KeyObject;
  readonly #above: string;
  readonly #revoked: { readonly serial: Uint8Array; readonly at: Date }[] = [];
  readonly #issued: Issued[] = [];
  #crlNumber = 0;

  constructor(
    commonName: string,
    options: { readonly key?: KeyKind; readonly issuer?: Authority; readonly validity?: Validity } = {},
  ) {
    this.commonName = commonName;
    const pair = newKey(options.key ?? 'p256');
    this.#key = pair.privateKey;
    this.#publicKey = pair.publicKey;
    const issuer = options.issuer ?? this;
    this.certificate = issuer.#sign({
      serial: newSerial(),
      subject: commonName,
      publicKey: pair.publicKey,
      validity: options.validity ?? 'day',
      extensions: [
        extension(oids.basicConstraints, true, der.sequence(der.boolean(true))),
        extension(oids.keyUsage, true, der.bitString(Buffer.from([0x06]), 1)),
        extension(oids.subjectKeyIdentifier, false, der.octetString(keyIdentifier(pair.publicKey))),
        issuer.#authorityKeyIdentifier(),
      ],
    });
    this.certificatePem = der.pem('CERTIFICATE', this.certificate);
    this.keyPem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    this.#above = options.issuer ? this.certificatePem + options.issuer.#above : '';
  }

  /** Upper-case SHA-1 thumbprint without separators, as ProfileXML's TrustedRootCA and Windows show it. */
  get thumbprint(): string {
    return createHash('sha1').update(this.certificate).digest('hex');
  }

  issue(request: LeafRequest): Issued {
    const pair = newKey(request.key ?? 'p256');
    const serial = newSerial();
    const names = [
      ...(request.dns ?? []).map((name) => der.implicit(2, Buffer.from(name, 'latin1'))),
      ...(request.email ? [der.implicit(1, Buffer.from(request.email, 'latin1'))] : []),
      ...(request.upn ? [der.explicit(0, der.oid(oids.upn), der.explicit(0, der.utf8String(request.upn)))] : []),
    ];
    const certificate = this.#sign({
      serial,
      subject: request.commonName,
      publicKey: pair.publicKey,
      validity: request.validity ?? 'day',
      extensions: [
        extension(oids.basicConstraints, true, der.sequence()),
        extension(
          oids.keyUsage,
          true,
          der.bitString(Buffer.from([request.key?.startsWith('rsa') ? 0xa0 : 0x80]), request.key?.startsWith('rsa') ? 5 : 7),
        ),
        ...(request.usages?.length === 0
          ? []
          : [
              extension(
                oids.extendedKeyUsage,
                false,
                der.sequence(...(request.usages ?? ['serverAuth']).map((usage) => der.oid(oids[usage]))),
              ),
            ]),
        extension(oids.subjectKeyIdentifier, false, der.octetString(keyIdentifier(pair.publicKey))),
        this.#authorityKeyIdentifier(),
        ...(names.length > 0 ? [extension(oids.subjectAltName, false, der.sequence(...names))] : []),
        ...(request.crlUrl
          ? [
              extension(
                oids.crlDistributionPoints,
                false,
                der.sequence(der.sequence(der.explicit(0, der.explicit(0, der.implicit(6, Buffer.from(request.crlUrl)))))),
              ),
            ]
          : []),
        ...(request.ocspUrl
          ? [
              extension(
                oids.authorityInfoAccess,
                false,
                der.sequence(der.sequence(der.oid(oids.ocsp), der.implicit(6, Buffer.from(request.ocspUrl)))),
              ),
            ]
          : []),
      ],
    });
    const certificatePem = der.pem('CERTIFICATE', certificate);
    const issued: Issued = {
      commonName: request.commonName,
      serial,
      certificate,
      certificatePem,
      keyPem: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      chainPem: certificatePem + this.#above,
      key: pair.privateKey,
    };
    this.#issued.push(issued);
    return issued;
  }

  revoke(issued: Issued): void {
    this.#revoked.push({ serial: issued.serial, at: new Date(Date.now() - day / 2) });
  }

  /** The certificate revocation list as of now, DER (RFC 5280 §5). */
  crl(): Uint8Array {
    const body = der.sequence(
      der.integer(1),
      this.#signatureAlgorithm(),
      distinguishedName(this.commonName),
      der.time(new Date(Date.now() - 3600_000)),
      der.time(new Date(Date.now() + day)),
      ...(this.#revoked.length > 0
        ? [der.sequence(...this.#revoked.map(({ serial, at }) => der.sequence(der.integer(serial), der.time(at))))]
        : []),
      der.explicit(
        0,
        der.sequence(this.#authorityKeyIdentifier(), extension(oids.crlNumber, false, der.integer(++this.#crlNumber))),
      ),
    );
    return this.#seal(body);
  }

  crlPem(): string {
    return der.pem('X509 CRL', this.crl());
  }

  /** What `openssl ocsp -index` reads: one line for each certificate ever issued. */
  index(): string {
    const stamp = (date: Date): string =>
      date
        .toISOString()
        .replaceAll(/[-:T]|\.\d+/g, '')
        .slice(2);
    return this.#issued
      .map((issued) => {
        const revoked = this.#revoked.find(({ serial }) => Buffer.compare(serial, issued.serial) === 0);
        const state = revoked
          ? `R\t${stamp(new Date(Date.now() + day))}\t${stamp(revoked.at)}`
          : `V\t${stamp(new Date(Date.now() + day))}\t`;
        return `${state}\t${Buffer.from(issued.serial).toString('hex').toUpperCase()}\tunknown\t/O=Example/CN=${issued.commonName}\n`;
      })
      .join('');
  }

  #sign(part: {
    readonly serial: Uint8Array;
    readonly subject: string;
    readonly publicKey: KeyObject;
    readonly validity: Validity;
    readonly extensions: readonly der.Der[];
  }): Uint8Array {
    const [from, to] = { day: [-1, 1], expired: [-3, -1], 'not-yet': [1, 3] }[part.validity] as [number, number];
    return this.#seal(
      der.sequence(
        der.explicit(0, der.integer(2)),
        der.integer(part.serial),
        this.#signatureAlgorithm(),
        distinguishedName(this.commonName),
        der.sequence(der.time(new Date(Date.now() + from * day)), der.time(new Date(Date.now() + to * day))),
        distinguishedName(part.subject),
        part.publicKey.export({ type: 'spki', format: 'der' }),
        der.explicit(3, der.sequence(...part.extensions)),
      ),
    );
  }

  #seal(body: Uint8Array): Uint8Array {
    return der.sequence(body, this.#signatureAlgorithm(), der.bitString(sign(this.#digest(), body, this.#key)));
  }

  #digest(): string | null {
    const curve = this.#key.asymmetricKeyDetails?.namedCurve;
    return this.#key.asymmetricKeyType === 'ed25519' ? null : curve === 'secp384r1' ? 'sha384' : 'sha256';
  }

  #signatureAlgorithm(): Uint8Array {
    if (this.#key.asymmetricKeyType === 'rsa') return der.sequence(der.oid('1.2.840.113549.1.1.11'), der.nothing());
    if (this.#key.asymmetricKeyType === 'ed25519') return der.sequence(der.oid('1.3.101.112'));
    return der.sequence(der.oid(this.#digest() === 'sha384' ? '1.2.840.10045.4.3.3' : '1.2.840.10045.4.3.2'));
  }

  #authorityKeyIdentifier(): Uint8Array {
    return extension(oids.authorityKeyIdentifier, false, der.sequence(der.implicit(0, keyIdentifier(this.#publicKey))));
  }
}

function newKey(kind: KeyKind): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } {
  switch (kind) {
    case 'p256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' });
    case 'p384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' });
    case 'rsa2048':
      return generateKeyPairSync('rsa', { modulusLength: 2048 });
    case 'rsa1024':
      return generateKeyPairSync('rsa', { modulusLength: 1024 });
    case 'ed25519':
      return generateKeyPairSync('ed25519');
  }
}

function newSerial(): Uint8Array {
  const serial = randomBytes(12);
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  return serial;
}

function distinguishedName(commonName: string): der.Der {
  return der.sequence(
    der.set(der.sequence(der.oid(oids.organization), der.utf8String('Example'))),
    der.set(der.sequence(der.oid(oids.commonName), der.utf8String(commonName))),
  );
}

function extension(id: string, critical: boolean, value: der.Der): der.Der {
  return der.sequence(der.oid(id), ...(critical ? [der.boolean(true)] : []), der.octetString(value));
}

/** SHA-1 of the bits of the public key (RFC 5280 §4.2.1.2, method 1). */
function keyIdentifier(key: KeyObject): Uint8Array {
  const spki = key.export({ type: 'spki', format: 'der' });
  let at = headerEnd(spki, 0);
  at = skip(spki, at);
  return createHash('sha1')
    .update(spki.subarray(headerEnd(spki, at) + 1))
    .digest();
}

function headerEnd(der: Uint8Array, at: number): number {
  const first = der[at + 1]!;
  return at + 2 + (first < 0x80 ? 0 : first & 0x7f);
}

function skip(der: Uint8Array, at: number): number {
  const start = headerEnd(der, at);
  let length = der[at + 1]!;
  if (length >= 0x80) length = der.subarray(at + 2, start).reduce((sum, octet) => sum * 256 + octet, 0);
  return start + length;
}
