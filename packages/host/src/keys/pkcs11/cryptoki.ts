import { addressOf } from '../../sys/libc.ts';
import type { CryptokiCalls, CryptokiFunction } from '../../sys/pkcs11.ts';
import { CKF_OS_LOCKING_OK, CKF_SERIAL_SESSION, CKR, nameOfResult } from './constant.ts';

/** What a token says of itself (CK_TOKEN_INFO). */
export interface TokenInfo {
  readonly label: string;
  readonly serial: string;
  readonly model: string;
  /** {@link CKF}. */
  readonly flags: number;
}

export interface Mechanism {
  readonly type: number;
  /** CK_RSA_PKCS_PSS_PARAMS. */
  readonly pss?: { readonly hash: number; readonly mgf: number; readonly length: number };
}

export interface SignRequest {
  readonly session: number;
  readonly mechanism: Mechanism;
  readonly key: number;
  readonly data: Uint8Array;
  /** For keys with CKA_ALWAYS_AUTHENTICATE: the PIN, or null for a reader with its own keys. */
  readonly contextPin?: Uint8Array | null;
}

/** A PKCS#11 call that has failed. */
export class CryptokiError extends Error {
  override readonly name = 'CryptokiError';
  /** CK_RV. */
  readonly result: number;

  constructor(call: string, result: number) {
    super(`${call}: ${nameOfResult(result)}`);
    this.result = result;
  }
}

/** PKCS#11 in our words: every function throws a {@link CryptokiError}. Tokens are told apart by slot. */
export interface Cryptoki {
  initialize(): Promise<void>;
  finalize(): Promise<void>;
  /** Slots with a token in it. */
  slots(): Promise<readonly number[]>;
  tokenInfo(slot: number): Promise<TokenInfo>;
  mechanisms(slot: number): Promise<ReadonlySet<number>>;
  openSession(slot: number): Promise<number>;
  closeSession(session: number): Promise<void>;
  /** Fails when the session is gone. */
  checkSession(session: number): Promise<void>;
  /** `pin` null: the reader asks for it. */
  login(session: number, userType: number, pin: Uint8Array | null): Promise<void>;
  /** Handles of the objects that have all of these attributes. */
  find(session: number, template: readonly (readonly [type: number, value: number | Uint8Array])[]): Promise<readonly number[]>;
  /** Undefined where the object has no such attribute or does not show it. */
  attribute(session: number, object: number, type: number): Promise<Uint8Array | undefined>;
  sign(request: SignRequest): Promise<Uint8Array>;
  /** The same on this thread, for TLS, which cannot wait for a promise; opens and closes a session of its own. */
  signNow(slot: number, request: Omit<SignRequest, 'session'>): Uint8Array;
}

const slotLimit = 64;
const objectLimit = 256;
const attributeLimit = 0x10000;
/** Octets of the largest signature: RSA with 16384 bits. */
const signatureLimit = 2048;
const unavailable = 0xffff_ffff_ffff_ffffn;

/** A real module. Calls on threads aside come one after another; a module without locks is only ever called on our own thread. */
export function createCryptoki(calls: CryptokiCalls): Cryptoki {
  return new NativeCryptoki(calls);
}

