import { createHmac, randomBytes } from 'node:crypto';
import { keysError } from '../keys-error.ts';
import { readSecretFile } from '../secret-file.ts';
import { CKF, CKR } from './constant.ts';
import { CryptokiError, type TokenInfo } from './cryptoki.ts';

/** What a person sees who is asked for a PIN. */
export interface PinQuestion {
  /** The token's label and serial number, as it says itself. */
  readonly label: string;
  readonly serial: string;
  readonly module: string;
  /** The PIN of before was wrong. */
  readonly retry: boolean;
  /** A wrong PIN has been given since the last right one. */
  readonly countLow: boolean;
  /** One more wrong PIN locks the token. */
  readonly finalTry: boolean;
  /** The key wants the PIN for every signature. */
  readonly perSignature: boolean;
}

/** Undefined: nobody answers. The octets are overwritten after use. */
export type AskPin = (question: PinQuestion) => Promise<Uint8Array | undefined>;

export interface PinSource {
  readonly pinFile: string | undefined;
  readonly askPin: AskPin | undefined;
}

/** How often a person is asked before we give up. */
const askLimit = 3;

/**
 * PINs that tokens have refused, as keyed digests, for as long as the process lives: none is tried twice, whoever brings it and by
 * whichever module, since three wrong ones lock a card.
 */
const refused = new Map<string, Set<string>>();
const digestKey = randomBytes(32);
/** The newest try of each token. Several tunnels may come with the same wrong PIN at once: each hears first of the one before. */
const tries = new Map<string, Promise<unknown>>();

/**
 * Gets a PIN and has it used, until one is right.
 * @param use logs in; its {@link CryptokiError} says whether the PIN was wrong. Answers whether the PIN has been shown to be right
 * @throws {HostError} 152, 153, 154, 157, and what `use` throws
 */
export async function withPin(
  token: TokenInfo,
  module: string,
  source: PinSource,
  perSignature: boolean,
  readFlags: () => Promise<number>,
  use: (pin: Uint8Array | null) => Promise<boolean>,
): Promise<void> {
  const name = `token "${token.label}"`;
  const locked = (cause?: unknown): Error => keysError('AOV-HOST-153', `the PIN of ${name} is locked`, { cause });
  let flags = await readFlags();
  if ((flags & CKF.USER_PIN_LOCKED) !== 0) throw locked();
  /** true: not wrong; false: wrong, and told so. */
  const tryPin = async (pin: Uint8Array | null): Promise<boolean> => {
    try {
      if ((await use(pin)) && pin) refused.delete(keyOf(token));
      return true;
    } catch (error) {
      if (!(error instanceof CryptokiError)) throw error;
      if (error.result === CKR.PIN_LOCKED) throw locked(error);
      if (!isWrongPin(error)) throw error;
      if (pin) rememberRefused(token, pin);
      flags = await readFlags();
      return false;
    }
  };

  if ((flags & CKF.PROTECTED_AUTHENTICATION_PATH) !== 0) {
    if (await tryPin(null)) return;
    throw keysError('AOV-HOST-152', `${name} refused the PIN given at its reader`);
  }
  let retry = false;
  let fileProblem: Error | undefined;
  if (source.pinFile !== undefined) {
    const file = source.pinFile;
    const pin = await readSecretFile(file);
    try {
      fileProblem = await inTurn(token, async () => {
        if (wasRefused(token, pin))
          return keysError('AOV-HOST-157', `the PIN in ${file} was refused by ${name} before, and is not tried again`);
        flags = await readFlags();
        // A program must not be what locks somebody's card.
        if ((flags & CKF.USER_PIN_FINAL_TRY) !== 0)
          return keysError('AOV-HOST-157', `one more wrong PIN locks ${name}, so the one in ${file} is not tried`);
        if (await tryPin(pin)) return undefined;
        retry = true;
        return keysError('AOV-HOST-152', `${name} refused the PIN in ${file}`);
      });
    } finally {
      pin.fill(0);
    }
    if (!fileProblem) return;
  }
  for (let asked = 0; source.askPin && asked < askLimit; asked++) {
    if ((flags & CKF.USER_PIN_LOCKED) !== 0) throw locked();
    const pin = await source.askPin({
      label: token.label,
      serial: token.serial,
      module,
      retry,
      countLow: (flags & CKF.USER_PIN_COUNT_LOW) !== 0,
      finalTry: (flags & CKF.USER_PIN_FINAL_TRY) !== 0,
      perSignature,
    });
    if (!pin) break;
    try {
      // The same wrong one again costs an answer, not one of the card's few tries.
      if (await inTurn(token, async () => !wasRefused(token, pin) && (await tryPin(pin)))) return;
    } finally {
      pin.fill(0);
    }
    retry = true;
  }
  if ((flags & CKF.USER_PIN_LOCKED) !== 0) throw locked();
  if (fileProblem) throw fileProblem;
  if (retry) throw keysError('AOV-HOST-152', `${name} refused the PIN`);
  throw keysError('AOV-HOST-154', `${name} wants a PIN, and nobody gave one`);
}

/** Whether a token says that the PIN is wrong. */
export function isWrongPin(error: unknown): boolean {
  if (!(error instanceof CryptokiError)) return false;
  return [CKR.PIN_INCORRECT, CKR.PIN_INVALID, CKR.PIN_LEN_RANGE].some((wrong) => wrong === error.result);
}

/** For a PIN that was tried elsewhere. */
export function rememberRefused(token: TokenInfo, pin: Uint8Array): void {
  const key = keyOf(token);
  const digests = refused.get(key) ?? new Set();
  digests.add(digest(token, pin));
  refused.set(key, digests);
}

async function inTurn<T>(token: TokenInfo, attempt: () => Promise<T>): Promise<T> {
  const key = keyOf(token);
  const next = (tries.get(key) ?? Promise.resolve()).then(attempt);
  tries.set(
    key,
    next.catch(() => undefined),
  );
  return next;
}

function keyOf({ label, serial, model }: TokenInfo): string {
  return JSON.stringify([label, serial, model]);
}

function digest(token: TokenInfo, pin: Uint8Array): string {
  return createHmac('sha256', digestKey).update(keyOf(token)).update('\0').update(pin).digest('hex');
}

function wasRefused(token: TokenInfo, pin: Uint8Array): boolean {
  return refused.get(keyOf(token))?.has(digest(token, pin)) === true;
}
