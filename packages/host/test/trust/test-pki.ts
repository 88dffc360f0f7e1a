import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate, type KeyObject } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** A certificate made for a test, with its key. */
export interface TestCertificate {
  readonly name: string;
  readonly pem: string;
  readonly der: Uint8Array;
  readonly key: string;
  readonly x509: X509Certificate;
  readonly certificatePath: string;
  readonly keyPath: string;
}

export interface CertificateRequest {
  /** Undefined: self-signed. */
  readonly issuer?: TestCertificate;
  /** `/CN=…`; the name, when left out. */
  readonly subject?: string;
  /** Lines of an OpenSSL extension section. */
  readonly extensions?: readonly string[];
  readonly key?: KeyObject;
  readonly days?: number;
  readonly digest?: string;
  /** Other arguments of `openssl x509`. */
  readonly options?: readonly string[];
}

export const authority = [
  'basicConstraints=critical,CA:true',
  'keyUsage=critical,keyCertSign,cRLSign',
  'subjectKeyIdentifier=hash',
];
export const server = ['basicConstraints=critical,CA:false', 'keyUsage=critical,digitalSignature', 'extendedKeyUsage=serverAuth'];

export function ecKey(curve = 'P-256'): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: curve }).privateKey;
}

export function rsaKey(bits: number): KeyObject {
  return generateKeyPairSync('rsa', { modulusLength: bits }).privateKey;
}

/** A public key infrastructure in a temporary directory, made by the openssl command: an encoder that is not ours. */
export class TestPki {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'aovpn-pki-'));
  #serial = 0x1000;

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  issue(name: string, request: CertificateRequest): TestCertificate {
    const serial = ++this.#serial;
    const base = path.join(this.directory, `${serial}-${name.replaceAll(/\W/g, '_')}`);
    const keyPath = `${base}.key`;
    const certificatePath = `${base}.crt`;
    const key = (request.key ?? ecKey()).export({ type: 'pkcs8', format: 'pem' }).toString();
    writeFileSync(keyPath, key, { mode: 0o600 });
    writeFileSync(
      `${base}.cnf`,
      `[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=x\n[ext]\n${(request.extensions ?? []).join('\n')}\n`,
    );
    const subject = ['-subj', request.subject ?? `/CN=${name}`];
    this.openssl('req', '-new', '-config', `${base}.cnf`, '-key', keyPath, ...subject, '-out', `${base}.csr`);
    const signer = request.issuer
      ? ['-CA', request.issuer.certificatePath, '-CAkey', request.issuer.keyPath]
      : ['-signkey', keyPath];
    const extensions = request.extensions === undefined ? [] : ['-extfile', `${base}.cnf`, '-extensions', 'ext'];
    const validity = ['-days', String(request.days ?? 30), '-set_serial', String(serial), `-${request.digest ?? 'sha256'}`];
    const options = request.options ?? [];
    this.openssl(
      'x509',
      '-req',
      '-in',
      `${base}.csr`,
      ...signer,
      ...extensions,
      ...validity,
      ...options,
      '-out',
      certificatePath,
    );
    const pem = readFileSync(certificatePath, 'utf8');
    const x509 = new X509Certificate(pem);
    return { name, pem, der: new Uint8Array(x509.raw), key, x509, certificatePath, keyPath };
  }

  /** An authority's revocation list: DER. */
  crl(
    issuer: TestCertificate,
    revoked: readonly TestCertificate[],
    options: readonly string[] = [],
    sections: readonly string[] = [],
  ): Uint8Array {
    const config = this.#database(issuer, revoked, sections);
    const out = path.join(this.directory, `${++this.#serial}.crl`);
    this.openssl('ca', '-config', config, '-gencrl', '-crldays', '7', ...options, '-out', `${out}.pem`);
    this.openssl('crl', '-in', `${out}.pem`, '-outform', 'DER', '-out', out);
    return new Uint8Array(readFileSync(out));
  }

  /** An answer to a DER OCSP request. */
  ocsp(
    issuer: TestCertificate,
    responder: TestCertificate,
    revoked: readonly TestCertificate[],
    request: Uint8Array,
    options: readonly string[] = ['-ndays', '7'],
  ): Uint8Array {
    const config = this.#database(issuer, revoked, []);
    const base = path.join(this.directory, `${++this.#serial}.ocsp`);
    writeFileSync(`${base}.req`, request);
    const signing = ['-rsigner', responder.certificatePath, '-rkey', responder.keyPath, '-CA', issuer.certificatePath];
    const files = ['-index', config.replace(/\.cnf$/, '.index'), '-reqin', `${base}.req`, '-respout', `${base}.resp`];
    this.openssl('ocsp', ...signing, ...files, ...options);
    return new Uint8Array(readFileSync(`${base}.resp`));
  }

  openssl(...args: readonly string[]): string {
    const result = spawnSync('openssl', args, { cwd: this.directory, encoding: 'utf8' });
    if (result.status !== 0) throw new Error(`openssl ${args.join(' ')}: ${result.stderr}${result.error?.message ?? ''}`);
    return result.stdout;
  }

  /** The database of `openssl ca`: every certificate that is not revoked is written as valid, so that OCSP says "good". */
  #database(issuer: TestCertificate, revoked: readonly TestCertificate[], sections: readonly string[]): string {
    const base = path.join(this.directory, `${++this.#serial}`);
    const lines: string[] = [];
    for (let serial = 0x1001; serial <= this.#serial; serial++) {
      const hex = serial.toString(16).toUpperCase();
      const isRevoked = revoked.some((certificate) => Number.parseInt(certificate.x509.serialNumber, 16) === serial);
      lines.push(
        isRevoked
          ? `R\t391231235959Z\t250101000000Z\t${hex}\tunknown\t/CN=${hex}`
          : `V\t391231235959Z\t\t${hex}\tunknown\t/CN=${hex}`,
      );
    }
    writeFileSync(`${base}.index`, `${lines.join('\n')}\n`);
    writeFileSync(`${base}.index.attr`, 'unique_subject = no\n');
    writeFileSync(`${base}.number`, '01\n');
    const settings = [
      '[ca]\ndefault_ca=this\n[this]',
      `database=${base}.index`,
      `crlnumber=${base}.number`,
      `certificate=${issuer.certificatePath}`,
      `private_key=${issuer.keyPath}`,
      'default_md=sha256',
      'default_crl_days=7',
      ...sections,
    ];
    writeFileSync(`${base}.cnf`, `${settings.join('\n')}\n`);
    return `${base}.cnf`;
  }
}
