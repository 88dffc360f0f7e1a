import type { KeytabPrincipal } from '@aovpn/policy';

const maxPrincipals = 256;

/**
 * The names in a keytab of MIT Kerberos, format 0x0502 (all numbers big-endian); each once. Keys are stepped over.
 * @throws {RangeError} for what is not a keytab
 */
export function readKeytab(octets: Uint8Array): readonly KeytabPrincipal[] {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  if (octets.length < 2 || view.getUint16(0) !== 0x0502) throw new RangeError('not a keytab of format 0x0502');
  const found = new Map<string, KeytabPrincipal>();
  let at = 2;
  while (at + 4 <= octets.length && found.size < maxPrincipals) {
    const size = view.getInt32(at);
    at += 4;
    // A negative size is a hole where an entry was; zero ends the file.
    if (size === 0) break;
    const length = Math.abs(size);
    if (at + length > octets.length) throw new RangeError('an entry beyond the end of the keytab');
    if (size > 0) {
      const principal = readEntry(octets.subarray(at, at + length));
      found.set(JSON.stringify(principal), principal);
    }
    at += length;
  }
  return [...found.values()];
}

function readEntry(entry: Uint8Array): KeytabPrincipal {
  const view = new DataView(entry.buffer, entry.byteOffset, entry.byteLength);
  let at = 2;
  const text = (): string => {
    const length = view.getUint16(at);
    if (at + 2 + length > entry.length) throw new RangeError('a name beyond the end of its entry');
    const said = Buffer.from(entry.buffer, entry.byteOffset + at + 2, length).toString('utf8');
    at += 2 + length;
    return said;
  };
  const count = view.getUint16(0);
  const realm = text();
  return { realm, components: Array.from({ length: count }, () => text()) };
}
