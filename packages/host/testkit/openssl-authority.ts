import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface AuthorityFiles {
  readonly certificatePem: string;
  readonly keyPem: string;
  /** Certificates between it and its root, and the root, if it is none. */
  readonly chainPem?: string;
}

/** Issues certificates for requests with `openssl ca`, which checks that the request is signed by its key and takes its names over: an encoder that is not ours. */
export class OpensslAuthority {
  readonly #directory: string;
  readonly #files: AuthorityFiles;
  #turn: Promise<unknown> = Promise.resolve();

  /** @param below where its files are, in a directory of their own, until it is disposed of */
  constructor(files: AuthorityFiles, below = tmpdir()) {
    this.#directory = mkdtempSync(path.join(below, 'aovpn-ca-'));
    this.#files = files;
    const at = (name: string): string => path.join(this.#directory, name);
    writeFileSync(at('ca.pem'), files.certificatePem);
    writeFileSync(at('ca.key'), files.keyPem, { mode: 0o600 });
    writeFileSync(at('all.pem'), files.certificatePem + (files.chainPem ?? ''));
    writeFileSync(at('index'), '');
    writeFileSync(at('index.attr'), 'unique_subject = no\n');
    writeFileSync(at('serial'), `4${randomBytes(9).toString('hex').slice(1)}\n`);
    writeFileSync(
      at('ca.cnf'),
      [
        '[ca]\ndefault_ca = here\n[here]',
        `database = ${at('index')}\nserial = ${at('serial')}\nnew_certs_dir = ${this.#directory}`,
        `certificate = ${at('ca.pem')}\nprivate_key = ${at('ca.key')}`,
        'default_md = sha256\npolicy = any\ncopy_extensions = copy\nx509_extensions = leaf\nunique_subject = no\nemail_in_dn = yes\npreserve = yes',
        '[any]\ncommonName = optional\norganizationName = optional\norganizationalUnitName = optional\ncountryName = optional',
        '[leaf]\nbasicConstraints = critical,CA:false\nextendedKeyUsage = clientAuth\n',
      ].join('\n'),
    );
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** @param request DER @param seconds until it ends, from now on; it began as long ago @returns PEM @throws when openssl refuses the request */
  async issue(request: Uint8Array, seconds: number): Promise<string> {
    const mine = this.#turn.then(() => this.#issue(request, seconds));
    this.#turn = mine.catch(() => {});
    return await mine;
  }

  /** Certificates in PEM as PKCS#7 without signers, DER. */
  async certsOnly(pem: string): Promise<Uint8Array> {
    const file = path.join(this.#directory, `${randomBytes(6).toString('hex')}.pem`);
    writeFileSync(file, pem);
    return await this.#der(['crl2pkcs7', '-nocrl', '-certfile', file, '-outform', 'DER']);
  }

  /** All certificates of the authority, as PKCS#7. */
  async authorities(): Promise<Uint8Array> {
    return await this.certsOnly(this.#files.certificatePem + (this.#files.chainPem ?? ''));
  }

  async #issue(request: Uint8Array, seconds: number): Promise<string> {
    const base = path.join(this.#directory, randomBytes(6).toString('hex'));
    writeFileSync(`${base}.csr`, `-----BEGIN CERTIFICATE REQUEST-----\n${lines(request)}\n-----END CERTIFICATE REQUEST-----\n`);
    const time = (milliseconds: number): string => new Date(milliseconds).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
    const now = Date.now();
    const dates = ['-startdate', time(now - 1000), '-enddate', time(now + seconds * 1000)];
    const files = ['-config', path.join(this.#directory, 'ca.cnf'), '-in', `${base}.csr`, '-out', `${base}.crt`];
    await run('openssl', ['ca', '-batch', '-notext', ...files, ...dates]);
    return readFileSync(`${base}.crt`, 'utf8');
  }

  async #der(args: readonly string[]): Promise<Uint8Array> {
    const { stdout } = await run('openssl', [...args], { encoding: 'buffer' });
    return new Uint8Array(stdout);
  }
}

/** Base64 in lines, as PEM has it. */
export function lines(octets: Uint8Array): string {
  return Buffer.from(octets).toString('base64').replaceAll(/.{64}/g, '$&\n').trimEnd();
}
