import { wipe } from '@aovpn/bytes';
import { SysError } from '../sys/index.ts';
import { algorithmsOf, decodePolicy, decodeState, deleteState } from './xfrm-message.ts';
import { isOurTag } from './tunnel-tag.ts';
import { XFRM_MSG_GETPOLICY, XFRM_MSG_GETSA } from './xfrm-number.ts';
import { openXfrmSocket, type XfrmSocket } from './xfrm-socket.ts';

export interface XfrmCleanUpReport {
  readonly states: number;
  readonly policies: number;
  readonly problems: readonly string[];
}

/** Removes SAs and policies of ours from the kernel, whoever left them: they are known by their interface id or mark. */
export function cleanUpXfrm(): XfrmCleanUpReport {
  let socket: XfrmSocket;
  try {
    socket = openXfrmSocket();
  } catch (error) {
    // No XFRM in this kernel: nothing of ours can be in it.
    if (error instanceof SysError) return { states: 0, policies: 0, problems: [] };
    throw error;
  }
  try {
    const policies = socket
      .dump(XFRM_MSG_GETPOLICY)
      .map(decodePolicy)
      .filter((policy) => isOurTag(policy?.tag));
    const states = socket
      .dump(XFRM_MSG_GETSA)
      .map((body) => {
        const state = decodeState(body);
        if (state) wipe(...algorithmsOf(state).map(([, octets]) => octets));
        return state;
      })
      .filter((state) => isOurTag(state?.tag));
    const answers = [
      ...socket.request(policies.map((policy) => policy!.remove)).map((code) => code && `IPsec policy: ${code}`),
      ...socket.request(states.map((state) => deleteState(state!))).map((code) => code && `IPsec SA: ${code}`),
    ];
    const problems = answers.filter((problem) => problem !== undefined && !problem.endsWith(': ESRCH')) as string[];
    return { states: states.length, policies: policies.length, problems };
  } finally {
    socket.close();
  }
}
