import { concat, decodeUtf8, encodeUtf8, Writer } from '@aovpn/bytes';
import type { Exchange, Step } from './eap-exchange.ts';
import { splice } from './mutation.ts';

type Below = (limit: number) => number;

/** Values at which lengths and types break: nothing, one, around the headers, signs, the largest. */
const interesting = [0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 16, 21, 25, 26, 33, 49, 60, 79, 127, 128, 253, 254, 255] as const;
const widths = [1, 2, 3, 4] as const;

/** One to three changes of a step's content; half of them keep the lengths around it right, so that they reach what is behind. */
export function mutateContent(exchange: Exchange, octets: Uint8Array, other: Uint8Array, below: Below): Uint8Array {
  let changed = octets;
  for (let left = below(3); left >= 0; left--) {
    changed = below(2) === 0 ? mutateInside(exchange, changed, other, below) : mutateAnywhere(changed, other, below);
  }
  return changed.subarray(0, 20_000);
}

/** Changes octets anywhere, whatever they mean. */
export function mutateAnywhere(octets: Uint8Array, other: Uint8Array, below: Below): Uint8Array {
  const changed = octets.slice();
  const at = below(octets.length + 1);
  switch (below(8)) {
    case 0:
      if (at < changed.length) changed[at]! ^= 1 << below(8);
      return changed;
    case 1:
      if (at < changed.length) changed[at] = interesting[below(interesting.length)]!;
      return changed;
    case 2:
      return pokeLength(changed, at, below);
    case 3:
      return splice(octets, at, below(20), new Uint8Array(0));
    case 4:
      return splice(
        octets,
        at,
        0,
        Uint8Array.from({ length: below(20) }, () => below(256)),
      );
    case 5:
      return splice(octets, at, octets.length, other.subarray(below(other.length + 1)));
    case 6:
      return octets.slice(0, at);
    default: {
      const from = below(octets.length + 1);
      return splice(octets, at, 0, octets.subarray(from, from + below(60)));
    }
  }
}

/** A whole EAP packet with the right length again, mostly, and the right MS-Length if it is of EAP-MSCHAPv2. */
export function mendEap(packet: Uint8Array, below: Below): Uint8Array {
  const mended = packet.slice(0, 0xffff);
  const view = new DataView(mended.buffer);
  if (mended.length >= 9 && mended[4] === 26 && below(10) < 7) view.setUint16(7, mended.length - 5);
  if (mended.length >= 4 && below(10) < 9) view.setUint16(2, mended.length);
  return mended;
}

/** The same with a wrong server: what proves that it knows the password (`all`), or only that it was inside, proves nothing any more. */
export function withoutProof(exchange: Exchange, what: 'all' | 'binding'): Exchange {
  return {
    ...exchange,
    steps: exchange.steps.map((step) => ('octets' in step ? { ...step, octets: spoil(step.octets, what) } : step)),
  };
}

function spoil(octets: Uint8Array, what: 'all' | 'binding'): Uint8Array {
  const spoiled = octets.slice();
  const zero = encodeUtf8('0')[0]!;
  // One character for each octet.
  const text = decodeUtf8(octets.map((octet) => (octet < 0x80 ? octet : 0)));
  for (const { index } of what === 'all' ? text.matchAll(/S=[0-9A-Fa-f]{40}/g) : []) spoiled.fill(zero, index + 2, index + 42);
  // Cryptobinding TLV of PEAP: 60 octets, the last 20 are the compound MAC.
  for (const { index } of text.matchAll(/\x00\x0c\x008/g)) spoiled.fill(0, index + 40, index + 60);
  return spoiled;
}

/** Sets a number of 1 to 4 octets to 0, 1, something near, or the maximum. */
function pokeLength(octets: Uint8Array, at: number, below: Below): Uint8Array {
  const width = widths[below(widths.length)]!;
  if (at + width > octets.length) return octets;
  const maximum = 2 ** (8 * width) - 1;
  let value = [0, 1, interesting[below(interesting.length)]!, octets.length, maximum][below(5)]!;
  for (let i = width - 1; i >= 0; i--, value = Math.floor(value / 256)) octets[at + i] = value % 256;
  return octets;
}

/** Changes the data of one AVP or TLV, or the MS-CHAPv2 text, with every length around it kept right. */
function mutateInside(exchange: Exchange, octets: Uint8Array, other: Uint8Array, below: Below): Uint8Array {
  if (!exchange.config.startsWith('ttls')) return mendInner(exchange, mutateAnywhere(octets, other, below));
  const avps = readAvps(octets);
  const chosen = avps[below(avps.length)];
  if (!chosen) return mutateAnywhere(octets, other, below);
  const { head, data, start, end } = chosen;
  const isEap = head.length === 8 && head[3] === 79;
  const changed = mutateAnywhere(data, other, below);
  return splice(octets, start, end - start, writeAvp(head, isEap ? mendEap(changed, below) : changed, below));
}

/** PEAP takes most packets without their header; EAP-MSCHAPv2's own length comes right again, and so do those of a whole packet. */
function mendInner(exchange: Exchange, octets: Uint8Array): Uint8Array {
  const mended = octets.slice(0, 0xffff);
  const view = new DataView(mended.buffer);
  if (!exchange.config.startsWith('peap')) return mended;
  if (mended[0] === 26 && mended.length >= 5) view.setUint16(3, mended.length - 1);
  if (mended[0] === 1 && mended.length > 5) view.setUint16(2, mended.length);
  return mended;
}

interface RawAvp {
  readonly head: Uint8Array;
  readonly data: Uint8Array;
  readonly start: number;
  readonly end: number;
}

function readAvps(octets: Uint8Array): RawAvp[] {
  const avps: RawAvp[] = [];
  const view = new DataView(octets.buffer, octets.byteOffset, octets.length);
  for (let start = 0; start + 8 <= octets.length;) {
    const header = (octets[start + 4]! & 0x80) === 0 ? 8 : 12;
    const length = view.getUint32(start + 4) & 0xffffff;
    const end = start + ((length + 3) & ~3);
    if (length < header || end > octets.length) break;
    avps.push({ head: octets.slice(start, start + header), data: octets.slice(start + header, start + length), start, end });
    start = end;
  }
  return avps;
}

/** Now and then with another flag, or for another vendor. */
function writeAvp(head: Uint8Array, data: Uint8Array, below: Below): Uint8Array {
  const flags = head[4]! ^ (below(20) === 0 ? 0x40 : 0);
  const writer = new Writer().bytes(head.subarray(0, 4)).u8(flags);
  writer.u24(head.length + data.length).bytes(head.subarray(8));
  if (head.length === 12 && below(20) === 0) writer.patchU32(8, below(1000));
  return concat(writer.bytes(data).finish(), new Uint8Array(-data.length & 3));
}

/** Leaves steps out, repeats them, swaps them, or lets another server speak. */
export function mutateOrder(steps: readonly Step[], others: readonly Step[], below: Below): Step[] {
  const changed = [...steps];
  const at = below(changed.length + 1);
  const other = others[below(others.length)]!;
  switch (below(6)) {
    case 0:
      changed.splice(at, 1);
      return changed;
    case 1:
      changed.splice(at, 0, ...changed.slice(at, at + 1 + below(3)));
      return changed;
    case 2:
      changed.splice(below(changed.length + 1), 0, ...changed.splice(at, 1));
      return changed;
    case 3:
      changed.splice(at, 0, other);
      return changed;
    case 4:
      changed.splice(at, 1, other);
      return changed;
    default:
      changed.splice(at, 0, { kind: below(3) === 0 ? 'failure' : 'success' });
      return changed;
  }
}
