import { Reader, addressFromBytes, compareAddresses, type Writer } from '@aovpn/bytes';
import { malformed } from './malformed.ts';
import type { TrafficSelector } from './payload.ts';

/** IANA "IKEv2 Traffic Selector Types" (RFC 7296 §3.13.1). */
const addressLengths: Readonly<Record<number, number>> = { 7: 4, 8: 16 };

/** Body of a TSi or TSr payload. Selectors of other types (RFC 4595, RFC 9478) are left out, as §3.13.1 wants. @throws {MalformedError} */
export function decodeTrafficSelectors(body: Uint8Array): TrafficSelector[] {
  const reader = new Reader(body, 'TS payload');
  const count = reader.u8();
  reader.u24();
  if (count === 0) malformed('no traffic selectors');
  const selectors: TrafficSelector[] = [];
  for (let i = 0; i < count; i++) {
    const type = reader.u8();
    const protocol = reader.u8();
    const length = reader.u16();
    if (length < 4) malformed('traffic selector shorter than its header');
    const rest = reader.sub(length - 4, 'traffic selector');
    const addressLength = addressLengths[type];
    if (addressLength === undefined) continue;
    const fromPort = rest.u16();
    const toPort = rest.u16();
    const from = addressFromBytes(Uint8Array.from(rest.bytes(addressLength)));
    const to = addressFromBytes(Uint8Array.from(rest.bytes(addressLength)));
    rest.end();
    if (compareAddresses(from, to) > 0) malformed('traffic selector ends before it starts');
    // RFC 7296 §3.13.1: 65535 to 0 means OPAQUE, every other range counts up.
    if (fromPort > toPort && !(fromPort === 65535 && toPort === 0))
      malformed('ports of a traffic selector end before they start');
    selectors.push({ protocol, fromPort, toPort, from, to });
  }
  reader.end();
  return selectors;
}

export function encodeTrafficSelectors(writer: Writer, selectors: readonly TrafficSelector[]): void {
  if (selectors.length === 0 || selectors.length > 255) throw new RangeError(`${selectors.length} traffic selectors`);
  writer.u8(selectors.length).u24(0);
  for (const selector of selectors) {
    const { from, to } = selector;
    if (from.family !== to.family) throw new RangeError('a traffic selector has addresses of one family');
    writer
      .u8(from.family === 4 ? 7 : 8)
      .u8(selector.protocol)
      .u16(8 + 2 * from.bytes.length)
      .u16(selector.fromPort)
      .u16(selector.toPort)
      .bytes(from.bytes)
      .bytes(to.bytes);
  }
}
