import { existsSync, renameSync } from 'node:fs';
import process from 'node:process';
import type { Host } from './host.ts';
import type { Issued } from './pki/authority.ts';

const home = '/run/softhsm';

/** A PKCS#11 token in software, as a smart card would be: keys go in and never come out. */
export class SoftHsm {
  /** Where programs find the token's driver. */
  static readonly module = '/usr/lib/softhsm/libsofthsm2.so';
  readonly host: Host;
  readonly label: string;
  readonly pin: string;
  #objects = 0;

  private constructor(host: Host, label: string, pin: string) {
    this.host = host;
    this.label = label;
    this.pin = pin;
  }

  static async create(host: Host, label = 'Smart card of alice', pin = '4711'): Promise<SoftHsm> {
    const token = new SoftHsm(host, label, pin);
    host.write(`${home}/tokens/.keep`, '');
    host.write(`${home}/softhsm2.conf`, `directories.tokendir = ${home}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n`);
    await token.#run(['softhsm2-util', '--init-token', '--free', '--label', label, '--so-pin', '31415926', '--pin', pin]);
    return token;
  }

  /** For every program that shall see the token. */
  get environment(): NodeJS.ProcessEnv {
    return { ...process.env, SOFTHSM2_CONF: `${home}/softhsm2.conf` };
  }

  /** Puts a key and the certificates above it into the token. @returns the CKA_ID of both, hexadecimal */
  async put(issued: Issued, name: string): Promise<string> {
    const id = `0${++this.#objects}`;
    const file = `${home}/incoming`;
    this.host.write(`${file}.key`, issued.keyPem, 0o600);
    const token = ['--token', this.label, '--pin', this.pin, '--label', name, '--id', id];
    await this.#run(['softhsm2-util', '--import', `${file}.key`, ...token]);
    const blocks = issued.chainPem.match(/-----BEGIN[^]+?-----END CERTIFICATE-----\n/g) ?? [];
    for (const [index, block] of blocks.entries()) {
      this.host.write(`${file}.der`, Buffer.from(block.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64'));
      const labels = index === 0 ? ['--label', name, '--id', id] : ['--label', `${name} issuer ${index}`];
      const login = ['--token-label', this.label, '--login', '--pin', this.pin];
      const object = ['--write-object', `${file}.der`, '--type', 'cert', ...labels];
      await this.#run(['pkcs11-tool', '--module', SoftHsm.module, ...login, ...object]);
    }
    await this.host.run(['rm', '-f', `${file}.key`, `${file}.der`]);
    return id;
  }

  /** Pulls the card out of its reader. */
  remove(): void {
    renameSync(this.host.file(`${home}/tokens`), this.host.file(`${home}/away`));
    this.host.write(`${home}/tokens/.keep`, '');
  }

  async insert(): Promise<void> {
    if (!existsSync(this.host.file(`${home}/away`))) return;
    await this.host.exec(['rm', '-rf', `${home}/tokens`]);
    renameSync(this.host.file(`${home}/away`), this.host.file(`${home}/tokens`));
  }

  #run(argv: readonly string[]): Promise<string> {
    return this.host.exec(argv, { env: this.environment });
  }
}
