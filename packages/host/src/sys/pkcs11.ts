import koffi, { type LibraryHandle } from 'koffi';
import { addressOf } from './libc.ts';
import { readMemory } from './memory.ts';
import { hasRoomAside } from './native-stack.ts';

/**
 * A PKCS#11 module (OASIS PKCS#11 2.40) as it is: structures in memory, pointers as plain numbers, results as CK_RV. CK_ULONG has
 * 64 bits and structures are padded as C does it, which is how every module on 64-bit Linux is built.
 */
export interface CryptokiCalls {
  /** Runs the function on this thread. */
  call(name: CryptokiFunction, ...args: readonly number[]): number;
  /**
   * Runs it on a thread of libuv's pool: a smart card takes up to a second. Memory that is pointed to must be kept until then.
   * On this thread where the pool's stacks are too small.
   */
  callAside(name: CryptokiFunction, ...args: readonly number[]): Promise<number>;
}

/** Place in CK_FUNCTION_LIST (after the version), and the arguments: `u` CK_ULONG or handle, `p` pointer, `b` CK_BBOOL. */
const functions = {
  C_Initialize: [0, 'p'],
  C_Finalize: [1, 'p'],
  C_GetSlotList: [4, 'bpp'],
  C_GetTokenInfo: [6, 'up'],
  C_GetMechanismList: [7, 'upp'],
  C_OpenSession: [12, 'uuppp'],
  C_CloseSession: [13, 'u'],
  C_GetSessionInfo: [15, 'up'],
  C_Login: [18, 'uupu'],
  C_GetAttributeValue: [24, 'uupu'],
  C_FindObjectsInit: [26, 'upu'],
  C_FindObjects: [27, 'upup'],
  C_FindObjectsFinal: [28, 'u'],
  C_SignInit: [42, 'upu'],
  C_Sign: [43, 'upupp'],
} as const;

export type CryptokiFunction = keyof typeof functions;

const argumentTypes: Readonly<Record<string, string>> = { u: 'ulong', p: 'size_t', b: 'uchar' };

/** Modules stay loaded: koffi would unload one that only its functions are left of, and many cannot be unloaded at all. */
const loaded = new Map<string, { readonly library: LibraryHandle; readonly calls: CryptokiCalls }>();

type Native = ((...args: number[]) => number) & { async(...args: unknown[]): void };

/**
 * Loads a module. RTLD_DEEPBIND: modules bring an OpenSSL of their own, and must not end up in the one that Node exports.
 * @throws {Error} when it cannot be loaded or is no PKCS#11 2.x module
 */
export function loadCryptoki(path: string): CryptokiCalls {
  const known = loaded.get(path);
  if (known) return known.calls;
  const library = koffi.load(path, { deep: true });
  const calls = bindFunctions(library);
  loaded.set(path, { library, calls });
  return calls;
}

function bindFunctions(library: LibraryHandle): CryptokiCalls {
  const getFunctionList = library.func('ulong C_GetFunctionList(size_t)') as (list: number) => number;
  const out = new BigUint64Array(1);
  const result = getFunctionList(addressOf(out));
  if (result !== 0 || out[0] === 0n) throw new Error(`C_GetFunctionList failed (${result})`);
  const size = 8 * (1 + Math.max(...Object.values(functions).map(([index]) => index)) + 1);
  const list = new DataView(readMemory(Number(out[0]), size).buffer);
  if (list.getUint8(0) !== 2) throw new Error(`it is a PKCS#11 ${list.getUint8(0)}.${list.getUint8(1)} module; 2.x is needed`);
  const natives = new Map<CryptokiFunction, Native>();
  const native = (name: CryptokiFunction): Native => {
    let found = natives.get(name);
    if (!found) {
      const [index, shape] = functions[name];
      const parameters = Array.from(shape, (letter) => argumentTypes[letter]).join(', ');
      found = koffi.decode(list.getBigUint64(8 + 8 * index, true), koffi.proto(`ulong (${parameters})`)) as Native;
      natives.set(name, found);
    }
    return found;
  };
  return {
    call: (name, ...args) => native(name)(...args),
    callAside: (name, ...args) =>
      new Promise((resolve, reject) => {
        if (!hasRoomAside()) return resolve(native(name)(...args));
        native(name).async(...args, (error: unknown, value: number) => {
          if (error) reject(error instanceof Error ? error : new Error(`${name} could not be called`));
          else resolve(value);
        });
      }),
  };
}
