import { createCipheriv, createHash } from 'node:crypto';
import { concat, encodeUtf16le, encodeUtf8 } from '@aovpn/bytes';

/** The authenticator's side of EAP-MSCHAPv2 (RFC 2759, RFC 3079, draft-kamath-pppext-eap-mschapv2), written apart from the peer's. */
export class MsChapServer {
  readonly #user: string;
  readonly #password: string;
  readonly #challenge: Uint8Array;
  msk: Uint8Array | undefined;

  constructor(user: string, password: string, challenge: Uint8Array) {
    this.#user = user;
    this.#password = password;
    this.#challenge = challenge;
  }

  /** The next EAP packet for the peer's last one; undefined begins. */
  answer(response: Uint8Array | undefined): Uint8Array {
    if (!response) return eap(1, 1, Uint8Array.of(1));
    const [, identifier = 0, , , type, code] = response;
    if (type === 1) {
      const name = encodeUtf8('gateway');
      const length = 5 + this.#challenge.length + name.length;
      return eap(1, 2, concat(Uint8Array.of(26, 1, 2, 0, length, 16), this.#challenge, name));
    }
    if (type === 26 && code === 2) return this.#verify(response, identifier);
    if (type === 26 && code === 3 && this.msk) return eap(3, identifier, new Uint8Array(0));
    return eap(4, identifier, new Uint8Array(0));
  }

  #verify(response: Uint8Array, identifier: number): Uint8Array {
    const peerChallenge = response.subarray(10, 26);
    const ntResponse = response.subarray(34, 58);
    const hash = sha1(peerChallenge, this.#challenge, encodeUtf8(this.#user)).subarray(0, 8);
    const passwordHash = md4(encodeUtf16le(this.#password));
    const padded = concat(passwordHash, new Uint8Array(5));
    const expected = concat(...[0, 7, 14].map((at) => des(padded.subarray(at, at + 7), hash)));
    if (Buffer.compare(expected, ntResponse) !== 0) {
      const text = encodeUtf8(`E=691 R=0 C=${Buffer.from(this.#challenge).toString('hex').toUpperCase()} V=3 M=no`);
      return eap(1, identifier + 1, concat(Uint8Array.of(26, 4, identifier, 0, 4 + text.length), text));
    }
    const hashHash = md4(passwordHash);
    const digest = sha1(hashHash, ntResponse, encodeUtf8('Magic server to client signing constant'));
    const auth = sha1(digest, hash, encodeUtf8('Pad to make it do more than one iteration'));
    const master = sha1(hashHash, ntResponse, encodeUtf8('This is the MPPE Master Key')).subarray(0, 16);
    // RFC 3079 §3.4: the server's receive key is the peer's send key.
    const client = 'On the client side, this is the send key; on the server side, it is the receive key.';
    const server = 'On the client side, this is the receive key; on the server side, it is the send key.';
    const pad1 = new Uint8Array(40);
    const pad2 = new Uint8Array(40).fill(0xf2);
    const key = (magic: string): Uint8Array => sha1(master, pad1, encodeUtf8(magic), pad2).subarray(0, 16);
    this.msk = concat(key(client), key(server), new Uint8Array(32));
    const text = encodeUtf8(`S=${Buffer.from(auth).toString('hex').toUpperCase()} M=ok`);
    return eap(1, identifier + 1, concat(Uint8Array.of(26, 3, identifier, 0, 4 + text.length), text));
  }
}

export function eap(code: number, identifier: number, rest: Uint8Array): Uint8Array {
  const length = 4 + rest.length;
  return concat(Uint8Array.of(code, identifier, length >> 8, length & 0xff), rest);
}

function sha1(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha1');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

/** DES as triple DES with one key three times: OpenSSL 3 has no plain DES by default. */
function des(key7: Uint8Array, block: Uint8Array): Uint8Array {
  const bits = [...key7].map((octet) => octet.toString(2).padStart(8, '0')).join('');
  const key = Uint8Array.from({ length: 8 }, (_, i) => Number.parseInt(bits.slice(i * 7, i * 7 + 7), 2) << 1);
  const cipher = createCipheriv('des-ede3-ecb', concat(key, key, key), null).setAutoPadding(false);
  return new Uint8Array(Buffer.concat([cipher.update(block), cipher.final()]));
}

/** RFC 1320. */
function md4(message: Uint8Array): Uint8Array {
  const padded = new Uint8Array(((message.length + 8) >> 6) * 64 + 64);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, message.length * 8, true);
  let [a, b, c, d] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
  const rotate = (x: number, n: number): number => (x << n) | (x >>> (32 - n));
  for (let at = 0; at < padded.length; at += 64) {
    const x = Array.from({ length: 16 }, (_, i) => view.getUint32(at + i * 4, true));
    const before = [a, b, c, d] as const;
    const rounds = [
      { order: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], shifts: [3, 7, 11, 19], add: 0 },
      { order: [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15], shifts: [3, 5, 9, 13], add: 0x5a827999 },
      { order: [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15], shifts: [3, 9, 11, 15], add: 0x6ed9eba1 },
    ];
    for (const [round, { order, shifts, add }] of rounds.entries()) {
      for (let i = 0; i < 16; i++) {
        const f = round === 0 ? (b & c) | (~b & d) : round === 1 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
        const next = rotate((a + f + x[order[i]!]! + add) | 0, shifts[i % 4]!);
        [a, b, c, d] = [d, next, b, c];
      }
    }
    a = (a + before[0]) | 0;
    b = (b + before[1]) | 0;
    c = (c + before[2]) | 0;
    d = (d + before[3]) | 0;
  }
  const digest = new Uint8Array(16);
  for (const [i, word] of [a, b, c, d].entries()) new DataView(digest.buffer).setInt32(i * 4, word, true);
  return digest;
}
