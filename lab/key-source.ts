import type { EapStage } from './eap-stage.ts';
import type { Issued } from './pki/authority.ts';
import { SoftHsm } from './softhsm.ts';
import type { Credentials } from './stage.ts';

/** Where the private key of a user lies. */
export type KeySource = 'PEM, P-256' | 'PEM, RSA' | 'PKCS#12, RSA' | 'token, P-256' | 'token, RSA';

export const keySources: readonly KeySource[] = ['PEM, P-256', 'PEM, RSA', 'PKCS#12, RSA', 'token, P-256', 'token, RSA'];

/** Tokens of a stage: one for each kind of key, so that it is clear which certificate is meant. */
export class KeySources {
  readonly #tokens: ReadonlyMap<KeySource, SoftHsm>;

  private constructor(tokens: ReadonlyMap<KeySource, SoftHsm>) {
    this.#tokens = tokens;
  }

  static async create({ client }: EapStage['world'], issued: (key: 'p256' | 'rsa2048') => Issued): Promise<KeySources> {
    const tokens = new Map<KeySource, SoftHsm>();
    for (const [source, key] of [
      ['token, P-256', 'p256'],
      ['token, RSA', 'rsa2048'],
    ] as const) {
      const token = await SoftHsm.create(client, `alice ${key}`);
      await token.put(issued(key), 'VPN key');
      client.write(`/etc/aovpn/${key}.pin`, token.pin, 0o600);
      tokens.set(source, token);
    }
    return new KeySources(tokens);
  }

  /** For the daemon, which shall see the tokens. */
  get environment(): NodeJS.ProcessEnv {
    return this.#tokens.get('token, RSA')!.environment;
  }

  /** What lies beside a profile, and what the settings say, for a user whose key is there. */
  async speakFor(
    stage: EapStage,
    profile: string,
    source: KeySource,
  ): Promise<{ readonly credentials: Credentials; readonly settings: string }> {
    const { pki } = stage.world;
    const key = source.endsWith('RSA') ? 'rsa2048' : 'p256';
    const token = this.#tokens.get(source);
    if (token) {
      const lines = [`pkcs11-module = "${SoftHsm.module}"`, `pkcs11-token = "${token.label}"`, `pkcs11-pin-file = "${key}.pin"`];
      return { credentials: {}, settings: [`[profile."${profile}"]`, ...lines, ''].join('\n') };
    }
    const issued = pki.user(key);
    return { credentials: source.startsWith('PEM') ? stage.certificate(issued) : await stage.pkcs12(issued), settings: '' };
  }
}
