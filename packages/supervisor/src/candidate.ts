import { sameAddress, type IpAddress } from '@aovpn/bytes';
import { preferring, type Places } from './memory.ts';

/** One place to try: a gateway name of the profile, one of its addresses, and how to get there. */
export interface Candidate {
  readonly server: string;
  readonly address: IpAddress;
  /** TCP encapsulation (RFC 9329) instead of UDP. */
  readonly transport: 'udp' | 'tcp';
  /** The gateway that sent us here, and whether it had proven who it is (RFC 5685). */
  readonly via?: { readonly server: string; readonly proven: boolean };
}

/** Whether TCP is tried after UDP, never, or alone. */
export type TcpUse = 'fallback' | 'off' | 'only';

/** Places that are tried over TCP in one round: each may take seconds. */
const mostTcp = 4;

/** More addresses than this from one name are ignored. */
const maxAddressesPerServer = 8;

/**
 * Orders what the resolver said: servers in the profile's order; within one, the address that worked last and then IPv6 and IPv4 in
 * turns (after RFC 8305 §4); families without a route go last, not away, since facts about routes may be stale; the place that worked
 * last of all comes first.
 */
export function orderCandidates(
  answers: readonly { readonly server: string; readonly addresses: readonly IpAddress[] }[],
  routes: { readonly v4: boolean; readonly v6: boolean },
  places: Places = [],
  tcp: TcpUse = 'off',
): readonly Candidate[] {
  const all = answers.flatMap(({ server, addresses }) => {
    const six = addresses.filter((address) => address.family === 6);
    const four = addresses.filter((address) => address.family === 4);
    const turns: IpAddress[] = [];
    for (let i = 0; i < Math.max(six.length, four.length); i++) {
      if (six[i]) turns.push(six[i]!);
      if (four[i]) turns.push(four[i]!);
    }
    return preferring(
      places,
      server,
      turns.slice(0, maxAddressesPerServer).map((address) => ({ server, address, transport: 'udp' as const })),
    );
  });
  const [lastGood] = places;
  const rank = (candidate: Candidate): number => {
    if (!(candidate.address.family === 4 ? routes.v4 : routes.v6)) return 2;
    return lastGood && samePlace(candidate, lastGood) ? 0 : 1;
  };
  const ordered = all
    .map((candidate, index) => ({ candidate, index }))
    .sort((a, b) => rank(a.candidate) - rank(b.candidate) || a.index - b.index)
    .map(({ candidate }) => candidate);
  if (tcp === 'off') return ordered;
  const streams = ordered.slice(0, mostTcp).map((candidate) => ({ ...candidate, transport: 'tcp' as const }));
  // UDP goes first even where TCP worked last: it is better wherever it passes (RFC 9329 §5.1).
  return tcp === 'only' ? streams : [...ordered, ...streams];
}

/** The same gateway at the same address, however one gets there. */
function samePlace(a: Candidate, b: Candidate): boolean {
  return a.server === b.server && sameAddress(a.address, b.address);
}

export function sameCandidate(a: Candidate, b: Candidate): boolean {
  return samePlace(a, b) && a.transport === b.transport;
}
