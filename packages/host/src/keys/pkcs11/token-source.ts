import { CertificateError, parseCertificate } from '../../trust/certificate.ts';
import { asHostError } from '../file-source.ts';
import type { Findings, FoundCertificate, KeySource, KeySourceProblem } from '../key-source.ts';
import { keysError } from '../keys-error.ts';
import { CKF } from './constant.ts';
import { acquireModule, type TokenModule } from './module.ts';
import type { AskPin } from './pin.ts';
import { Token, type TokenName } from './token.ts';
import { tokenKey } from './token-key.ts';

type Pkcs11Source = Extract<KeySource, { kind: 'pkcs11' }>;

/** The tokens of one PKCS#11 source. Each keeps its login until the source is closed. */
export class TokenSource {
  readonly #source: Pkcs11Source;
  readonly #askPin: AskPin | undefined;
  readonly #tokens = new Map<string, Token>();
  #module: Promise<TokenModule> | undefined;

  constructor(source: Pkcs11Source, askPin: AskPin | undefined) {
    this.#source = source;
    this.#askPin = askPin;
  }

  async look(): Promise<Findings> {
    const found: FoundCertificate[] = [];
    const problems: KeySourceProblem[] = [];
    const name = this.#source.token === undefined ? `module ${this.#source.module}` : `token "${this.#source.token}"`;
    try {
      // The promise is kept: two who look at once must not take the module twice and let go of it once.
      this.#module ??= acquireModule(this.#source.module);
      const module = await this.#module.catch((error: unknown) => {
        this.#module = undefined;
        throw error;
      });
      const names = await this.#names(module);
      if (names.length === 0) throw keysError('AOV-HOST-151', `${name} is in no reader`);
      for (const tokenName of names) {
        const token = this.#token(module, tokenName);
        try {
          const { found: certificates, problem } = await this.#lookAt(token);
          found.push(...certificates);
          if (problem) problems.push({ source: `token "${tokenName.label}"`, error: problem });
        } catch (error) {
          problems.push({ source: `token "${tokenName.label}"`, error: asHostError(error) });
        }
      }
    } catch (error) {
      problems.push({ source: name, error: asHostError(error) });
    }
    return { found, others: [], problems };
  }

  async close(): Promise<void> {
    for (const token of this.#tokens.values()) await token.close();
    this.#tokens.clear();
    const module = this.#module;
    this.#module = undefined;
    await module?.then(
      (taken) => taken.release(),
      () => undefined,
    );
  }

  async #lookAt(token: Token): Promise<{ found: FoundCertificate[]; problem: KeySourceProblem['error'] | undefined }> {
    const { certificates, problem } = await token.certificates();
    const found: FoundCertificate[] = [];
    for (const { der, label, id, hasKey } of certificates) {
      if (this.#source.object !== undefined && label !== this.#source.object) continue;
      const source = `token "${token.name.label}", object "${label}"`;
      let certificate: FoundCertificate['certificate'];
      try {
        certificate = parseCertificate(der);
      } catch (error) {
        if (!(error instanceof CertificateError)) throw error;
        continue;
      }
      // Before the PIN is given, a certificate that has an identifier and is no authority's is taken to have its key there.
      const seems = hasKey ?? (id.length > 0 && certificate.basicConstraints?.ca !== true);
      const openKey = async (): Promise<ReturnType<typeof tokenKey>> =>
        tokenKey(token, id, certificate, await token.mechanisms(), source);
      found.push({ certificate, source, onToken: true, hasKey: seems, openKey });
    }
    return { found, problem };
  }

  async #names(module: TokenModule): Promise<readonly TokenName[]> {
    const list = async (): Promise<TokenName[]> => {
      const names: TokenName[] = [];
      for (const slot of await module.cryptoki.slots()) {
        // A token that is being put in or taken out is as good as not there.
        const info = await module.cryptoki.tokenInfo(slot).catch(() => undefined);
        if (!info || (info.flags & CKF.TOKEN_INITIALIZED) === 0) continue;
        if (this.#source.token === undefined || this.#source.token === info.label) names.push(info);
      }
      return names;
    };
    const names = await list().catch(() => []);
    if (names.length > 0 || module.live.size > 0) return names;
    await module.restart();
    return list();
  }

  #token(module: TokenModule, { label, serial }: TokenName): Token {
    const key = JSON.stringify([label, serial]);
    const known = this.#tokens.get(key);
    if (known) return known;
    const token = new Token(module, { label, serial }, { pinFile: this.#source.pinFile, askPin: this.#askPin });
    this.#tokens.set(key, token);
    return token;
  }
}
