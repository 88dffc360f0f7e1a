import { HostError } from '../../host-error.ts';
import { keysError } from '../keys-error.ts';
import { CKA, CKC_X_509, CKF, CKO_CERTIFICATE, CKO_PRIVATE_KEY, CKR, CKU_USER, nameOfResult } from './constant.ts';
import { CryptokiError, type Cryptoki, type Mechanism, type SignRequest, type TokenInfo } from './cryptoki.ts';
import type { TokenModule } from './module.ts';
import { isWrongPin, rememberRefused, withPin, type PinSource } from './pin.ts';

/** Which token: by label and, once seen, by serial number. */
export interface TokenName {
  readonly label: string;
  readonly serial: string;
}

export interface TokenCertificate {
  readonly der: Uint8Array;
  readonly label: string;
  /** CKA_ID, which the private key shares. */
  readonly id: Uint8Array;
  /** Undefined: private keys are not shown before the PIN is given. */
  readonly hasKey: boolean | undefined;
}

/** A token in a slot, with the session that holds its login. */
interface Link {
  readonly slot: number;
  readonly info: TokenInfo;
  readonly session: number;
  readonly mechanisms: ReadonlySet<number>;
  isOpen: boolean;
  readonly keys: Map<string, KeyPlace>;
}

interface KeyPlace {
  readonly handle: number;
  readonly alwaysAuthenticate: boolean;
}

/** A PIN for the next signature, of a key that wants one each time; held in memory for at most this long, milliseconds. */
const contextPinTime = 60_000;

