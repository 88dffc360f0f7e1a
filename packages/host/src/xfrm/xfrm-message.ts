import { addressFromBytes, type IpAddress, type IpFamily } from '@aovpn/bytes';
import { constant, littleEndian } from '../sys/index.ts';
import { decodeAttributes, u32, viewOf, type Attribute } from '../network/rtnetlink.ts';
import { readTag, stateTagAttributes, tagAttribute, type TunnelTag } from './tunnel-tag.ts';
import * as nl from './xfrm-number.ts';

/** Messages of the kernel's IPsec (<linux/xfrm.h>) as values: fixed parts by their offsets, attributes behind them. */

/** What is said to the kernel, without header. */
export interface XfrmRequest {
  readonly type: number;
  /** Beyond REQUEST and ACK. */
  readonly flags: number;
  readonly fixed: Uint8Array;
  readonly attributes: readonly Attribute[];
}

export interface StateAddress {
  readonly destination: IpAddress;
  readonly spi: number;
  readonly tag: TunnelTag | undefined;
}

/** Both ends of an SA and their UDP ports. */
export interface StateEnds {
  readonly source: IpAddress;
  readonly sourcePort: number;
  readonly destination: IpAddress;
  readonly destinationPort: number;
}

export interface NewState extends StateEnds {
  readonly spi: number;
  readonly tag: TunnelTag;
  /** Of outer packets; 0 for none. Inbound states have none. */
  readonly mark: number;
  /** Whether outer packets show the DSCP of inner ones; ECN is the kernel's own affair. */
  readonly copyDscp: boolean;
  readonly esn: boolean;
  /** Octets and packets after which the kernel tells; undefined: never. */
  readonly softBytes: number | undefined;
  readonly softPackets: number | undefined;
  /** {@link algorithmAttributes}, or what the kernel said of another state. */
  readonly algorithms: readonly Attribute[];
  /** `struct xfrm_replay_state_esn`: {@link replayState}, or what the kernel said of another state. */
  readonly replay: Uint8Array;
  /** `struct xfrm_lifetime_cur` of the state that this one replaces. */
  readonly used?: Uint8Array;
}

/** What the kernel says of a state. */
export interface KernelState extends StateAddress {
  readonly bytes: number;
  readonly packets: number;
  /** Seconds of the clock on the wall; 0 for never. */
  readonly lastUsed: number;
  readonly replayed: number;
  readonly unauthentic: number;
  readonly attributes: ReadonlyMap<number, Uint8Array>;
  /** `struct xfrm_lifetime_cur`. */
  readonly used: Uint8Array;
}

const stateLength = 224;
const stateIdLength = 24;
const policyLength = 168;
const policyIdLength = 64;
const templateLength = 64;
const selectorLength = 56;
const at = { id: 56, source: 80, lifetime: 96, used: 160, stats: 192, family: 212, mode: 214, flags: 216 } as const;

/** Our own choice, and the most that the kernel takes. */
const kernelReplayWindow = 4096;
const replayHeader = 24;

/** A window that has seen nothing yet; `struct xfrm_replay_state_esn` is used without ESN too, for windows beyond 32. */
export function replayState(): Uint8Array {
  const octets = new Uint8Array(replayHeader + kernelReplayWindow / 8);
  const view = viewOf(octets);
  view.setUint32(0, kernelReplayWindow / 32, littleEndian);
  view.setUint32(20, kernelReplayWindow, littleEndian);
  return octets;
}

/** The last number that was sent, and that was received. */
export function sequencesOf(replay: Uint8Array | undefined): { readonly sent: number; readonly received: number } {
  if (!replay || replay.length < replayHeader) return { sent: 0, received: 0 };
  const word = (offset: number): number => viewOf(replay).getUint32(offset, littleEndian);
  return { sent: word(12) * 2 ** 32 + word(4), received: word(16) * 2 ** 32 + word(8) };
}

