import { compareAddresses, parseAddress, parsePrefix, rangeFromPrefix, type IpRange } from '@aovpn/bytes';

/** Reads an address, a prefix (host bits do not count) or `a-b`; undefined if it is none, or ends before it begins. */
export function parseAddressRange(text: string): IpRange | undefined {
  const dash = text.indexOf('-');
  if (dash < 0) {
    const prefix = parsePrefix(text);
    return prefix && rangeFromPrefix(prefix);
  }
  const from = parseAddress(text.slice(0, dash).trim());
  const to = parseAddress(text.slice(dash + 1).trim());
  return from && to && from.family === to.family && compareAddresses(from, to) <= 0 ? { from, to } : undefined;
}
