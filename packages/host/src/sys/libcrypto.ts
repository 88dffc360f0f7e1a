import koffi from 'koffi';
import './native-stack.ts';

/**
 * The EVP functions that Node itself is linked with and exports (OpenSSL 3), for the packet loop: `node:crypto` makes a new context
 * per packet, which costs five to fifteen times as much as the cipher. Pointers are plain numbers; results are OpenSSL's (1 is good).
 */
const self = koffi.load(null);

export const EVP_CTRL_AEAD_GET_TAG = 16;
export const EVP_CTRL_AEAD_SET_TAG = 17;

export const cipherContextNew = self.func('size_t EVP_CIPHER_CTX_new()') as () => number;
export const cipherContextFree = self.func('void EVP_CIPHER_CTX_free(size_t)') as (context: number) => void;
export const cipherContextCtrl = self.func('int EVP_CIPHER_CTX_ctrl(size_t, int, int, size_t)') as (
  context: number,
  type: number,
  argument: number,
  pointer: number,
) => number;
export const cipherContextSetPadding = self.func('int EVP_CIPHER_CTX_set_padding(size_t, int)') as (
  context: number,
  pad: number,
) => number;
/** `encrypt`: 1, 0, or −1 to leave it as it is. */
export const cipherInit = self.func('int EVP_CipherInit_ex(size_t, size_t, size_t, size_t, size_t, int)') as (
  context: number,
  cipher: number,
  engine: number,
  key: number,
  iv: number,
  encrypt: number,
) => number;
export const cipherUpdate = self.func('int EVP_CipherUpdate(size_t, size_t, size_t, size_t, int)') as (
  context: number,
  out: number,
  outLength: number,
  input: number,
  length: number,
) => number;
export const cipherFinal = self.func('int EVP_CipherFinal_ex(size_t, size_t, size_t)') as (
  context: number,
  out: number,
  outLength: number,
) => number;

export const hmacNew = self.func('size_t HMAC_CTX_new()') as () => number;
export const hmacFree = self.func('void HMAC_CTX_free(size_t)') as (context: number) => void;
/** With key 0 and digest 0 the context starts over with the key that it has. */
export const hmacInit = self.func('int HMAC_Init_ex(size_t, size_t, int, size_t, size_t)') as (
  context: number,
  key: number,
  keyLength: number,
  digest: number,
  engine: number,
) => number;
export const hmacUpdate = self.func('int HMAC_Update(size_t, size_t, size_t)') as (
  context: number,
  data: number,
  length: number,
) => number;
export const hmacFinal = self.func('int HMAC_Final(size_t, size_t, size_t)') as (
  context: number,
  out: number,
  outLength: number,
) => number;

export const randomBytes = self.func('int RAND_bytes(size_t, int)') as (out: number, length: number) => number;

export const ciphers = {
  'aes-128-gcm': self.func('size_t EVP_aes_128_gcm()') as () => number,
  'aes-192-gcm': self.func('size_t EVP_aes_192_gcm()') as () => number,
  'aes-256-gcm': self.func('size_t EVP_aes_256_gcm()') as () => number,
  'chacha20-poly1305': self.func('size_t EVP_chacha20_poly1305()') as () => number,
  'aes-128-cbc': self.func('size_t EVP_aes_128_cbc()') as () => number,
  'aes-192-cbc': self.func('size_t EVP_aes_192_cbc()') as () => number,
  'aes-256-cbc': self.func('size_t EVP_aes_256_cbc()') as () => number,
  'des-ede3-cbc': self.func('size_t EVP_des_ede3_cbc()') as () => number,
} as const;

export const digests = {
  sha1: self.func('size_t EVP_sha1()') as () => number,
  sha256: self.func('size_t EVP_sha256()') as () => number,
  sha384: self.func('size_t EVP_sha384()') as () => number,
  sha512: self.func('size_t EVP_sha512()') as () => number,
} as const;
