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
 * PINs that tokens have refused, as keyed digests, for as long as the process lives: none is tried twice, whoever brings it, since
 * three wrong ones lock a card.
 */
const refused = new Map<string, Set<string>>();
const digestKey = randomBytes(32);

/**
 * Gets a PIN and has it used, until one is right.
 * @param use logs in; its {@link CryptokiError} says whether the PIN was wrong
 * @throws {HostError} 152, 153, 154, 157, and what `use` throws
 */
export async function withPin(
  token: TokenInfo,
  module: string,
  source: PinSource,
  perSignature: boolean,
  readFlags: () => Promise<number>,
  use: (pin: Uint8Array | null) => Promise<void>,
): Promise<void> {
  const name = `token "${token.label}"`;
  const locked = (cause?: unknown): Error => keysError('AOV-HOST-153', `the PIN of ${name} is locked`, { cause });
  let flags = await readFlags();
  if ((flags & CKF.USER_PIN_LOCKED) !== 0) throw locked();
  /** true: right; false: wrong, and told so. */
  const tryPin = async (pin: Uint8Array | null): Promise<boolean> => {
    try {
      await use(pin);
      if (pin) refused.delete(keyOf(token, module));
      return true;
    } catch (error) {
      if (!(error instanceof CryptokiError)) throw error;
      if (error.result === CKR.PIN_LOCKED) throw locked(error);
      if (![CKR.PIN_INCORRECT, CKR.PIN_INVALID, CKR.PIN_LEN_RANGE].some((wrong) => wrong === error.result)) throw error;
      if (pin) rememberRefused(token, module, pin);
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
    const pin = await readSecretFile(source.pinFile);
    try {
      if (wasRefused(token, module, pin)) {
        fileProblem = keysError(
          'AOV-HOST-157',
          `the PIN in ${source.pinFile} was refused by ${name} before, and is not tried again`,
        );
      } else if ((flags & CKF.USER_PIN_FINAL_TRY) !== 0) {
        // A program must not be what locks somebody's card.
        fileProblem = keysError('AOV-HOST-157', `one more wrong PIN locks ${name}, so the one in ${source.pinFile} is not tried`);
      } else if (await tryPin(pin)) {
        return;
      } else {
        retry = true;
        fileProblem = keysError('AOV-HOST-152', `${name} refused the PIN in ${source.pinFile}`);
      }
    } finally {
      pin.fill(0);
    }
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
      if (!wasRefused(token, module, pin) && (await tryPin(pin))) return;
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

function keyOf({ label, serial }: TokenInfo, module: string): string {
  return JSON.stringify([module, label, serial]);
}

function digest(token: TokenInfo, module: string, pin: Uint8Array): string {
  return createHmac('sha256', digestKey).update(keyOf(token, module)).update('\0').update(pin).digest('hex');
}

function wasRefused(token: TokenInfo, module: string, pin: Uint8Array): boolean {
  return refused.get(keyOf(token, module))?.has(digest(token, module, pin)) === true;
}

/** For a PIN that was tried elsewhere. */
export function rememberRefused(token: TokenInfo, module: string, pin: Uint8Array): void {
  const key = keyOf(token, module);
  const digests = refused.get(key) ?? new Set();
  digests.add(digest(token, module, pin));
  refused.set(key, digests);
}
