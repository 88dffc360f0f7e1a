import { compareAddresses, formatRange, intersectRanges, rangeContains } from '@aovpn/bytes';
import type { TrafficSelector } from '../message/payload.ts';

/**
 * Whether an answer stays inside what was offered (RFC 7296 §2.9: the responder narrows, never widens). Every selector must lie
 * inside one of the offered ones, and there must be one.
 */
export function isNarrowed(answer: readonly TrafficSelector[], offered: readonly TrafficSelector[]): boolean {
  return answer.length > 0 && answer.every((selector) => offered.some((outer) => contains(outer, selector)));
}

/** What the peer's offer and our own selectors have in common; empty: TS_UNACCEPTABLE. */
export function narrow(offered: readonly TrafficSelector[], own: readonly TrafficSelector[]): TrafficSelector[] {
  const common: TrafficSelector[] = [];
  for (const a of offered) {
    for (const b of own) {
      const selector = intersect(a, b);
      if (selector && !common.some((other) => contains(other, selector))) common.push(selector);
    }
  }
  return common;
}

/** For people: `10.0.0.0-10.0.0.255`, with protocol and ports where they are restricted. */
export function formatSelector(selector: TrafficSelector): string {
  const range = formatRange(selector);
  const ports =
    selector.fromPort === 0 && selector.toPort === 65535
      ? ''
      : selector.fromPort > selector.toPort
        ? ' opaque ports'
        : ` ports ${selector.fromPort}-${selector.toPort}`;
  return `${range}${selector.protocol === 0 ? '' : ` protocol ${selector.protocol}`}${ports}`;
}

function contains(outer: TrafficSelector, inner: TrafficSelector): boolean {
  return (
    (outer.protocol === 0 || outer.protocol === inner.protocol) &&
    portsContain(outer, inner) &&
    compareAddresses(inner.from, inner.to) <= 0 &&
    rangeContains(outer, inner.from) &&
    rangeContains(outer, inner.to)
  );
}

/** 0–65535 is any port, and so contains OPAQUE (65535–0; RFC 7296 §3.13.1). */
function portsContain(outer: TrafficSelector, inner: TrafficSelector): boolean {
  if (outer.fromPort === 0 && outer.toPort === 65535) return true;
  return outer.fromPort <= inner.fromPort && inner.toPort <= outer.toPort && inner.fromPort <= inner.toPort;
}

function intersect(a: TrafficSelector, b: TrafficSelector): TrafficSelector | undefined {
  if (a.protocol !== 0 && b.protocol !== 0 && a.protocol !== b.protocol) return undefined;
  const range = intersectRanges(a, b);
  const fromPort = Math.max(a.fromPort, b.fromPort);
  const toPort = Math.min(a.toPort, b.toPort);
  if (!range || fromPort > toPort) return undefined;
  return { protocol: a.protocol || b.protocol, fromPort, toPort, from: range.from, to: range.to };
}