class NativeCryptoki implements Cryptoki {
  readonly #calls: CryptokiCalls;
  #hasLocks = true;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(calls: CryptokiCalls) {
    this.#calls = calls;
  }

  async initialize(): Promise<void> {
    const settings = new BigUint64Array([0n, 0n, 0n, 0n, BigInt(CKF_OS_LOCKING_OK), 0n]);
    let result = this.#calls.call('C_Initialize', addressOf(settings));
    if (result === CKR.CANT_LOCK) {
      this.#hasLocks = false;
      result = this.#calls.call('C_Initialize', 0);
    }
    settings.fill(0n);
    if (result !== CKR.OK && result !== CKR.CRYPTOKI_ALREADY_INITIALIZED) throw new CryptokiError('C_Initialize', result);
  }

  async finalize(): Promise<void> {
    await this.#do('C_Finalize', [], 0);
  }

  async slots(): Promise<readonly number[]> {
    // The first call, for the number alone, is when many modules look for new readers and tokens.
    const count = new BigUint64Array(1);
    await this.#do('C_GetSlotList', [count], 1, 0, addressOf(count));
    const slots = new BigUint64Array(slotLimit);
    count[0] = BigInt(slotLimit);
    await this.#do('C_GetSlotList', [slots, count], 1, addressOf(slots), addressOf(count));
    return [...slots.subarray(0, Number(count[0]))].map(Number);
  }

  async tokenInfo(slot: number): Promise<TokenInfo> {
    const info = new Uint8Array(256);
    await this.#do('C_GetTokenInfo', [info], slot, addressOf(info));
    const text = (start: number, end: number): string => Buffer.from(info.subarray(start, end)).toString('utf8').trimEnd();
    const flags = Number(new DataView(info.buffer).getBigUint64(96, true));
    return { label: text(0, 32), model: text(64, 80), serial: text(80, 96), flags };
  }

  async mechanisms(slot: number): Promise<ReadonlySet<number>> {
    const count = new BigUint64Array(1);
    await this.#do('C_GetMechanismList', [count], slot, 0, addressOf(count));
    const types = new BigUint64Array(Math.min(Number(count[0]), 4096));
    count[0] = BigInt(types.length);
    await this.#do('C_GetMechanismList', [types, count], slot, addressOf(types), addressOf(count));
    return new Set([...types.subarray(0, Number(count[0]))].map(Number));
  }

  async openSession(slot: number): Promise<number> {
    const session = new BigUint64Array(1);
    await this.#do('C_OpenSession', [session], slot, CKF_SERIAL_SESSION, 0, 0, addressOf(session));
    return Number(session[0]);
  }

  async closeSession(session: number): Promise<void> {
    await this.#do('C_CloseSession', [], session);
  }

  async checkSession(session: number): Promise<void> {
    const info = new Uint8Array(32);
    await this.#do('C_GetSessionInfo', [info], session, addressOf(info));
  }

  async login(session: number, userType: number, pin: Uint8Array | null): Promise<void> {
    const copy = pin?.slice();
    try {
      await this.#do('C_Login', [copy], session, userType, copy ? addressOf(copy) : 0, copy?.length ?? 0);
    } finally {
      copy?.fill(0);
    }
  }

  async find(session: number, template: readonly (readonly [number, number | Uint8Array])[]): Promise<readonly number[]> {
    const values = template.map(([, value]) => (typeof value === 'number' ? new BigUint64Array([BigInt(value)]) : value.slice()));
    const attributes = new BigUint64Array(
      template.flatMap(([type], i) => [BigInt(type), BigInt(addressOf(values[i]!)), BigInt(values[i]!.byteLength)]),
    );
    await this.#do('C_FindObjectsInit', [values, attributes], session, addressOf(attributes), template.length);
    try {
      const handles = new BigUint64Array(objectLimit);
      const count = new BigUint64Array(1);
      await this.#do('C_FindObjects', [handles, count], session, addressOf(handles), objectLimit, addressOf(count));
      return [...handles.subarray(0, Number(count[0]))].map(Number);
    } finally {
      await this.#do('C_FindObjectsFinal', [], session);
    }
  }

  async attribute(session: number, object: number, type: number): Promise<Uint8Array | undefined> {
    const attribute = new BigUint64Array([BigInt(type), 0n, 0n]);
    const get = async (keep: unknown): Promise<boolean> => {
      const result = await this.#run('C_GetAttributeValue', [attribute, keep], session, object, addressOf(attribute), 1);
      if (result === CKR.ATTRIBUTE_TYPE_INVALID || result === CKR.ATTRIBUTE_SENSITIVE) return false;
      if (result !== CKR.OK) throw new CryptokiError('C_GetAttributeValue', result);
      return attribute[2] !== unavailable;
    };
    if (!(await get(undefined)) || attribute[2]! > BigInt(attributeLimit)) return undefined;
    const value = new Uint8Array(Number(attribute[2]));
    if (value.length === 0) return value;
    attribute[1] = BigInt(addressOf(value));
    return (await get(value)) ? value.subarray(0, Number(attribute[2])) : undefined;
  }

  async sign(request: SignRequest): Promise<Uint8Array> {
    const { session, key, data, contextPin } = request;
    const [mechanism, keep] = writeMechanism(request.mechanism);
    await this.#do('C_SignInit', [mechanism, keep], session, addressOf(mechanism), key);
    if (contextPin !== undefined) await this.login(session, 2, contextPin);
    const input = data.slice();
    const signature = new Uint8Array(signatureLimit);
    const length = new BigUint64Array([BigInt(signatureLimit)]);
    const places = [addressOf(input), input.length, addressOf(signature), addressOf(length)];
    await this.#do('C_Sign', [input, signature, length], session, ...places);
    return signature.slice(0, Number(length[0]));
  }

  signNow(slot: number, { mechanism: wanted, key, data, contextPin }: Omit<SignRequest, 'session'>): Uint8Array {
    const must = (name: CryptokiFunction, ...args: number[]): void => {
      const result = this.#calls.call(name, ...args);
      if (result !== CKR.OK) throw new CryptokiError(name, result);
    };
    const handle = new BigUint64Array(1);
    must('C_OpenSession', slot, CKF_SERIAL_SESSION, 0, 0, addressOf(handle));
    const session = Number(handle[0]);
    const [mechanism, keep] = writeMechanism(wanted);
    const pin = contextPin?.slice();
    const input = data.slice();
    try {
      must('C_SignInit', session, addressOf(mechanism), key);
      if (contextPin !== undefined) must('C_Login', session, 2, pin ? addressOf(pin) : 0, pin?.length ?? 0);
      const signature = new Uint8Array(signatureLimit);
      const length = new BigUint64Array([BigInt(signatureLimit)]);
      must('C_Sign', session, addressOf(input), input.length, addressOf(signature), addressOf(length));
      return signature.slice(0, Number(length[0]));
    } finally {
      // Being used here is also what keeps each until the calls are over: the module has their addresses only.
      pin?.fill(0);
      input.fill(0);
      mechanism.fill(0n);
      keep?.fill(0n);
      this.#calls.call('C_CloseSession', session);
    }
  }

  async #do(name: CryptokiFunction, keep: readonly unknown[], ...args: number[]): Promise<void> {
    const result = await this.#run(name, keep, ...args);
    if (result !== CKR.OK) throw new CryptokiError(name, result);
  }

  /** `keep`: memory that the arguments point to; being referenced here is what keeps it until the call is over. */
  #run(name: CryptokiFunction, keep: readonly unknown[], ...args: number[]): Promise<number> {
    const run = async (): Promise<number> => {
      const result = this.#hasLocks ? await this.#calls.callAside(name, ...args) : this.#calls.call(name, ...args);
      return keep.length >= 0 ? result : 0;
    };
    const next = this.#queue.then(run);
    this.#queue = next.catch(() => undefined);
    return next;
  }
}

/** CK_MECHANISM, and what it points to. */
function writeMechanism({ type, pss }: Mechanism): readonly [BigUint64Array, BigUint64Array | undefined] {
  const parameter = pss && new BigUint64Array([BigInt(pss.hash), BigInt(pss.mgf), BigInt(pss.length)]);
  const place = parameter ? [BigInt(addressOf(parameter)), BigInt(parameter.byteLength)] : [0n, 0n];
  return [new BigUint64Array([BigInt(type), ...place]), parameter];
}
