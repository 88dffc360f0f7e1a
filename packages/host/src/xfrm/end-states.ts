import { sameAddress, wipe } from '@aovpn/bytes';
import { decodeEndedState, deleteState, type KernelState, type StateAddress } from './xfrm-message.ts';
import * as nl from './xfrm-number.ts';
import type { XfrmSocket } from './xfrm-socket.ts';

/**
 * Removes states and tells what each was at its end, keys included (to be overwritten): the kernel says so to listeners after it has stopped using
 * a state, so no packet has a number beyond that. Undefined for a state that was not there.
 * @throws {SysError}
 */
export function endStates(socket: XfrmSocket, states: readonly StateAddress[]): (KernelState | undefined)[] {
  const heard = socket.requestHearing(states.map(deleteState), nl.XFRMNLGRP_SA);
  const found = states.map((): KernelState | undefined => undefined);
  for (const { type, body } of heard) {
    const state = type === nl.XFRM_MSG_DELSA ? decodeEndedState(body) : undefined;
    const at = states.findIndex(({ spi, destination }) => state?.spi === spi && sameAddress(state.destination, destination));
    if (at >= 0) found[at] = state;
    // Somebody else's, and with keys.
    else wipe(body);
  }
  return found;
}
