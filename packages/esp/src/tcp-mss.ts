import { foldSum } from './checksum.ts';

/**
 * Lowers the MSS option of a TCP SYN that announces segments longer than the tunnel carries, and mends the checksum (RFC 1624), so that
 * forwarded connections never need ICMP to work. Anything else is left as it is.
 * @returns whether the packet was changed
 */
export function clampMss(octets: Uint8Array, at: number, length: number, mtu: number): boolean {
  const v4 = octets[at]! >>> 4 === 4;
  const ipHeader = v4 ? (octets[at]! & 15) * 4 : 40;
  if (octets[at + (v4 ? 9 : 6)] !== 6 || length < ipHeader + 20) return false;
  // A later fragment has no TCP header.
  if (v4 && ((octets[at + 6]! & 0x1f) | octets[at + 7]!) !== 0) return false;
  const tcp = at + ipHeader;
  if ((octets[tcp + 13]! & 0x02) === 0) return false;
  const end = tcp + (octets[tcp + 12]! >>> 4) * 4;
  if (end > at + length) return false;
  const limit = mtu - (v4 ? 40 : 60);
  for (let option = tcp + 20; option + 1 < end;) {
    const kind = octets[option]!;
    if (kind === 0) return false;
    if (kind === 1) {
      option++;
      continue;
    }
    const optionLength = octets[option + 1]!;
    if (optionLength < 2 || option + optionLength > end) return false;
    if (kind === 2 && optionLength === 4) {
      const mss = (octets[option + 2]! << 8) | octets[option + 3]!;
      if (mss <= limit) return false;
      octets[option + 2] = limit >>> 8;
      octets[option + 3] = limit & 0xff;
      // An option at an odd offset straddles two words of the checksum: both octets count swapped.
      const swap = (value: number): number => ((option + 2 - tcp) & 1 ? ((value & 0xff) << 8) | (value >>> 8) : value);
      const old = (octets[tcp + 16]! << 8) | octets[tcp + 17]!;
      const sum = ~foldSum((~old & 0xffff) + (~swap(mss) & 0xffff) + swap(limit)) & 0xffff;
      octets[tcp + 16] = sum >>> 8;
      octets[tcp + 17] = sum & 0xff;
      return true;
    }
    option += optionLength;
  }
  return false;
}
