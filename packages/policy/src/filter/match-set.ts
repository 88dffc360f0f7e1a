import { addressFromBytes, formatAddress, type IpAddress, type IpFamily, type IpRange } from '@aovpn/bytes';
import type { FilterRule } from '../plan.ts';
import { intervalOf, layerBoxes, mergeBoxes, mergeIntervals, type Box, type Edge, type Interval } from './box.ts';

type FieldName = 'local' | 'remote' | 'protocol' | 'localPort' | 'remotePort';

/** How one field of a packet is written in nftables. */
export interface MatchField {
  readonly expression: string;
  readonly type: string;
}

/** One rule of nftables: the fields, one after the other, are in the set. No fields: every packet. */
export interface MatchSet {
  readonly fields: readonly MatchField[];
  /** Elements as text; several sets instead of one when each field has its own. */
  readonly sets: readonly (readonly string[])[];
  /** `concatenated`: one set over all fields. `each`: one set for each field, all must hold. */
  readonly kind: 'concatenated' | 'each';
  readonly rules: readonly FilterRule[];
}

/** Combinations of one rule's lists beyond which it gets sets of its own instead of elements. */
const productLimit = 1024;
/** Elements of all sets together; what comes after them gets sets of its own. */
const elementLimit = 200_000;

interface Signature {
  readonly family: IpFamily | 0;
  readonly names: readonly FieldName[];
}

interface Group extends Signature {
  readonly boxes: Box[];
  readonly rules: FilterRule[];
}

/**
 * Filters as few rules: those with the same fields share one set with an element for each combination, so that the cost of a packet does
 * not grow with the number of filters. Owners do not count here. Time is n log n, whatever the filters are.
 */
export function compileMatchSets(rules: readonly FilterRule[], direction: 'out' | 'in'): readonly MatchSet[] {
  const groups = new Map<string, Group>();
  const single: MatchSet[] = [];
  let elements = 0;
  for (const rule of rules) {
    for (const family of familiesOf(rule)) {
      const signature: Signature = { family, names: fieldsOf(rule) };
      const lists = signature.names.map((name) => intervalsOf(rule, name, family));
      if (lists.some((list) => list.length === 0)) continue;
      if (lists.length === 0) return [{ fields: [], sets: [], kind: 'each', rules: [rule] }];
      const product = lists.reduce((count, list) => count * list.length, 1);
      if (product > productLimit || elements + product > elementLimit) {
        single.push(eachField(signature, lists, direction, rule));
        continue;
      }
      elements += product;
      const key = `${family} ${signature.names.join(' ')}`;
      const group = groups.get(key) ?? { ...signature, boxes: [], rules: [] };
      groups.set(key, group);
      addProduct(group.boxes, lists);
      group.rules.push(rule);
    }
  }
  const shared = [...groups.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, group]) => setsOfGroup(group, direction));
  return [...shared, ...single];
}

function setsOfGroup(group: Group, direction: 'out' | 'in'): readonly MatchSet[] {
  const { family, names, rules } = group;
  const fields = names.map((name) => fieldText(name, family, direction));
  const merged = mergeBoxes(group.boxes);
  const { layers, rest } = layerBoxes(merged);
  const toSet = (boxes: readonly Box[]): MatchSet => ({
    fields,
    sets: [boxes.map((box) => box.map((interval, i) => intervalText(interval, names[i]!, family)).join(' . '))],
    kind: 'concatenated',
    rules,
  });
  const alone = rest.map((box) =>
    eachField(
      group,
      box.map((interval) => [interval]),
      direction,
      undefined,
    ),
  );
  return [...layers.map(toSet), ...alone];
}

function eachField(
  { family, names }: Signature,
  lists: readonly (readonly Interval[])[],
  direction: 'out' | 'in',
  rule: FilterRule | undefined,
): MatchSet {
  return {
    fields: names.map((name) => fieldText(name, family, direction)),
    sets: lists.map((list, i) => list.map((interval) => intervalText(interval, names[i]!, family))),
    kind: 'each',
    rules: rule ? [rule] : [],
  };
}

