import { concat, equal, formatAddress, type IpAddress } from '@aovpn/bytes';
import { nonEspMarkerLength, readStream, streamFrame, streamPrefix } from '@aovpn/esp';
import { decodeHeader, type IkeCrypto } from '@aovpn/ike';
import { openMarkedStream } from '../sys/index.ts';
import { initRequest, type ProbeResult } from './gateway-probe.ts';

/** Milliseconds for the connection and the answer. */
const patience = 4000;

/**
 * Asks a gateway for IKE_SA_INIT in TCP (RFC 9329), like `probeGateway` in UDP. Nothing in the answer is believed beyond that it came.
 * @param mark `SO_MARK` of the connection; 0 for none
 */
export async function probeGatewayOverTcp(
  crypto: IkeCrypto,
  address: IpAddress,
  port: number,
  mark: number,
): Promise<ProbeResult> {
  const spiI = crypto.random(8);
  const started = performance.now();
  const { promise, resolve } = Promise.withResolvers<ProbeResult>();
  const socket = openMarkedStream(address.family, mark);
  socket.connect({ host: formatAddress(address), port });
  const timer = setTimeout(() => resolve({ answered: false }), patience);
  let buffered: Uint8Array = new Uint8Array(0);
  socket.on('connect', () => {
    socket.write(concat(streamPrefix, streamFrame(concat(new Uint8Array(nonEspMarkerLength), initRequest(crypto, spiI)))));
  });
  socket.on('data', (octets) => {
    const { messages, rest, problem } = readStream(concat(buffered, octets));
    buffered = rest;
    for (const message of messages) {
      const header = decodeHeader(message.subarray(nonEspMarkerLength));
      if (header?.response === true && equal(header.spiI, spiI))
        resolve({ answered: true, milliseconds: performance.now() - started });
    }
    if (problem !== undefined) resolve({ answered: false, problem: 'EPROTO' });
  });
  socket.on('error', (error: NodeJS.ErrnoException) => resolve({ answered: false, problem: error.code ?? error.message }));
  socket.on('close', () => resolve({ answered: false, problem: 'ECONNRESET' }));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}
