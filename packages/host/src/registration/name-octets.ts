import { formatAddress, type IpAddress } from '@aovpn/bytes';

/** A name that `normaliseDomain` accepts (lower case, no dot at the end; empty for the root) as it stands in a message, uncompressed. */
export function encodeName(name: string): Uint8Array {
  const labels = name === '' ? [] : name.split('.');
  return Uint8Array.from([...labels.flatMap((label) => [label.length, ...Buffer.from(label, 'latin1')]), 0]);
}

/** The name under which an address has its PTR record: RFC 1035 §3.5 (in-addr.arpa), RFC 3596 §2.5 (ip6.arpa). */
export function reverseName(address: IpAddress): string {
  if (address.family === 4) return `${formatAddress(address).split('.').toReversed().join('.')}.in-addr.arpa`;
  const nibbles = [...address.bytes].flatMap((octet) => [octet >> 4, octet & 0x0f]).toReversed();
  return `${nibbles.map((nibble) => nibble.toString(16)).join('.')}.ip6.arpa`;
}

/**
 * Reads a name with its compression pointers (RFC 1035 §4.1.4), in lower case.
 * @returns undefined when there is none at that place
 */
export function decodeName(message: Uint8Array, at: number): { readonly name: string; readonly end: number } | undefined {
  const labels: string[] = [];
  let end: number | undefined;
  let before = at;
  for (let length = 0; ;) {
    const octet = message[at];
    if (octet === undefined) return undefined;
    if (octet === 0) return { name: labels.join('.').toLowerCase(), end: end ?? at + 1 };
    if (octet >= 0xc0) {
      const target = ((octet & 0x3f) << 8) | (message[at + 1] ?? 0);
      end ??= at + 2;
      // Backwards only, so that it ends.
      if (target >= before) return undefined;
      before = target;
      at = target;
      continue;
    }
    length += octet + 1;
    if (octet > 63 || length > 254 || at + octet >= message.length) return undefined;
    labels.push(Buffer.from(message.subarray(at + 1, at + 1 + octet)).toString('latin1'));
    at += octet + 1;
  }
}
