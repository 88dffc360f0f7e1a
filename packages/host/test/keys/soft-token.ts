import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import type { TestCertificate } from '../trust/test-pki.ts';

export const softModule = '/usr/lib/softhsm/libsofthsm2.so';

/** SoftHSM in a temporary directory. The module reads where that is once it is initialised, so one test file has one. */
export class SoftTokens {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'aovpn-token-'));
  readonly #tokens = path.join(this.directory, 'tokens');
  #identifier = 0;

  constructor() {
    mkdirSync(this.#tokens);
    process.env['SOFTHSM2_CONF'] = path.join(this.directory, 'softhsm2.conf');
    this.configure();
  }

  /** Takes effect when the module is initialised next. */
  configure(...lines: readonly string[]): void {
    const settings = [`directories.tokendir = ${this.#tokens}`, 'objectstore.backend = file', 'log.level = ERROR', ...lines];
    writeFileSync(path.join(this.directory, 'softhsm2.conf'), `${settings.join('\n')}\n`);
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** A fresh token; what was in it, if there was one of that label, is gone. */
  create(label: string, pin = '123456'): void {
    this.#run('softhsm2-util', '--init-token', '--free', '--label', label, '--pin', pin, '--so-pin', '87654321');
  }

  /** Puts a certificate with its key on a token. */
  add(
    label: string,
    certificate: TestCertificate,
    options: { readonly pin?: string; readonly key?: TestCertificate } = {},
  ): void {
    const pin = options.pin ?? '123456';
    const id = (++this.#identifier).toString(16).padStart(4, '0');
    const key = options.key ?? certificate;
    this.#run('softhsm2-util', '--import', key.keyPath, '--token', label, '--label', certificate.name, '--id', id, '--pin', pin);
    this.addCertificate(label, certificate, id, pin);
  }

  addCertificate(label: string, certificate: TestCertificate, id: string, pin = '123456'): void {
    const der = path.join(this.directory, `${id}.der`);
    writeFileSync(der, certificate.der);
    const object = ['--write-object', der, '--type', 'cert', '--id', id, '--label', certificate.name];
    this.#run('pkcs11-tool', '--module', softModule, '--token-label', label, '--login', '--pin', pin, ...object);
  }

  /** Takes every token out; the answer puts them back. */
  takeOut(): () => void {
    const away = path.join(this.directory, 'away');
    renameSync(this.#tokens, away);
    mkdirSync(this.#tokens);
    return () => {
      rmSync(this.#tokens, { recursive: true });
      renameSync(away, this.#tokens);
    };
  }

  file(name: string, content: string): string {
    const file = path.join(this.directory, name);
    writeFileSync(file, content, { mode: 0o600 });
    return file;
  }

  #run(command: string, ...args: readonly string[]): void {
    const result = spawnSync(command, args, { encoding: 'utf8' });
    if (result.status !== 0)
      throw new Error(`${command} ${args.join(' ')}: ${result.stderr}${result.stdout}${result.error?.message ?? ''}`);
  }
}
