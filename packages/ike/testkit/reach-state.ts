import { notify } from '../src/machine/pick.ts';
import type { Phase } from '../src/machine/state.ts';
import { createPair, established, talk, toClient, toResponder, type Pair } from './conversation.ts';
import { TicketStore } from './responder-memory.ts';
import { certificateConfig, eapConfig, hybridConfig } from './world.ts';

const forging = new WeakSet<Pair>();

/** Every state, reached by talking. A state without a way to it does not compile. */
export const reachState: Record<Phase['name'], () => Pair> = {
  'init-await-response': () => createPair(),
  'init-await-better'() {
    const pair = createPair(certificateConfig, {
      impair: (payloads, { header }) => (header.exchange === 34 && forging.has(pair) ? [notify(14)] : payloads),
    });
    forging.add(pair);
    talk(pair);
    forging.delete(pair);
    pair.responder.forgetInit();
    return pair;
  },
  'intermediate-await-response'() {
    const pair = createPair(hybridConfig, { ikeProposals: hybridConfig.ikeProposals });
    toResponder(pair);
    toClient(pair);
    return pair;
  },
  'auth-await-puzzle'() {
    const pair = createPair(certificateConfig, { puzzle: { where: 'auth', difficulty: 4 } });
    pair.client.host.work = false;
    talk(pair);
    return pair;
  },
  'auth-await-signature'() {
    const pair = createPair();
    pair.client.host.sign = false;
    talk(pair);
    return pair;
  },
  'auth-await-response'() {
    const pair = createPair();
    toResponder(pair);
    toClient(pair);
    return pair;
  },
  'auth-await-verdict'() {
    const pair = createPair();
    pair.client.host.verify = false;
    talk(pair);
    return pair;
  },
  'eap-await-host'() {
    const pair = createPair(eapConfig);
    pair.client.host.secret = false;
    talk(pair);
    return pair;
  },
  'eap-await-response'() {
    const pair = createPair(eapConfig);
    for (let i = 0; i < 2; i++) {
      toResponder(pair);
      toClient(pair);
    }
    return pair;
  },
  'proof-await-response'() {
    const pair = createPair(eapConfig);
    while (pair.client.phase !== 'proof-await-response') {
      toResponder(pair);
      toClient(pair);
    }
    return pair;
  },
  'resume-await-response': () => resumable(),
  'resume-await-proof'() {
    const pair = resumable();
    toResponder(pair);
    toClient(pair);
    return pair;
  },
  'round-await-response'() {
    const { auth } = eapConfig;
    if (auth.kind !== 'eap' || certificateConfig.auth.kind !== 'certificate') throw new Error('configurations');
    const pair = createPair({ ...eapConfig, auth: { ...auth, machine: certificateConfig.auth } }, { multipleAuth: true });
    for (let i = 0; i < 2; i++) {
      toResponder(pair);
      toClient(pair);
    }
    return pair;
  },
  'child-await-response'() {
    const pair = createPair({ ...certificateConfig, childless: true }, { childless: true });
    for (let i = 0; i < 2; i++) {
      toResponder(pair);
      toClient(pair);
    }
    return pair;
  },
  'child-await-install'() {
    const pair = createPair();
    pair.client.host.install = false;
    talk(pair);
    return pair;
  },
  open: () => established(),
  'closing-await-response'() {
    const pair = established();
    pair.client.step({ kind: 'close', why: 'asked' });
    return pair;
  },
  ended() {
    const pair = established();
    pair.client.step({ kind: 'close', why: 'asked' });
    talk(pair);
    return pair;
  },
};

/** About to present a ticket that the responder knows. */
function resumable(): Pair {
  const tickets = new TicketStore(3600);
  const { client } = established({ ...eapConfig, askTicket: true }, { tickets });
  return createPair({ ...eapConfig, askTicket: true, ticket: client.last('ticket')!.ticket! }, { tickets });
}
