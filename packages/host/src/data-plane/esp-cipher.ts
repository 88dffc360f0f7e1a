import type { EspTransform } from '@aovpn/esp';
import * as libcrypto from '../sys/libcrypto.ts';
import type { PacketMemory } from './packet-memory.ts';

const nonceLength = 12;
const blocksOfRandom = 256;

/**
 * One direction's keys in OpenSSL contexts that are made once and used for every packet. All positions are offsets in the packet
 * memory; ESP header and IV lie at `at` where the packet begins on the wire.
 */
export class EspCipher {
  readonly #memory: PacketMemory;
  readonly #scratch: CipherScratch;
  readonly #transform: EspTransform;
  readonly #cipher: number;
  readonly #hmac: number;
  /** Where the cipher's text begins in a packet. */
  readonly #textAt: number;
  readonly #salt = new Uint8Array(4);
  readonly #esn: boolean;

  /**
   * Takes the keys over: the caller's octets are overwritten.
   * @throws {Error} when OpenSSL refuses, as a FIPS build does with ChaCha20
   */
  constructor(
    memory: PacketMemory,
    scratch: CipherScratch,
    transform: EspTransform,
    keys: { readonly encryptionKey: Uint8Array; readonly integrityKey: Uint8Array },
    encrypt: boolean,
    esn: boolean,
  ) {
    this.#esn = esn;
    this.#memory = memory;
    this.#scratch = scratch;
    this.#transform = transform;
    this.#textAt = 8 + transform.ivLength;
    this.#cipher = libcrypto.cipherContextNew();
    this.#hmac = transform.digest ? libcrypto.hmacNew() : 0;
    const { key } = scratch;
    try {
      memory.octets.set(keys.encryptionKey.subarray(0, transform.keyLength), key);
      const cipher = libcrypto.ciphers[transform.cipher]();
      const good = libcrypto.cipherInit(this.#cipher, cipher, 0, memory.address(key), 0, encrypt ? 1 : 0) === 1;
      if (!good) throw new Error(`OpenSSL refuses ${transform.cipher}`);
      libcrypto.cipherContextSetPadding(this.#cipher, 0);
      if (transform.digest) {
        memory.octets.set(keys.integrityKey, key);
        const digest = libcrypto.digests[transform.digest]();
        const keyed = libcrypto.hmacInit(this.#hmac, memory.address(key), keys.integrityKey.length, digest, 0);
        if (keyed !== 1) throw new Error(`OpenSSL refuses HMAC-${transform.digest}`);
      } else {
        this.#salt.set(keys.encryptionKey.subarray(transform.keyLength, transform.keyLength + transform.saltLength));
      }
    } catch (error) {
      this.free();
      throw error;
    } finally {
      memory.octets.fill(0, key, key + keyCapacity);
      keys.encryptionKey.fill(0);
      keys.integrityKey.fill(0);
    }
  }

  /**
   * Encrypts `length` octets of padded plaintext at `from` into the packet at `at`, whose SPI and sequence number are written already, and
   * adds IV and ICV. Behind the packet, 64 octets may be overwritten.
   * @param high upper half of the sequence number; 0 without ESN
   */
  seal(at: number, from: number, length: number, high: number): boolean {
    const { ivLength, icvLength, digest } = this.#transform;
    const { octets, base } = this.#memory;
    const { outLength, nonce } = this.#scratch;
    const text = at + this.#textAt;
    if (!digest) {
      // The IV is the whole sequence number, which never repeats under a key (RFC 4106 §3.1).
      const { view } = this.#memory;
      view.setUint32(at + 8, high);
      view.setInt32(at + 12, view.getInt32(at + 4));
      this.#setNonce(at);
      return (
        libcrypto.cipherInit(this.#cipher, 0, 0, 0, base + nonce, -1) === 1 &&
        this.#authenticateHeader(at, high) &&
        libcrypto.cipherUpdate(this.#cipher, base + text, base + outLength, base + from, length) === 1 &&
        libcrypto.cipherFinal(this.#cipher, base + text + length, base + outLength) === 1 &&
        libcrypto.cipherContextCtrl(this.#cipher, libcrypto.EVP_CTRL_AEAD_GET_TAG, icvLength, base + text + length) === 1
      );
    }
    const iv = this.#scratch.randomBlock();
    octets.copyWithin(at + 8, iv, iv + ivLength);
    return (
      libcrypto.cipherInit(this.#cipher, 0, 0, 0, base + iv, -1) === 1 &&
      libcrypto.cipherUpdate(this.#cipher, base + text, base + outLength, base + from, length) === 1 &&
      libcrypto.hmacInit(this.#hmac, 0, 0, 0, 0) === 1 &&
      libcrypto.hmacUpdate(this.#hmac, base + at, this.#textAt + length) === 1 &&
      this.#hashHigh(high) &&
      libcrypto.hmacFinal(this.#hmac, base + text + length, base + outLength) === 1
    );
  }

  /** Checks and decrypts, in place, the packet of `length` octets at `at`, whose lengths fit. False: not authentic. */
  open(at: number, length: number, high: number): boolean {
    const { ivLength, icvLength, digest } = this.#transform;
    const { octets, base } = this.#memory;
    const { outLength, nonce, digest: computed } = this.#scratch;
    const text = at + this.#textAt;
    const textLength = length - this.#textAt - icvLength;
    const icv = text + textLength;
    if (!digest) {
      this.#setNonce(at);
      return (
        libcrypto.cipherInit(this.#cipher, 0, 0, 0, base + nonce, -1) === 1 &&
        this.#authenticateHeader(at, high) &&
        libcrypto.cipherUpdate(this.#cipher, base + text, base + outLength, base + text, textLength) === 1 &&
        libcrypto.cipherContextCtrl(this.#cipher, libcrypto.EVP_CTRL_AEAD_SET_TAG, icvLength, base + icv) === 1 &&
        libcrypto.cipherFinal(this.#cipher, base + icv, base + outLength) === 1
      );
    }
    const hashed =
      libcrypto.hmacInit(this.#hmac, 0, 0, 0, 0) === 1 &&
      libcrypto.hmacUpdate(this.#hmac, base + at, icv - at) === 1 &&
      this.#hashHigh(high) &&
      libcrypto.hmacFinal(this.#hmac, base + computed, base + outLength) === 1;
    // Constant time: every octet counts.
    let difference = hashed ? 0 : 1;
    for (let i = 0; i < icvLength; i++) difference |= octets[computed + i]! ^ octets[icv + i]!;
    if (difference !== 0) return false;
    const iv = this.#scratch.iv;
    octets.copyWithin(iv, at + 8, at + 8 + ivLength);
    return (
      libcrypto.cipherInit(this.#cipher, 0, 0, 0, base + iv, -1) === 1 &&
      libcrypto.cipherUpdate(this.#cipher, base + text, base + outLength, base + text, textLength) === 1
    );
  }

  /** Ends the contexts; OpenSSL overwrites the keys in them. */
  free(): void {
    libcrypto.cipherContextFree(this.#cipher);
    if (this.#hmac !== 0) libcrypto.hmacFree(this.#hmac);
    this.#salt.fill(0);
  }

  /** SPI and sequence number as additional data: eight octets as they travel, or twelve with ESN (RFC 4106 §5, RFC 7634 §2.1). */
  #authenticateHeader(at: number, high: number): boolean {
    const { view, base } = this.#memory;
    const { outLength, extended } = this.#scratch;
    if (!this.#esn) return libcrypto.cipherUpdate(this.#cipher, 0, base + outLength, base + at, 8) === 1;
    view.setInt32(extended, view.getInt32(at));
    view.setUint32(extended + 4, high);
    view.setInt32(extended + 8, view.getInt32(at + 4));
    return libcrypto.cipherUpdate(this.#cipher, 0, base + outLength, base + extended, 12) === 1;
  }

  /** With ESN the upper half is hashed behind the packet, though it does not travel (RFC 4303 §2.2.1). */
  #hashHigh(high: number): boolean {
    if (!this.#esn) return true;
    const { extended } = this.#scratch;
    this.#memory.view.setUint32(extended, high);
    return libcrypto.hmacUpdate(this.#hmac, this.#memory.base + extended, 4) === 1;
  }

  /** Nonce: salt, then the explicit IV that is in the packet (RFC 4106 §4, RFC 7634 §2). */
  #setNonce(at: number): void {
    const { octets, view } = this.#memory;
    const { nonce } = this.#scratch;
    const salt = this.#salt;
    octets[nonce] = salt[0]!;
    octets[nonce + 1] = salt[1]!;
    octets[nonce + 2] = salt[2]!;
    octets[nonce + 3] = salt[3]!;
    view.setInt32(nonce + 4, view.getInt32(at + 8));
    view.setInt32(nonce + 8, view.getInt32(at + 12));
  }
}

const keyCapacity = 64;

/** Places in the packet memory that all ciphers of a thread share, one after the other. */
export class CipherScratch {
  readonly outLength: number;
  readonly nonce: number;
  readonly key: number;
  readonly digest: number;
  readonly iv: number;
  /** SPI and whole sequence number. */
  readonly extended: number;
  readonly #memory: PacketMemory;
  readonly #random: number;
  #randomLeft = 0;

  constructor(memory: PacketMemory) {
    this.#memory = memory;
    this.outLength = memory.allocate(8);
    this.nonce = memory.allocate(nonceLength);
    this.key = memory.allocate(keyCapacity);
    this.digest = memory.allocate(64);
    this.iv = memory.allocate(16);
    this.extended = memory.allocate(16);
    this.#random = memory.allocate(blocksOfRandom * 16);
  }

  /** Sixteen unpredictable octets, used once. @throws {Error} when the random generator fails: then nothing may be sent */
  randomBlock(): number {
    if (this.#randomLeft === 0) {
      if (libcrypto.randomBytes(this.#memory.address(this.#random), blocksOfRandom * 16) !== 1)
        throw new Error('RAND_bytes failed');
      this.#randomLeft = blocksOfRandom;
    }
    return this.#random + --this.#randomLeft * 16;
  }
}
