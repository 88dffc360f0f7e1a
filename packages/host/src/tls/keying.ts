import type { TLSSocket } from 'node:tls';
import { concat } from '@aovpn/bytes';
import type { TlsKeying } from '@aovpn/eap';

/** EAP method types (RFC 3748 §5; PEAP: IANA 25): the exporters' context, and the beginning of the Session-Id. */
const methodTypes = { 'eap-tls': 13, ttls: 21, peap: 25 } as const satisfies Readonly<Record<TlsKeying['kind'], number>>;

/** MSK and EMSK. */
const keyMaterialLength = 128;
const methodIdLength = 64;

export interface ExportedKeys {
  readonly version: '1.2' | '1.3';
  readonly keyMaterial: Uint8Array;
  readonly sessionId: Uint8Array;
  readonly challenge?: Uint8Array;
}

/**
 * Keys of an established connection, by the method around it; undefined when TLS has come out as another version. `randoms`:
 * those of ClientHello and ServerHello.
 */
export function exportKeys(
  socket: TLSSocket,
  keying: TlsKeying,
  randoms: readonly [client: Uint8Array, server: Uint8Array],
): ExportedKeys | undefined {
  const type = Uint8Array.of(methodTypes[keying.kind]);
  const challenge = exportChallenge(socket, keying);
  switch (socket.getProtocol()) {
    case 'TLSv1.2': {
      // RFC 5216 §2.3, which PEAP follows; RFC 5281 §8. The Session-Id: RFC 5247 §1.4.1 and RFC 5281 §8.
      const label = keying.kind === 'ttls' ? 'ttls keying material' : 'client EAP encryption';
      const keyMaterial = exportWithoutContext(socket, keyMaterialLength, label);
      return { version: '1.2', keyMaterial, sessionId: concat(type, ...randoms), ...(challenge && { challenge }) };
    }
    case 'TLSv1.3': {
      // RFC 9190 §2.3; RFC 9427 §2.1 for the others.
      const keyMaterial = owned(
        socket.exportKeyingMaterial(keyMaterialLength, 'EXPORTER_EAP_TLS_Key_Material', Buffer.from(type)),
      );
      const methodId = owned(socket.exportKeyingMaterial(methodIdLength, 'EXPORTER_EAP_TLS_Method-Id', Buffer.from(type)));
      return { version: '1.3', keyMaterial, sessionId: concat(type, methodId), ...(challenge && { challenge }) };
    }
    case null:
    default:
      return undefined;
  }
}

/** RFC 5281 §11.1; with TLS 1.3 the same label without a context (RFC 9427 §2.2). */
function exportChallenge(socket: TLSSocket, keying: TlsKeying): Uint8Array | undefined {
  return keying.kind === 'ttls' && keying.challengeLength > 0
    ? exportWithoutContext(socket, keying.challengeLength, 'ttls challenge')
    : undefined;
}

/** TLS 1.2 tells no context from an empty one (RFC 5705 §4), and EAP's labels have none; Node's types ask for one. */
function exportWithoutContext(socket: TLSSocket, length: number, label: string): Uint8Array {
  const exporter: { exportKeyingMaterial(length: number, label: string): Buffer } = socket as never;
  return owned(exporter.exportKeyingMaterial(length, label));
}

/** Octets of our own: what Node hands out is overwritten. */
function owned(exported: Buffer): Uint8Array {
  const copy = Uint8Array.from(exported);
  exported.fill(0);
  return copy;
}
