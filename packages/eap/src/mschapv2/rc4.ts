/**
 * RC4 (as described in RFC 6229): `data` under the key stream of `key`, in a new array. Broken as a cipher; here only because a
 * change of password in MS-CHAPv2 is defined with it (RFC 2759 §8.11), and current OpenSSL no longer has it in its default provider.
 */
export function rc4(key: Uint8Array, data: Uint8Array): Uint8Array {
  if (key.length === 0 || key.length > 256) throw new RangeError('RC4 takes a key of 1 to 256 octets');
  const box = Uint8Array.from({ length: 256 }, (_, i) => i);
  for (let i = 0, j = 0; i < 256; i++) {
    j = (j + box[i]! + key[i % key.length]!) & 0xff;
    [box[i], box[j]] = [box[j]!, box[i]!];
  }
  const out = new Uint8Array(data.length);
  for (let n = 0, i = 0, j = 0; n < data.length; n++) {
    i = (i + 1) & 0xff;
    j = (j + box[i]!) & 0xff;
    [box[i], box[j]] = [box[j]!, box[i]!];
    out[n] = data[n]! ^ box[(box[i]! + box[j]!) & 0xff]!;
  }
  box.fill(0);
  return out;
}
