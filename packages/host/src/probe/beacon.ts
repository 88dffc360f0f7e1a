import { isIP, type Socket } from 'node:net';
import { connect, createSecureContext, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { equal, formatAddress, type IpAddress } from '@aovpn/bytes';
import type { Credential } from '../keys/credential.ts';
import { readPemBlocks } from '../keys/pem.ts';
import { openMarkedStream } from '../sys/index.ts';
import { keyDigest } from '../tls/key-digest.ts';
import { whyNotServer } from '../tls/prove-name.ts';
import { receivedCertificates } from '../tls/verify-server.ts';
import { AnchorStore } from '../trust/anchor-store.ts';
import { ProofWire } from './proof-wire.ts';

/** A server that only the trusted network has, and how it proves itself. */
export interface BeaconQuestion {
  readonly address: IpAddress;
  readonly port: number;
  /** For SNI, and for the certificate where authorities decide. */
  readonly name: string;
  /**
   * `pins`: the SHA-256 of its public key (SubjectPublicKeyInfo), in base64, is one of these, whatever its certificate says (RFC 7469 §2.4).
   * `authorities`: its certificate comes from one of these (PEM), is in date and names the beacon.
   */
  readonly proof:
    | { readonly kind: 'pins'; readonly pins: readonly string[] }
    | { readonly kind: 'authorities'; readonly pem: string };
  /**
   * Our certificate, for a beacon that asks for one; unlocked. It is shown to nobody but a beacon that has proven itself, and never in the clear: with it
   * TLS 1.3 is needed. A beacon that refuses it is none.
   */
  readonly credential?: Credential;
  /** `SO_MARK` of the connection, so that no tunnel carries it. */
  readonly mark: number;
  /** Milliseconds for all of it. */
  readonly timeoutMs: number;
}

export type BeaconResult = { readonly proven: true } | { readonly proven: false; readonly why: string };

/**
 * Shakes hands with a beacon by TLS 1.2 or later: that it holds the key is what proves it; nothing is asked of it, and nothing said. An answer
 * relayed from afar is the real beacon's, so it must not be reachable from outside its network.
 */
export function askBeacon(question: BeaconQuestion): Promise<BeaconResult> {
  const { address, port, mark, timeoutMs } = question;
  return new Promise((resolve) => {
    let socket: Socket;
    try {
      socket = openMarkedStream(address.family, mark);
    } catch (error) {
      resolve({ proven: false, why: `no socket: ${(error as Error).message}` });
      return;
    }
    let end: (() => void) | undefined;
    const finish = (result: BeaconResult): void => {
      clearTimeout(timer);
      end?.();
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => finish({ proven: false, why: 'no answer in time' }), timeoutMs);
    socket.on('error', (error) => finish({ proven: false, why: error.message }));
    socket.connect({ host: formatAddress(address), port }, () => {
      try {
        end = shakeHands(socket, question, (why) => finish(why === undefined ? { proven: true } : { proven: false, why }));
      } catch (error) {
        finish({ proven: false, why: (error as Error).message });
      }
    });
  });
}

/** @param done called with why it is not the beacon; undefined: it is. @returns what ends it */
function shakeHands(socket: Socket, question: BeaconQuestion, done: (why: string | undefined) => void): () => void {
  const { name, credential } = question;
  const options: SecureContextOptions = { minVersion: credential ? 'TLSv1.3' : 'TLSv1.2', ca: [] };
  let believed = false;
  const wire = credential && new ProofWire(socket);
  const secure = connect({
    socket: wire ?? socket,
    secureContext: credential ? credential.secureContext(options) : createSecureContext(options),
    servername: isIP(name) === 0 ? name : '',
    // It is judged here, with a certificate of ours before that is sent: Node would do so afterwards.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
  secure.on('error', (error) => {
    const ours = credential?.takeFailure();
    done(ours ? `our key: ${ours.message}` : believed ? `it does not take our certificate: ${error.message}` : error.message);
  });
  secure.on('close', () => done(believed ? undefined : 'it ended the connection'));
  const judge = async (): Promise<void> => {
    const why = await unbelievable(secure, question);
    if (why !== undefined || !wire) return done(why);
    believed = true;
    wire.letGo();
    // Whether it takes our certificate it says now, or by going away in peace.
    secure.end();
  };
  // It has shown possession of its key; nothing of ours has gone yet.
  secure.on('secureConnect', () => void judge().catch((error: unknown) => done((error as Error).message)));
  secure.resume();
  return () => {
    secure.destroy();
    wire?.destroy();
  };
}

async function unbelievable(secure: TLSSocket, { proof, name }: BeaconQuestion): Promise<string | undefined> {
  const shown = receivedCertificates(secure);
  const [leaf] = shown;
  if (!leaf) return 'it showed no certificate';
  if (proof.kind === 'pins') {
    const found = keyDigest(leaf, 'sha256');
    const isPinned = proof.pins.some((pin) => equal(Buffer.from(pin, 'base64'), found));
    return isPinned ? undefined : `its key is sha256/${found.toString('base64')}, which is not pinned`;
  }
  const blocks = readPemBlocks(proof.pem).filter(({ label }) => label === 'CERTIFICATE');
  return await whyNotServer(shown, AnchorStore.fromDer(blocks.map(({ der }) => der)), name);
}
