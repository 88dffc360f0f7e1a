import type { IkeSa, Protection } from '../src/machine/state.ts';
import { emptyReassembly } from '../src/message/reassembly.ts';
import type { DirectionKeys } from '../src/message/suite.ts';
import { Client, type InstalledChild } from './client.ts';
import type { TestCrypto } from './test-crypto.ts';

/** The other end of an IKE SA that is open and at rest: the same machine with everything turned round. From then on peers are equals (RFC 7296 §1.3). */
export function mirrorOf(client: Client, crypto: TestCrypto): Client {
  const { sa } = client;
  const [association, ...others] = sa.associations;
  if (sa.phase.name !== 'open' || !association?.protection || others.length > 0 || association.outstanding)
    throw new Error('not at rest');
  const mirrored: IkeSa = {
    ...sa,
    path: { local: sa.path.remote, localPort: sa.path.remotePort, remote: sa.path.local, remotePort: sa.path.localPort },
    associations: [
      {
        ...association,
        initiator: !association.initiator,
        protection: turnRound(association.protection),
        nextRequest: association.nextExpected,
        nextExpected: association.nextRequest,
        answer: undefined,
        reassembly: emptyReassembly,
      },
    ],
    children: sa.children.map((child) => ({
      ...child,
      spiIn: child.spiOut,
      spiOut: child.spiIn,
      tsi: child.tsr,
      tsr: child.tsi,
    })),
    armed: {},
  };
  const children = [...client.children.values()].map(({ keys }): InstalledChild => {
    const { inbound, outbound, tsi, tsr } = keys;
    return {
      keys: {
        ...keys,
        inbound: { ...outbound, ...copy(outbound) },
        outbound: { ...inbound, ...copy(inbound) },
        tsi: tsr,
        tsr: tsi,
      },
      sending: true,
    };
  });
  return Client.resume(crypto, mirrored, children, client.now);
}

/** Copies: each side overwrites its own. */
function turnRound({ suite, send, receive, skD, skPi, skPr }: Protection): Protection {
  return { suite, send: copy(receive), receive: copy(send), skD: skD.slice(), skPi: skPi.slice(), skPr: skPr.slice() };
}

function copy({ encryptionKey, integrityKey }: DirectionKeys): DirectionKeys {
  return { encryptionKey: encryptionKey.slice(), integrityKey: integrityKey.slice() };
}