function addProduct(boxes: Box[], lists: readonly (readonly Interval[])[]): void {
  let partial: Interval[][] = [[]];
  for (const list of lists) partial = partial.flatMap((box) => list.map((interval) => [...box, interval]));
  for (const box of partial) boxes.push(box);
}

function fieldsOf({ local, remote, protocol, localPorts, remotePorts }: FilterRule): readonly FieldName[] {
  const present: [FieldName, unknown][] = [
    ['local', local],
    ['remote', remote],
    ['protocol', protocol],
    ['localPort', localPorts],
    ['remotePort', remotePorts],
  ];
  return present.filter(([, value]) => value !== undefined).map(([name]) => name);
}

/** 0: a rule without addresses is about both families at once. */
function familiesOf({ local, remote }: FilterRule): readonly (IpFamily | 0)[] {
  return local || remote ? [4, 6] : [0];
}

function intervalsOf(rule: FilterRule, name: FieldName, family: IpFamily | 0): readonly Interval[] {
  switch (name) {
    case 'local':
      return addressIntervals(rule.local!, family);
    case 'remote':
      return addressIntervals(rule.remote!, family);
    case 'protocol':
      return [{ from: rule.protocol!, to: rule.protocol! }];
    case 'localPort':
      return mergeIntervals(rule.localPorts!.map(intervalOf));
    case 'remotePort':
      return mergeIntervals(rule.remotePorts!.map(intervalOf));
  }
}

function addressIntervals(ranges: readonly IpRange[], family: IpFamily | 0): readonly Interval[] {
  const own = ranges.filter(({ from }) => from.family === family);
  return mergeIntervals(own.map(({ from, to }) => ({ from: edgeOf(from), to: edgeOf(to) })));
}

function edgeOf({ family, bytes }: IpAddress): Edge {
  if (family === 4) return bytes.reduce((value, octet) => value * 256 + octet, 0);
  return bytes.reduce((value, octet) => (value << 8n) | BigInt(octet), 0n);
}

function addressOf(edge: Edge): IpAddress {
  const bytes = new Uint8Array(typeof edge === 'number' ? 4 : 16);
  let rest = BigInt(edge);
  for (let i = bytes.length - 1; i >= 0; i--, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  return addressFromBytes(bytes);
}

function fieldText(name: FieldName, family: IpFamily | 0, direction: 'out' | 'in'): MatchField {
  const ip = family === 4 ? 'ip' : 'ip6';
  // The local side is the source of what goes out and the destination of what comes in.
  const source = (name === 'local' || name === 'localPort') === (direction === 'out');
  switch (name) {
    case 'local':
    case 'remote':
      return { expression: `${ip} ${source ? 'saddr' : 'daddr'}`, type: family === 4 ? 'ipv4_addr' : 'ipv6_addr' };
    case 'protocol':
      return { expression: 'meta l4proto', type: 'inet_proto' };
    case 'localPort':
    case 'remotePort':
      return { expression: `th ${source ? 'sport' : 'dport'}`, type: 'inet_service' };
  }
}

function intervalText({ from, to }: Interval, name: FieldName, family: IpFamily | 0): string {
  if (name !== 'local' && name !== 'remote') return from === to ? String(from) : `${from}-${to}`;
  const first = formatAddress(addressOf(from));
  if (from === to) return first;
  const length = prefixLength(BigInt(from), BigInt(to), family === 4 ? 32 : 128);
  return length === undefined ? `${first}-${formatAddress(addressOf(to))}` : `${first}/${length}`;
}

/** Undefined unless the interval is exactly one prefix. */
function prefixLength(from: bigint, to: bigint, width: number): number | undefined {
  const size = to - from + 1n;
  if ((size & (size - 1n)) !== 0n || from % size !== 0n) return undefined;
  return width - (size.toString(2).length - 1);
}
