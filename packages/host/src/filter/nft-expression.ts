import { concat } from '@aovpn/bytes';
import { nested as nestedOctets } from '../network/nested-attribute.ts';
import { u32, type Attribute } from '../network/rtnetlink.ts';

/** Expressions of rules as the kernel takes them: <linux/netfilter/nf_tables.h>. Its numbers are in network byte order, data in that of the packet or host. */

const NLA_F_NESTED = 0x8000;
/** The register that everything goes through; 0 is the verdict. */
const register = 1;

/** What rules look up in, or compare with. */
export type Verdict =
  | { readonly kind: 'accept' | 'drop' | 'return' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string };

const verdictNumber = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;
const metaNumber = { mark: 3, iifname: 6, oifname: 7, skuid: 10, nfproto: 15, l4proto: 16 } as const;
const baseNumber = { network: 1, transport: 2 } as const;

export type MetaKey = keyof typeof metaNumber;

export function loadMeta(key: MetaKey): Attribute {
  return expression('meta', [1, number(register)], [2, number(metaNumber[key])]);
}

export function setMark(mark: number): readonly Attribute[] {
  const value = expression('immediate', [1, number(register)], nested(2, [1, u32(mark)]));
  return [value, expression('meta', [2, number(metaNumber.mark)], [3, number(register)])];
}

/** @param offset octets. @param length octets */
export function loadPayload(base: keyof typeof baseNumber, offset: number, length: number): Attribute {
  return expression('payload', [1, number(register)], [2, number(baseNumber[base])], [3, number(offset)], [4, number(length)]);
}

/** Of which kind the address is that a packet goes to (rtnetlink(7), `rtm_type`). */
export function loadDestinationKind(): Attribute {
  return expression('fib', [1, number(register)], [2, number(3)], [3, number(2)]);
}

/** A number of four octets from the host's order to that in which sets have it. */
export function toNetworkOrder(): Attribute {
  return expression('byteorder', [1, number(register)], [2, number(register)], [3, number(1)], [4, number(4)], [5, number(4)]);
}

/** Keeps these bits of what was loaded. */
export function mask(bits: Uint8Array): Attribute {
  return expression(
    'bitwise',
    [1, number(register)],
    [2, number(register)],
    [3, number(bits.length)],
    nested(4, [1, bits]),
    nested(5, [1, new Uint8Array(bits.length)]),
  );
}

export function compare(equal: boolean, value: Uint8Array): Attribute {
  return expression('cmp', [1, number(register)], [2, number(equal ? 0 : 1)], nested(3, [1, value]));
}

/** @param id of a set of the same transaction, for one without a name of its own */
export function lookUp(set: string, id?: number, inverted = false): Attribute {
  return expression(
    'lookup',
    [1, text(set)],
    [2, number(register)],
    ...(id === undefined ? [] : [[4, number(id)] as const]),
    ...(inverted ? [[5, number(1)] as const] : []),
  );
}

export function count(): Attribute {
  return expression('counter', [1, new Uint8Array(8)], [2, new Uint8Array(8)]);
}

export function decide(verdict: Verdict): Attribute {
  const chain = 'chain' in verdict ? [[2, text(verdict.chain)] as const] : [];
  return expression('immediate', [1, number(0)], nested(2, nested(2, [1, number(verdictNumber[verdict.kind])], ...chain)));
}

/** By a reset of TCP, or by ICMP of the packet's family: administratively prohibited. */
export function reject(how: 'tcp reset' | 'admin-prohibited'): Attribute {
  return expression('reject', [1, number(how === 'tcp reset' ? 1 : 2)], [2, Uint8Array.of(how === 'tcp reset' ? 0 : 3)]);
}

export function nested(type: number, ...attributes: readonly Attribute[]): Attribute {
  return [type | NLA_F_NESTED, nestedOctets(attributes)];
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(`${value}\0`);
}

/** Four octets in network byte order; a negative one as its two's complement. */
export function number(value: number): Uint8Array {
  const octets = new Uint8Array(4);
  new DataView(octets.buffer).setUint32(0, value >>> 0);
  return octets;
}

/** @param length octets, the rest zero */
export function padded(octets: Uint8Array, length: number): Uint8Array {
  return concat(octets, new Uint8Array(Math.max(0, length - octets.length)));
}

function expression(name: string, ...data: readonly Attribute[]): Attribute {
  return nested(1, [1, text(name)], nested(2, ...data));
}
