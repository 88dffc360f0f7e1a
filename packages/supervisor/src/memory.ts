import { sameAddress, type IpAddress } from '@aovpn/bytes';
import { sameCandidate, type Candidate } from './candidate.ts';

/** Where a connection has worked, the newest first, one place a server. */
export type Places = readonly Candidate[];

/** More servers than this are not remembered. */
const mostPlaces = 8;

/** It has worked there just now. The same list when nothing is new. */
export function remember(places: Places, candidate: Candidate): Places {
  if (places[0] && sameCandidate(places[0], candidate)) return places;
  return [candidate, ...places.filter(({ server }) => server !== candidate.server)].slice(0, mostPlaces);
}

/** The address of a server that worked last: something to try while nobody can say what it is now. Whoever answers there has to prove itself as ever. */
export function remembered(places: Places, server: string): readonly IpAddress[] {
  return places.filter((known) => known.server === server && known.via === undefined).map(({ address }) => address);
}

/** The remembered address of each server first, everything else as it was. */
export function preferring(places: Places, server: string, addresses: readonly Candidate[]): readonly Candidate[] {
  const place = places.find((known) => known.server === server);
  const good = place && addresses.find(({ address }) => sameAddress(address, place.address));
  return good ? [good, ...addresses.filter((other) => other !== good)] : addresses;
}