/** A new SA: tunnel mode, ESP in UDP (RFC 3948), carrying both families, found by the tunnel's tag alone. */
export function newState(state: NewState): XfrmRequest {
  const fixed = new Uint8Array(stateLength);
  const view = viewOf(fixed);
  const { family } = state.destination;
  fixed.set(state.destination.bytes, at.id);
  view.setUint32(at.id + 16, state.spi);
  fixed[at.id + 20] = nl.IPPROTO_ESP;
  fixed.set(state.source.bytes, at.source);
  setLifetime(view, at.lifetime, state.softBytes, state.softPackets);
  view.setUint16(at.family, familyNumber(family), littleEndian);
  fixed[at.mode] = nl.XFRM_MODE_TUNNEL;
  // With a selector of no family a tunnel carries both.
  fixed[at.flags] = nl.XFRM_STATE_AF_UNSPEC | (state.esn ? nl.XFRM_STATE_ESN : 0);
  const encapsulation = new Uint8Array(24);
  const ports = viewOf(encapsulation);
  ports.setUint16(0, constant.UDP_ENCAP_ESPINUDP, littleEndian);
  ports.setUint16(2, state.sourcePort);
  ports.setUint16(4, state.destinationPort);
  const attributes: Attribute[] = [
    ...state.algorithms,
    [nl.XFRMA_ENCAP, encapsulation],
    [nl.XFRMA_REPLAY_ESN_VAL, state.replay],
    tagAttribute(state.tag),
  ];
  if (!state.copyDscp) attributes.push([nl.XFRMA_SA_EXTRA_FLAGS, u32(nl.XFRM_SA_XFLAG_DONT_ENCAP_DSCP)]);
  if (state.mark !== 0) attributes.push([nl.XFRMA_SET_MARK, u32(state.mark)]);
  if (state.used) attributes.push([nl.XFRMA_LTIME_VAL, state.used]);
  return { type: nl.XFRM_MSG_NEWSA, flags: 0, fixed, attributes };
}

export function deleteState(state: StateAddress): XfrmRequest {
  return { type: nl.XFRM_MSG_DELSA, flags: 0, fixed: stateId(state), attributes: stateTagAttributes(state.tag) };
}

export function getState(state: StateAddress): XfrmRequest {
  return { type: nl.XFRM_MSG_GETSA, flags: 0, fixed: stateId(state), attributes: stateTagAttributes(state.tag) };
}

/** What a packet must be, and what becomes of it. */
export interface Policy {
  readonly direction: keyof typeof nl.direction;
  readonly family: IpFamily;
  /** Our inner address: the source of outbound packets, the destination of inbound ones; undefined: any. */
  readonly inner: IpAddress | undefined;
  readonly tag: TunnelTag;
  /** Which SA an outbound packet takes; inbound: any of ours. */
  readonly state?: { readonly source: IpAddress; readonly destination: IpAddress; readonly spi: number };
}

/** A policy in place of the one with this selector, if there is one. */
export function putPolicy(policy: Policy): XfrmRequest {
  const fixed = new Uint8Array(policyLength);
  const view = viewOf(fixed);
  fixed.set(selector(policy), 0);
  setLifetime(view, selectorLength, undefined, undefined);
  fixed[160] = nl.direction[policy.direction];
  const template = new Uint8Array(templateLength);
  const words = viewOf(template);
  const { state } = policy;
  const outer = state?.destination.family ?? 4;
  if (state) {
    template.set(state.destination.bytes, 0);
    words.setUint32(16, state.spi);
    template.set(state.source.bytes, 28);
  }
  template[20] = nl.IPPROTO_ESP;
  words.setUint16(24, familyNumber(outer), littleEndian);
  template[48] = nl.XFRM_MODE_TUNNEL;
  // All algorithms: the SA alone decides.
  for (const offset of [52, 56, 60]) words.setUint32(offset, 0xffffffff, littleEndian);
  return {
    type: nl.XFRM_MSG_UPDPOLICY,
    flags: 0,
    fixed,
    attributes: [[nl.XFRMA_TMPL, template], tagAttribute(policy.tag)],
  };
}

export function deletePolicy(policy: Policy): XfrmRequest {
  const fixed = new Uint8Array(policyIdLength);
  fixed.set(selector(policy), 0);
  fixed[60] = nl.direction[policy.direction];
  return { type: nl.XFRM_MSG_DELPOLICY, flags: 0, fixed, attributes: [tagAttribute(policy.tag)] };
}

export function decodeState(body: Uint8Array): KernelState | undefined {
  return body.length < stateLength ? undefined : stateOf(body, decodeAttributes(body, stateLength));
}

/** The last words of a state (XFRM_MSG_DELSA as the kernel tells it to listeners): what it was when it was no longer used. */
export function decodeEndedState(body: Uint8Array): KernelState | undefined {
  if (body.length < stateIdLength) return undefined;
  const attributes = decodeAttributes(body, stateIdLength);
  const state = attributes.get(nl.XFRMA_SA);
  return state && state.length >= stateLength ? stateOf(state, attributes) : undefined;
}

