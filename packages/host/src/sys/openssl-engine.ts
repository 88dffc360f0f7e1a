import { threadId } from 'node:worker_threads';
import koffi from 'koffi';
import { addressOf } from './libc.ts';
import { readMemory, writeMemory } from './memory.ts';

/**
 * Private keys that lie elsewhere, for `node:tls`: an OpenSSL ENGINE (see docs/adr/0006) in Node's own OpenSSL whose keys have a public
 * half only, and ask us for every signature. Signing is synchronous, on the thread that runs TLS.
 */
export interface ForeignKey {
  /**
   * RSA with the private exponent. `pkcs1`: `input` is a DigestInfo, to be padded by RFC 8017 §9.2; `none`: as long as the
   * modulus, and padded already. Throws when it cannot.
   */
  rsaPrivate?(input: Uint8Array, padding: 'pkcs1' | 'none'): Uint8Array;
  /** An ECDSA signature over this digest, DER. Throws when it cannot. */
  ecdsaSign?(digest: Uint8Array): Uint8Array;
}

const self = koffi.load(null);

const engineNew = self.func('size_t ENGINE_new()') as () => number;
const engineSetId = self.func('int ENGINE_set_id(size_t, size_t)') as (engine: number, id: number) => number;
const engineSetName = self.func('int ENGINE_set_name(size_t, size_t)') as (engine: number, name: number) => number;
const engineAdd = self.func('int ENGINE_add(size_t)') as (engine: number) => number;
const LoadKey = koffi.proto('size_t (size_t engine, const char *id, size_t ui, size_t data)');
const engineSetLoadKey = self.func('ENGINE_set_load_privkey_function', 'int', ['size_t', koffi.pointer(LoadKey)]) as (
  engine: number,
  callback: unknown,
) => number;

const readPublicKey = self.func('size_t d2i_PUBKEY(size_t, size_t, long)') as (
  out: number,
  place: number,
  length: number,
) => number;
const keyNew = self.func('size_t EVP_PKEY_new()') as () => number;
const keyFree = self.func('void EVP_PKEY_free(size_t)') as (key: number) => void;
const keyUpRef = self.func('int EVP_PKEY_up_ref(size_t)') as (key: number) => number;
const keyGetRsa = self.func('size_t EVP_PKEY_get1_RSA(size_t)') as (key: number) => number;
const keySetRsa = self.func('int EVP_PKEY_set1_RSA(size_t, size_t)') as (key: number, rsa: number) => number;
const keyGetEc = self.func('size_t EVP_PKEY_get1_EC_KEY(size_t)') as (key: number) => number;
const keySetEc = self.func('int EVP_PKEY_set1_EC_KEY(size_t, size_t)') as (key: number, ec: number) => number;

const rsaDefault = self.func('size_t RSA_PKCS1_OpenSSL()') as () => number;
const rsaMethodDup = self.func('size_t RSA_meth_dup(size_t)') as (method: number) => number;
const RsaPrivate = koffi.proto('int (int length, size_t from, size_t to, size_t rsa, int padding)');
const rsaMethodSetPrivate = self.func('RSA_meth_set_priv_enc', 'int', ['size_t', koffi.pointer(RsaPrivate)]) as (
  method: number,
  callback: unknown,
) => number;
const rsaSetMethod = self.func('int RSA_set_method(size_t, size_t)') as (rsa: number, method: number) => number;
const rsaSize = self.func('int RSA_size(size_t)') as (rsa: number) => number;

const rsaFree = self.func('void RSA_free(size_t)') as (rsa: number) => void;
const ecFree = self.func('void EC_KEY_free(size_t)') as (ec: number) => void;

const ecDefault = self.func('size_t EC_KEY_OpenSSL()') as () => number;
const ecMethodNew = self.func('size_t EC_KEY_METHOD_new(size_t)') as (method: number) => number;
const ecMethodGetSign = self.func('void EC_KEY_METHOD_get_sign(size_t, size_t, size_t, size_t)') as (
  method: number,
  sign: number,
  setup: number,
  signSig: number,
) => void;
const EcSign = koffi.proto(
  'int (int type, size_t digest, int length, size_t out, size_t outLength, size_t kinv, size_t r, size_t ec)',
);
const ecMethodSetSign = self.func('EC_KEY_METHOD_set_sign', 'void', ['size_t', koffi.pointer(EcSign), 'size_t', 'size_t']) as (
  method: number,
  sign: unknown,
  setup: number,
  signSig: number,
) => void;
const ecSetMethod = self.func('int EC_KEY_set_method(size_t, size_t)') as (ec: number, method: number) => number;
const ecSize = self.func('int ECDSA_size(size_t)') as (ec: number) => number;

/** RSA_PKCS1_PADDING and RSA_NO_PADDING. */
const paddings: Readonly<Record<number, 'pkcs1' | 'none'>> = { 1: 'pkcs1', 3: 'none' };

interface Registered {
  readonly identifier: string;
  readonly key: ForeignKey;
  /** EVP_PKEY. */
  readonly native: number;
  /** Its RSA or EC_KEY, which lives at least as long as this, so that it can be told by its address. */
  readonly inner: number;
}

