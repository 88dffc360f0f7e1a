import type { IkeSaConfig } from '../src/machine/contract.ts';
import { Client } from './client.ts';
import { Responder } from './responder.ts';
import type { ResponderOptions } from './responder-options.ts';
import { createTestCrypto, type TestCrypto } from './test-crypto.ts';
import { certificateConfig, eapConfig } from './world.ts';

/** Two peers and the messages between them, one at a time. */
export interface Pair {
  readonly client: Client;
  readonly responder: Responder;
  readonly clientCrypto: TestCrypto;
  readonly responderCrypto: TestCrypto;
}

export function createPair(
  config: IkeSaConfig = certificateConfig,
  options: ResponderOptions = {},
  changed: (crypto: TestCrypto) => TestCrypto = (crypto) => crypto,
): Pair {
  const clientCrypto = changed(createTestCrypto());
  const responderCrypto = createTestCrypto();
  return {
    clientCrypto,
    responderCrypto,
    client: new Client(clientCrypto, config),
    responder: new Responder(responderCrypto, { eap: config.auth.kind === 'eap', ...options }),
  };
}

/** What the client has sent arrives. */
export function toResponder({ client, responder }: Pair): void {
  responder.receive(...client.take());
}

/** What the responder has sent arrives. */
export function toClient({ client, responder }: Pair): void {
  client.receive(...responder.take());
}

/** Everything arrives until nobody has anything to say. */
export function talk(pair: Pair): void {
  for (let i = 0; i < 50; i++) {
    if (pair.client.sent.length === 0 && pair.responder.sent.length === 0) return;
    toResponder(pair);
    toClient(pair);
  }
  throw new Error('the two never stop talking');
}

export function established(
  config: IkeSaConfig = certificateConfig,
  options: ResponderOptions = {},
  changed?: (crypto: TestCrypto) => TestCrypto,
): Pair {
  const pair = createPair(config, options, changed);
  talk(pair);
  if (pair.client.phase !== 'open') throw new Error(`not established: ${JSON.stringify(pair.client.actions.slice(-3))}`);
  return pair;
}

export const establishedEap = (options: ResponderOptions = {}): Pair => established(eapConfig, options);