/** What XFRM_MSG_EXPIRE says. `hard`: the kernel has removed the state already. */
export function decodeExpire(body: Uint8Array): { readonly state: KernelState; readonly hard: boolean } | undefined {
  const state = decodeState(body);
  return state && body.length > stateLength ? { state, hard: body[stateLength] !== 0 } : undefined;
}

/** Which state XFRM_MSG_DELSA is about. */
export function decodeDeletedState(body: Uint8Array): Omit<StateAddress, 'tag'> | undefined {
  if (body.length < stateIdLength) return undefined;
  return readId(body, 0, viewOf(body).getUint16(20, littleEndian));
}

/** A policy as the kernel told it: enough to know whose it is and to remove it. */
export function decodePolicy(
  body: Uint8Array,
): { readonly tag: TunnelTag | undefined; readonly remove: XfrmRequest } | undefined {
  if (body.length < policyLength) return undefined;
  const tag = readTag(decodeAttributes(body, policyLength));
  const fixed = new Uint8Array(policyIdLength);
  fixed.set(body.subarray(0, selectorLength), 0);
  fixed[60] = body[160]!;
  return { tag, remove: { type: nl.XFRM_MSG_DELPOLICY, flags: 0, fixed, attributes: tag ? [tagAttribute(tag)] : [] } };
}

/** Algorithms of a state as the kernel says them, keys included, to be overwritten after use. */
export function algorithmsOf({ attributes }: KernelState): readonly Attribute[] {
  return [nl.XFRMA_ALG_AEAD, nl.XFRMA_ALG_CRYPT, nl.XFRMA_ALG_AUTH_TRUNC].flatMap((type) => {
    const value = attributes.get(type);
    return value ? [[type, value] as const] : [];
  });
}

/** @param body `struct xfrm_usersa_info` */
function stateOf(body: Uint8Array, attributes: ReadonlyMap<number, Uint8Array>): KernelState {
  const view = viewOf(body);
  const big = (offset: number): number => Number(view.getBigUint64(offset, littleEndian));
  const lastUsed = attributes.get(nl.XFRMA_LASTUSED);
  return {
    ...readId(body, at.id, view.getUint16(at.family, littleEndian)),
    tag: readTag(attributes),
    bytes: big(at.used),
    packets: big(at.used + 8),
    lastUsed: lastUsed && lastUsed.length >= 8 ? Number(viewOf(lastUsed).getBigUint64(0, littleEndian)) : 0,
    // struct xfrm_stats: too old for the window, seen before, not authentic
    replayed: view.getUint32(at.stats, littleEndian) + view.getUint32(at.stats + 4, littleEndian),
    unauthentic: view.getUint32(at.stats + 8, littleEndian),
    attributes,
    used: body.slice(at.used, at.used + 32),
  };
}

function selector({ direction, family, inner }: Policy): Uint8Array {
  const octets = new Uint8Array(selectorLength);
  const outbound = direction === 'out';
  if (inner) {
    octets.set(inner.bytes, outbound ? 16 : 0);
    octets[outbound ? 43 : 42] = inner.bytes.length * 8;
  }
  viewOf(octets).setUint16(40, familyNumber(family), littleEndian);
  return octets;
}

function stateId({ destination, spi }: StateAddress): Uint8Array {
  const fixed = new Uint8Array(stateIdLength);
  fixed.set(destination.bytes, 0);
  viewOf(fixed).setUint32(16, spi);
  viewOf(fixed).setUint16(20, familyNumber(destination.family), littleEndian);
  fixed[22] = nl.IPPROTO_ESP;
  return fixed;
}

function setLifetime(view: DataView, offset: number, softBytes: number | undefined, softPackets: number | undefined): void {
  const big = (value: number | undefined): bigint =>
    value === undefined || !Number.isFinite(value) ? nl.XFRM_INF : BigInt(value);
  view.setBigUint64(offset, big(softBytes), littleEndian);
  view.setBigUint64(offset + 8, nl.XFRM_INF, littleEndian);
  view.setBigUint64(offset + 16, big(softPackets), littleEndian);
  view.setBigUint64(offset + 24, nl.XFRM_INF, littleEndian);
}

function readId(body: Uint8Array, offset: number, family: number): Omit<StateAddress, 'tag'> {
  const length = family === constant.AF_INET ? 4 : 16;
  return { destination: addressFromBytes(body.slice(offset, offset + length)), spi: viewOf(body).getUint32(offset + 16) };
}

function familyNumber(family: IpFamily): number {
  return family === 4 ? constant.AF_INET : constant.AF_INET6;
}
