import type { ExportedSecret } from '@aovpn/api';

type IkeKeys = Extract<ExportedSecret, { readonly kind: 'ike-keys' }>;
type EspKeys = Extract<ExportedSecret, { readonly kind: 'esp-keys' }>;

/** Algorithms as Wireshark's preferences call them, by their IKEv2 numbers. */
const ikeCiphers: Readonly<Record<string, string>> = {
  '3/192': '3DES [RFC2451]',
  '12/128': 'AES-CBC-128 [RFC3602]',
  '12/192': 'AES-CBC-192 [RFC3602]',
  '12/256': 'AES-CBC-256 [RFC3602]',
  '20/128': 'AES-GCM-128 with 16 octet ICV [RFC5282]',
  '20/192': 'AES-GCM-192 with 16 octet ICV [RFC5282]',
  '20/256': 'AES-GCM-256 with 16 octet ICV [RFC5282]',
};
const ikeIntegrity: Readonly<Record<number, string>> = {
  0: 'NONE [RFC4306]',
  2: 'HMAC_SHA1_96 [RFC2404]',
  12: 'HMAC_SHA2_256_128 [RFC4868]',
  13: 'HMAC_SHA2_384_192 [RFC4868]',
  14: 'HMAC_SHA2_512_256 [RFC4868]',
};
const espCiphers: Readonly<Record<number, string>> = {
  3: 'TripleDES-CBC [RFC2451]',
  12: 'AES-CBC [RFC3602]',
  20: 'AES-GCM with 16 octet ICV [RFC4106]',
  28: 'ChaCha20 with Poly1305 [RFC7634]',
};
const espIntegrity: Readonly<Record<number, string>> = {
  0: 'NULL',
  2: 'HMAC-SHA-1-96 [RFC2404]',
  12: 'HMAC-SHA-256-128 [RFC4868]',
  13: 'HMAC-SHA-384-192 [RFC4868]',
  14: 'HMAC-SHA-512-256 [RFC4868]',
};

/** A line of Wireshark's `ikev2_decryption_table`; undefined for what Wireshark cannot decrypt. */
export function ikeTableLine({ spiI, spiR, encr, keyBits, integ, skEi, skEr, skAi, skAr }: IkeKeys): string | undefined {
  const cipher = ikeCiphers[`${encr}/${keyBits}`];
  const integrity = ikeIntegrity[integ];
  if (cipher === undefined || integrity === undefined) return undefined;
  return `${spiI},${spiR},${skEi},${skEr},"${cipher}",${integ === 0 ? '' : skAi},${integ === 0 ? '' : skAr},"${integrity}"\n`;
}

/** A line of Wireshark's `esp_sa`; undefined for what Wireshark cannot decrypt. */
export function espTableLine({
  family,
  source,
  destination,
  spi,
  encr,
  integ,
  encryptionKey,
  integrityKey,
}: EspKeys): string | undefined {
  const cipher = espCiphers[encr];
  const integrity = espIntegrity[integ];
  if (cipher === undefined || integrity === undefined) return undefined;
  const fields = [
    `IPv${family}`,
    source,
    destination,
    `0x${spi.toString(16).padStart(8, '0')}`,
    cipher,
    `0x${encryptionKey}`,
    integrity,
    integrityKey === '' ? '' : `0x${integrityKey}`,
  ];
  return `${fields.map((field) => `"${field}"`).join(',')}\n`;
}
