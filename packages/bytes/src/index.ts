export { compareOctets, concat, equal, wipe } from './octets.ts';
export { fromHex, toHex } from './hex.ts';
export { decodeUtf16le, decodeUtf8, encodeUtf16le, encodeUtf8 } from './text.ts';
export { Reader, TruncatedError } from './reader.ts';
export { Writer } from './writer.ts';
export {
  addressFromBytes,
  compareAddresses,
  formatAddress,
  parseAddress,
  sameAddress,
  type Endpoint,
  type IpAddress,
  type IpFamily,
} from './ip-address.ts';
export { formatPrefix, hasHostBits, networkOf, parsePrefix, prefixContains, samePrefix, type IpPrefix } from './ip-prefix.ts';
export { formatRange, intersectRanges, rangeContains, rangeFromPrefix, rangeToPrefixes, type IpRange } from './ip-range.ts';
