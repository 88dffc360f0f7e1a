import { startChildCreate, startChildRekey } from './child-rekey.ts';
import { startClose, startDeleteChildren } from './delete.ts';
import { startProbe } from './dpd.ts';
import { startIkeRekey } from './ike-rekey.ts';
import { startAddressUpdate } from './mobike.ts';
import type { Wanted } from './state.ts';
import { startTicketRequest } from './ticket.ts';
import { currentOf, unwant, type Turn } from './turn.ts';

const urgency: readonly Wanted['kind'][] = [
  'address',
  'liveness',
  'delete-child',
  'child-create',
  'child-rekey',
  'ike-rekey',
  'ticket',
];

/** The peer is about to replace the current IKE SA: nothing begins on it that makes or ends SAs. It has to know where we are, and we whether it lives. */
const whileReplaced: readonly Wanted['kind'][] = ['address', 'liveness'];

/** Starts the most urgent exchange that is wanted, when the window is free. */
export function pump(turn: Turn): void {
  const { name } = turn.sa.phase;
  if (name !== 'open' && name !== 'closing-await-response') return;
  if (currentOf(turn.sa).outstanding) return;
  if (name === 'closing-await-response') return startClose(turn);
  const isReplaced = turn.sa.associations.some(({ role }) => role === 'successor');
  for (const kind of isReplaced ? whileReplaced : urgency) {
    const wish = turn.sa.wanted.find((other) => other.kind === kind);
    if (!wish || !mayStart(turn, wish)) continue;
    unwant(turn, (other) => other === wish && other.kind !== 'delete-child');
    start(turn, wish);
    // A wish that has become pointless sends nothing.
    if (turn.sa.phase.name !== 'open' || currentOf(turn.sa).outstanding) return;
  }
}

/** RFC 7296 §2.25: an IKE SA is not rekeyed while a CHILD_SA is being made. */
function mayStart(turn: Turn, wish: Wanted): boolean {
  const rekeys = wish.kind === 'ike-rekey' || wish.kind === 'child-rekey' || wish.kind === 'child-create';
  // The peer is in the middle of a rekey of several exchanges.
  if (rekeys && turn.sa.peerFollowUp) return false;
  if (wish.kind === 'child-create' && (wish.putOff?.until ?? 0) > turn.now) return false;
  return wish.kind !== 'ike-rekey' || !turn.sa.children.some(({ stage }) => stage.name === 'installing');
}

function start(turn: Turn, wish: Wanted): void {
  switch (wish.kind) {
    case 'address':
      return startAddressUpdate(turn);
    case 'liveness':
      return startProbe(turn);
    case 'delete-child':
      return startDeleteChildren(turn);
    case 'child-create':
      return startChildCreate(turn, wish.tsi, wish.tsr, wish.putOff?.times ?? 0);
    case 'child-rekey':
      return startChildRekey(turn, wish.spiIn);
    case 'ike-rekey':
      return startIkeRekey(turn);
    case 'ticket':
      return startTicketRequest(turn);
  }
}
