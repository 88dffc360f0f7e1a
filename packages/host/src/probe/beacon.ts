import { createHash, X509Certificate } from 'node:crypto';
import { isIP, type Socket } from 'node:net';
import { connect, type PeerCertificate, type TLSSocket } from 'node:tls';
import { formatAddress, type IpAddress } from '@aovpn/bytes';
import { openMarkedStream } from '../sys/index.ts';

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
export function askBeacon({ address, port, name, proof, mark, timeoutMs }: BeaconQuestion): Promise<BeaconResult> {
  return new Promise((resolve) => {
    let socket: Socket;
    try {
      socket = openMarkedStream(address.family, mark);
    } catch (error) {
      resolve({ proven: false, why: `no socket: ${(error as Error).message}` });
      return;
    }
    let secure: TLSSocket | undefined;
    const finish = (result: BeaconResult): void => {
      clearTimeout(timer);
      secure?.destroy();
      socket.destroy();
      resolve(result);
    };
    const fail = (why: string): void => finish({ proven: false, why });
    const timer = setTimeout(() => fail('no answer in time'), timeoutMs);
    socket.on('error', (error) => fail(error.message));
    socket.connect({ host: formatAddress(address), port }, () => {
      secure = connect({
        socket,
        minVersion: 'TLSv1.2',
        servername: isIP(name) === 0 ? name : '',
        rejectUnauthorized: proof.kind === 'authorities',
        ...(proof.kind === 'authorities'
          ? { ca: proof.pem, checkServerIdentity: (_host: string, certificate: PeerCertificate) => misnamed(certificate, name) }
          : {}),
      });
      secure.on('error', (error) => fail(error.message));
      secure.on('close', () => fail('it ended the connection'));
      secure.on('secureConnect', () => {
        if (proof.kind === 'authorities') return secure!.authorized ? finish({ proven: true }) : fail('not authorized');
        const found = pinOf(secure!);
        finish(
          found !== undefined && proof.pins.includes(found)
            ? { proven: true }
            : { proven: false, why: `its key is ${found === undefined ? 'not shown' : `sha256/${found}`}, which is not pinned` },
        );
      });
    });
  });
}

/** RFC 7469 §2.4 */
function pinOf(secure: TLSSocket): string | undefined {
  const { raw } = secure.getPeerCertificate();
  if (!raw) return undefined;
  const key = new X509Certificate(raw).publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(key).digest('base64');
}

/** By alternative names alone, as everywhere here (RFC 9525). */
function misnamed({ raw }: PeerCertificate, name: string): Error | undefined {
  const certificate = new X509Certificate(raw);
  const fits =
    isIP(name) === 0 ? certificate.checkHost(name, { subject: 'never', partialWildcards: false }) : certificate.checkIP(name);
  return fits === undefined ? new Error(`its certificate does not name ${name}`) : undefined;
}
