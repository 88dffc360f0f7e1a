import { sameAddress } from '@aovpn/bytes';
import type { Payload } from '../message/payload.ts';
import { ExchangeType } from '../registry/exchange.ts';
import { NotifyType, nameOfNotify } from '../registry/notify.ts';
import type { Path } from './contract.ts';
import { isHeir } from './ike-rekey.ts';
import { moveBegins, moveConfirmed } from './move-proof.ts';
import { buildNatDetection, processNatDetection } from './natd.ts';
import { notify, pickError } from './pick.ts';
import { currentOf, emit, info, update, updateAssociation, want, type Turn } from './turn.ts';
import { retransmitNow, sendRequest } from './window.ts';

/** MOBIKE (RFC 4555), as the initiator: we say where we are, the gateway follows. */

/** The outer flow has moved. */
export function processPathChanged(turn: Turn, path: Path): void {
  const { name } = turn.sa.phase;
  if (name === 'ended') return;
  update(turn, { path, pathStale: true });
  markHeirs(turn);
  // RFC 4555 §3.5: what is out goes out again from the new address; the update follows when the window is free.
  retransmitNow(turn, { anew: true });
  if (name === 'open') announcePath(turn);
}

/** Tells the gateway where we are now, if it can be told. */
export function announcePath(turn: Turn): void {
  if (turn.sa.peer.mobike) {
    moveBegins(turn);
    return want(turn, { kind: 'address' });
  }
  update(turn, { pathStale: false });
  emit(turn, { kind: 'cannot-move' });
}

export function startAddressUpdate(turn: Turn): void {
  const { id, spiI, spiR } = currentOf(turn.sa);
  sendRequest(
    turn,
    id,
    ExchangeType.INFORMATIONAL,
    [notify(NotifyType.UPDATE_SA_ADDRESSES), ...buildNatDetection(turn, spiI, spiR)],
    { kind: 'address', path: turn.sa.path },
  );
}

export function processAddressUpdated(turn: Turn, told: Path, payloads: readonly Payload[]): void {
  if (!samePath(told, turn.sa.path)) return want(turn, { kind: 'address' });
  update(turn, { pathStale: false });
  markHeirs(turn);
  const error = pickError(payloads);
  if (error) {
    info(turn, `the gateway does not follow: ${nameOfNotify(error.type)}`);
    return emit(turn, { kind: 'cannot-move' });
  }
  update(turn, { peer: { ...turn.sa.peer, ...processNatDetection(turn, currentOf(turn.sa), payloads) } });
  moveConfirmed(turn);
  emit(turn, { kind: 'moved' });
}

/** What the peer's rekey has made, or not yet, may know nothing of the move: told again when it takes over. */
function markHeirs(turn: Turn): void {
  for (const association of turn.sa.associations) {
    if (isHeir(association)) updateAssociation(turn, association.id, { madeElsewhere: true });
  }
}

function samePath(a: Path, b: Path): boolean {
  return (
    sameAddress(a.local, b.local) &&
    a.localPort === b.localPort &&
    sameAddress(a.remote, b.remote) &&
    a.remotePort === b.remotePort
  );
}
