import { generateKeyPairSync, sign } from 'node:crypto';
import { CKF, CKR } from '../../src/keys/pkcs11/constant.ts';
import { CryptokiError, type Cryptoki, type SignRequest, type TokenInfo } from '../../src/keys/pkcs11/cryptoki.ts';
import type { TokenModule } from '../../src/keys/pkcs11/module.ts';

/** A card as cards are: it counts wrong PINs, locks itself, and forgets who was logged in when it is taken out. SoftHSM does none of it. */
export class FakeCard implements Cryptoki {
  readonly name = { label: 'fake card', serial: '4711' };
  readonly #key = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  readonly pin = '1234';
  tries = 3;
  isIn = true;
  alwaysAuthenticate = false;
  hasPinPad = false;
  mechanismTypes: ReadonlySet<number> = new Set([1, 3, 0xd, 0x1041]);
  /** What reached the card: PINs in the clear, null from its own keys. */
  readonly pinsTried: (string | null)[] = [];
  restarts = 0;
  /** Result of the next calls, once each, by function. */
  readonly failing = new Map<keyof Cryptoki, number[]>();
  #isLoggedIn = false;
  #sessions = new Set<number>();
  #next = 1;

  get module(): TokenModule {
    const live = new Set<object>();
    const restart = (): Promise<void> => {
      this.restarts++;
      return Promise.resolve();
    };
    return { path: '/fake.so', cryptoki: this, live, restart, release: () => Promise.resolve() };
  }

  takeOut(): void {
    this.isIn = false;
    this.#isLoggedIn = false;
    this.#sessions.clear();
  }

  initialize(): Promise<void> {
    return Promise.resolve();
  }

  finalize(): Promise<void> {
    return Promise.resolve();
  }

  async slots(): Promise<readonly number[]> {
    this.#fail('slots');
    return Promise.resolve(this.isIn ? [0] : []);
  }

  async tokenInfo(): Promise<TokenInfo> {
    this.#present();
    const flags =
      CKF.LOGIN_REQUIRED |
      CKF.TOKEN_INITIALIZED |
      (this.tries < 3 ? CKF.USER_PIN_COUNT_LOW : 0) |
      (this.tries === 1 ? CKF.USER_PIN_FINAL_TRY : 0) |
      (this.tries === 0 ? CKF.USER_PIN_LOCKED : 0) |
      (this.hasPinPad ? CKF.PROTECTED_AUTHENTICATION_PATH : 0);
    return Promise.resolve({ ...this.name, model: 'fake', flags });
  }

  async mechanisms(): Promise<ReadonlySet<number>> {
    return Promise.resolve(this.mechanismTypes);
  }

  async openSession(): Promise<number> {
    this.#present();
    this.#sessions.add(this.#next);
    return Promise.resolve(this.#next++);
  }

  async closeSession(session: number): Promise<void> {
    this.#sessions.delete(session);
    return Promise.resolve();
  }

  async checkSession(session: number): Promise<void> {
    this.#check(session);
    return Promise.resolve();
  }

  async login(session: number, _userType: number, pin: Uint8Array | null): Promise<void> {
    this.#check(session);
    this.#tryPin(pin);
    this.#isLoggedIn = true;
    return Promise.resolve();
  }

  async find(session: number): Promise<readonly number[]> {
    this.#check(session);
    return Promise.resolve(this.#isLoggedIn ? [77] : []);
  }

  async attribute(session: number, _object: number, type: number): Promise<Uint8Array | undefined> {
    this.#check(session);
    return Promise.resolve(type === 0x202 ? Uint8Array.of(this.alwaysAuthenticate ? 1 : 0) : undefined);
  }

  async sign(request: SignRequest): Promise<Uint8Array> {
    this.#check(request.session);
    this.#fail('sign');
    return Promise.resolve(this.signNow(0, request));
  }

  signNow(_slot: number, { data, contextPin }: Omit<SignRequest, 'session'>): Uint8Array {
    this.#present();
    if (!this.#isLoggedIn) throw new CryptokiError('C_SignInit', CKR.USER_NOT_LOGGED_IN);
    if (this.alwaysAuthenticate) {
      if (contextPin === undefined) throw new CryptokiError('C_Sign', CKR.USER_NOT_LOGGED_IN);
      this.#tryPin(contextPin);
    }
    return new Uint8Array(sign('sha256', data, { key: this.#key.privateKey, dsaEncoding: 'ieee-p1363' }));
  }

  #tryPin(pin: Uint8Array | null): void {
    const text = pin && Buffer.from(pin).toString();
    this.pinsTried.push(text);
    if (this.tries === 0) throw new CryptokiError('C_Login', CKR.PIN_LOCKED);
    if (pin === null || text === this.pin) {
      this.tries = 3;
      return;
    }
    this.tries--;
    throw new CryptokiError('C_Login', this.tries === 0 ? CKR.PIN_LOCKED : CKR.PIN_INCORRECT);
  }

  #present(): void {
    if (!this.isIn) throw new CryptokiError('C_OpenSession', CKR.TOKEN_NOT_PRESENT);
  }

  #check(session: number): void {
    if (!this.isIn) throw new CryptokiError('C_GetSessionInfo', CKR.DEVICE_REMOVED);
    if (!this.#sessions.has(session)) throw new CryptokiError('C_GetSessionInfo', CKR.SESSION_HANDLE_INVALID);
  }

  #fail(name: keyof Cryptoki): void {
    const result = this.failing.get(name)?.shift();
    if (result !== undefined) throw new CryptokiError(name, result);
  }
}