const byOwner = new WeakMap<object, Registered>();
const byIdentifier = new Map<string, Registered>();
const byNative = new Map<number, Registered>();
/** A TLS context that outlives the owner keeps what is native, and cannot sign any more. */
const abandoned = new FinalizationRegistry<Registered>(({ identifier, native, inner }) => {
  byIdentifier.delete(identifier);
  byNative.delete(inner);
  keyFree(native);
});
let count = 0;
/** Memory that OpenSSL points to for ever. */
const forever: Uint8Array[] = [];
let engineName: string | undefined;
let rsaMethod = 0;
let ecMethod = 0;

/**
 * Makes a key known for as long as its owner is not collected; once for each owner, however many have the same public key. `key` must not
 * refer to the owner.
 * @returns what `node:tls` wants
 * @throws {Error} when OpenSSL does not take it
 */
export function registerForeignKey(
  owner: object,
  spki: Uint8Array,
  key: ForeignKey,
): { readonly privateKeyEngine: string; readonly privateKeyIdentifier: string } {
  engineName ??= openEngine();
  let registered = byOwner.get(owner);
  if (!registered) {
    registered = makeNative(String(++count), spki, key);
    byOwner.set(owner, registered);
    byIdentifier.set(registered.identifier, registered);
    byNative.set(registered.inner, registered);
    abandoned.register(owner, registered);
  }
  return { privateKeyEngine: engineName, privateKeyIdentifier: registered.identifier };
}

/** Keys that are known now. */
export function foreignKeyCount(): number {
  return byIdentifier.size;
}

function makeNative(identifier: string, spki: Uint8Array, key: ForeignKey): Registered {
  const der = Uint8Array.from(spki);
  const place = new BigUint64Array([BigInt(addressOf(der))]);
  const publicKey = readPublicKey(0, addressOf(place), der.length);
  if (publicKey === 0) throw new Error('OpenSSL cannot read the public key');
  const native = keyNew();
  const inner = key.rsaPrivate ? keyGetRsa(publicKey) : keyGetEc(publicKey);
  try {
    const isSet =
      inner !== 0 &&
      (key.rsaPrivate
        ? rsaSetMethod(inner, rsaMethod) === 1 && keySetRsa(native, inner) === 1
        : ecSetMethod(inner, ecMethod) === 1 && keySetEc(native, inner) === 1);
    if (!isSet) {
      keyFree(native);
      throw new Error('OpenSSL does not take the key');
    }
    return { identifier, key, native, inner };
  } finally {
    // Each of the EVP_PKEYs has a reference of its own.
    if (key.rsaPrivate) rsaFree(inner);
    else ecFree(inner);
    keyFree(publicKey);
  }
}

function openEngine(): string {
  // One for each thread that has its own JavaScript: the list of engines is the process's.
  const name = `aovpn-${threadId}`;
  const engine = engineNew();
  const callback = koffi.register(loadKey, koffi.pointer(LoadKey));
  const isGood =
    engineSetId(engine, lasting(name)) === 1 &&
    engineSetName(engine, lasting('keys of aovpn')) === 1 &&
    engineSetLoadKey(engine, callback) === 1 &&
    engineAdd(engine) === 1;
  if (!isGood) throw new Error('OpenSSL takes no engine');
  rsaMethod = rsaMethodDup(rsaDefault());
  rsaMethodSetPrivate(rsaMethod, koffi.register(rsaPrivate, koffi.pointer(RsaPrivate)));
  ecMethod = ecMethodNew(ecDefault());
  const own = new BigUint64Array(3);
  ecMethodGetSign(ecMethod, addressOf(own), addressOf(own) + 8, addressOf(own) + 16);
  ecMethodSetSign(ecMethod, koffi.register(ecSign, koffi.pointer(EcSign)), Number(own[1]), Number(own[2]));
  return name;
}

// The three below are called by OpenSSL: an exception must not get out, and 0 or less means failure.

function loadKey(_engine: number, identifier: string): number {
  const native = byIdentifier.get(identifier)?.native ?? 0;
  return native !== 0 && keyUpRef(native) === 1 ? native : 0;
}

function rsaPrivate(length: number, from: number, to: number, rsa: number, padding: number): number {
  try {
    const kind = paddings[padding];
    const key = byNative.get(rsa)?.key;
    if (!key?.rsaPrivate || kind === undefined) return -1;
    const output = key.rsaPrivate(readMemory(from, length), kind);
    if (output.length !== rsaSize(rsa)) return -1;
    writeMemory(to, output);
    return output.length;
  } catch {
    return -1;
  }
}

function ecSign(
  _type: number,
  digest: number,
  length: number,
  out: number,
  outLength: number,
  _kinv: number,
  _r: number,
  ec: number,
): number {
  try {
    const signature = byNative.get(ec)?.key.ecdsaSign?.(readMemory(digest, length));
    if (!signature || signature.length > ecSize(ec)) return 0;
    writeMemory(out, signature);
    writeMemory(outLength, new Uint8Array(new Uint32Array([signature.length]).buffer));
    return 1;
  } catch {
    return 0;
  }
}

function lasting(text: string): number {
  const octets = new Uint8Array(Buffer.from(`${text}\0`));
  forever.push(octets);
  return addressOf(octets);
}