/** One token of a module. It may be taken out and put back at any time: the next use finds it again. */
export class Token {
  readonly name: TokenName;
  readonly #module: TokenModule;
  readonly #cryptoki: Cryptoki;
  readonly #pins: PinSource;
  #link: Link | undefined;
  #contextPin: Uint8Array | null | undefined;
  #contextTimer: NodeJS.Timeout | undefined;
  /** One after another: two would ask for the PIN twice. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(module: TokenModule, name: TokenName, pins: PinSource) {
    this.#module = module;
    this.#cryptoki = module.cryptoki;
    this.name = name;
    this.#pins = pins;
  }

  /**
   * What the token shows. A PIN file that does not open it is a problem beside that: many tokens show certificates to everybody.
   * @throws {HostError} 151, 155, 156
   */
  async certificates(): Promise<{ readonly certificates: readonly TokenCertificate[]; readonly problem: HostError | undefined }> {
    return this.#inTurn(async (link) => {
      let problem: HostError | undefined;
      // A file costs nobody anything; a person is not asked merely to look.
      if (this.#pins.pinFile !== undefined) {
        await this.#login(link, { ...this.#pins, askPin: undefined }).catch((error: unknown) => {
          if (!(error instanceof HostError)) throw error;
          problem = error;
        });
      }
      const found: TokenCertificate[] = [];
      for (const handle of await this.#cryptoki.find(link.session, [
        [CKA.CLASS, CKO_CERTIFICATE],
        [CKA.CERTIFICATE_TYPE, CKC_X_509],
      ])) {
        const read = async (type: number): Promise<Uint8Array> =>
          (await this.#cryptoki.attribute(link.session, handle, type)) ?? new Uint8Array();
        const [der, label, id] = [await read(CKA.VALUE), await read(CKA.LABEL), await read(CKA.ID)];
        if (der.length === 0) continue;
        const key = await this.#keyHandle(link, id);
        const hasKey = key !== undefined || (link.isOpen ? false : undefined);
        found.push({ der, label: Buffer.from(label).toString('utf8'), id, hasKey });
      }
      return { certificates: found, problem };
    });
  }

  /** What the token can do. @throws {HostError} 151, 155, 156 */
  async mechanisms(): Promise<ReadonlySet<number>> {
    return this.#inTurn((link) => Promise.resolve(link.mechanisms));
  }

  /**
   * Makes the key with this CKA_ID ready for {@link signNow}: token there, PIN given, key found.
   * @throws {HostError} 151–157
   */
  async unlock(id: Uint8Array): Promise<void> {
    return this.#inTurn(async (link) => {
      const key = await this.#key(link, id);
      if (key.alwaysAuthenticate && this.#contextPin === undefined) await this.#takeContextPin(link);
    });
  }

  /** @throws {HostError} 151–157 */
  async sign(id: Uint8Array, mechanism: Mechanism, data: Uint8Array): Promise<Uint8Array> {
    return this.#inTurn(async (link) => {
      const { handle, alwaysAuthenticate } = await this.#key(link, id);
      const session = await this.#cryptoki.openSession(link.slot);
      try {
        const request = { session, mechanism, key: handle, data };
        if (!alwaysAuthenticate) return await this.#cryptoki.sign(request);
        const held = this.#dropContextPin();
        if (held !== undefined) return await this.#signWithHeld(link, { ...request, contextPin: held });
        let signature: Uint8Array = new Uint8Array();
        await this.#withPin(link, this.#pins, true, async (pin) => {
          signature = await this.#cryptoki.sign({ ...request, contextPin: pin });
          return true;
        });
        return signature;
      } finally {
        await this.#cryptoki.closeSession(session).catch(() => undefined);
      }
    });
  }

  /**
   * Signs on this thread, for TLS, after {@link unlock}.
   * @throws {HostError} 155, 156
   */
  signNow(id: Uint8Array, mechanism: Mechanism, data: Uint8Array): Uint8Array {
    const link = this.#link;
    const key = link?.keys.get(hexOf(id));
    if (!link || !key) throw keysError('AOV-HOST-155', `${this.#title()} is not ready: it was taken out, or its PIN is missing`);
    const contextPin = key.alwaysAuthenticate ? this.#dropContextPin() : undefined;
    try {
      const request = { mechanism, key: key.handle, data, ...(contextPin !== undefined && { contextPin }) };
      return this.#cryptoki.signNow(link.slot, request);
    } catch (error) {
      if (contextPin && isWrongPin(error)) rememberRefused(link.info, contextPin);
      if (isGone(error)) this.#forget();
      throw this.#explain(error);
    } finally {
      contextPin?.fill(0);
    }
  }

  async close(): Promise<void> {
    const link = this.#link;
    this.#forget();
    this.#dropContextPin()?.fill(0);
    // With the last session the login ends.
    if (link) await this.#cryptoki.closeSession(link.session).catch(() => undefined);
  }

  /** Runs with a link to the token. If that turns out to be stale (the token was out), once more with a new one. */
  async #inTurn<T>(run: (link: Link) => Promise<T>): Promise<T> {
    const attempt = async (): Promise<T> => {
      try {
        const isFresh = this.#link === undefined;
        const link = await this.#connect();
        try {
          if (!isFresh) await this.#cryptoki.checkSession(link.session);
          return await run(link);
        } catch (error) {
          if (!isGone(error)) throw error;
          this.#forget();
          if (isFresh) throw error;
          return await run(await this.#connect());
        }
      } catch (error) {
        if (isGone(error)) this.#forget();
        throw this.#explain(error);
      }
    };
    const next = this.#turn.then(attempt);
    this.#turn = next.catch(() => undefined);
    return next;
  }

  async #connect(): Promise<Link> {
    if (this.#link) return this.#link;
    const slot = (await this.#findSlot()) ?? (await this.#findAfresh());
    if (slot === undefined) throw keysError('AOV-HOST-151', `${this.#title()} is in no reader`);
    const info = await this.#cryptoki.tokenInfo(slot);
    const mechanisms = await this.#cryptoki.mechanisms(slot);
    const session = await this.#cryptoki.openSession(slot);
    this.#link = { slot, info, session, mechanisms, isOpen: (info.flags & CKF.LOGIN_REQUIRED) === 0, keys: new Map() };
    this.#module.live.add(this);
    return this.#link;
  }

  async #findSlot(): Promise<number | undefined> {
    for (const slot of await this.#cryptoki.slots()) {
      const info = await this.#cryptoki.tokenInfo(slot).catch(() => undefined);
      if (info && info.label === this.name.label && info.serial === this.name.serial) return slot;
    }
    return undefined;
  }

  /** Some modules see a token that came back only after a new start; that would log everybody out, so only if nobody is in. */
  async #findAfresh(): Promise<number | undefined> {
    if (this.#module.live.size > 0) return undefined;
    await this.#module.restart();
    return this.#findSlot();
  }

  async #key(link: Link, id: Uint8Array): Promise<KeyPlace> {
    await this.#login(link, this.#pins);
    const known = link.keys.get(hexOf(id));
    if (known) return known;
    const handle = await this.#keyHandle(link, id);
    if (handle === undefined) throw keysError('AOV-HOST-156', `${this.#title()} has no private key for this certificate`);
    const always = await this.#cryptoki.attribute(link.session, handle, CKA.ALWAYS_AUTHENTICATE);
    const place = { handle, alwaysAuthenticate: (always?.[0] ?? 0) !== 0 };
    link.keys.set(hexOf(id), place);
    return place;
  }

  async #keyHandle(link: Link, id: Uint8Array): Promise<number | undefined> {
    if (id.length === 0) return undefined;
    const handles = await this.#cryptoki.find(link.session, [
      [CKA.CLASS, CKO_PRIVATE_KEY],
      [CKA.ID, id],
    ]);
    return handles[0];
  }

  async #login(link: Link, pins: PinSource): Promise<void> {
    if (link.isOpen) return;
    await this.#withPin(link, pins, false, async (pin) => {
      try {
        await this.#cryptoki.login(link.session, CKU_USER, pin);
        return true;
      } catch (error) {
        // Somebody of this process is in; this PIN was not looked at.
        if (error instanceof CryptokiError && error.result === CKR.USER_ALREADY_LOGGED_IN) return false;
        throw error;
      }
    });
    link.isOpen = true;
  }

  /** Gets the PIN that the next signature needs, without using it: what is wrong with it shows when signing. */
  async #takeContextPin(link: Link): Promise<void> {
    await this.#withPin(link, this.#pins, true, (pin) => {
      this.#contextPin = pin?.slice() ?? null;
      return Promise.resolve(false);
    });
    this.#contextTimer = setTimeout(() => this.#dropContextPin()?.fill(0), contextPinTime).unref();
  }

  async #signWithHeld(link: Link, request: SignRequest & { readonly contextPin: Uint8Array | null }): Promise<Uint8Array> {
    try {
      return await this.#cryptoki.sign(request);
    } catch (error) {
      if (request.contextPin && isWrongPin(error)) rememberRefused(link.info, request.contextPin);
      throw error;
    } finally {
      request.contextPin?.fill(0);
    }
  }

  #dropContextPin(): Uint8Array | null | undefined {
    const pin = this.#contextPin;
    this.#contextPin = undefined;
    clearTimeout(this.#contextTimer);
    return pin;
  }

  async #withPin(
    link: Link,
    pins: PinSource,
    perSignature: boolean,
    use: (pin: Uint8Array | null) => Promise<boolean>,
  ): Promise<void> {
    const readFlags = async (): Promise<number> => (await this.#cryptoki.tokenInfo(link.slot)).flags;
    await withPin(link.info, this.#module.path, pins, perSignature, readFlags, use);
  }

  #forget(): void {
    this.#link = undefined;
    this.#module.live.delete(this);
  }

  #title(): string {
    return `token "${this.name.label}"`;
  }

  #explain(error: unknown): HostError | Error {
    if (!(error instanceof CryptokiError)) return error instanceof Error ? error : new Error(String(error));
    const what = `${this.#title()}: ${error.message}`;
    return isGone(error)
      ? keysError('AOV-HOST-155', `${this.#title()} was taken out or reset (${nameOfResult(error.result)})`, { cause: error })
      : keysError('AOV-HOST-156', what, { cause: error });
  }
}

const gone: readonly number[] = [
  CKR.SLOT_ID_INVALID,
  CKR.GENERAL_ERROR,
  CKR.FUNCTION_FAILED,
  CKR.DEVICE_ERROR,
  CKR.DEVICE_REMOVED,
  CKR.KEY_HANDLE_INVALID,
  CKR.OBJECT_HANDLE_INVALID,
  CKR.SESSION_CLOSED,
  CKR.SESSION_HANDLE_INVALID,
  CKR.TOKEN_NOT_PRESENT,
  CKR.TOKEN_NOT_RECOGNIZED,
  CKR.USER_NOT_LOGGED_IN,
  CKR.CRYPTOKI_NOT_INITIALIZED,
];

function isGone(error: unknown): boolean {
  return error instanceof CryptokiError && gone.includes(error.result);
}

function hexOf(octets: Uint8Array): string {
  return Buffer.from(octets).toString('hex');
}
