import { createSocket, type Socket } from 'node:dgram';
import { setTimeout as wait } from 'node:timers/promises';
import { concat, equal, formatAddress, type IpAddress } from '@aovpn/bytes';
import {
  buildIkeProposals,
  decodeHeader,
  Encr,
  encodeMessage,
  ExchangeType,
  Integ,
  Ke,
  Prf,
  type IkeCrypto,
  type IkeProposalConfig,
} from '@aovpn/ike';
import { closeDescriptor, constant, openUdpSocket, setOption } from '../sys/index.ts';

/** What a probe of one UDP port found. */
export interface ProbeResult {
  readonly answered: boolean;
  /** Milliseconds until the answer. */
  readonly milliseconds?: number;
  /** What the kernel said instead, such as ECONNREFUSED or ENETUNREACH. */
  readonly problem?: string;
}

/** What nearly every gateway knows; an error notify is an answer too. */
const offers: readonly IkeProposalConfig[] = [
  {
    encr: [
      { id: Encr.AES_GCM_16, keyBits: 256 },
      { id: Encr.AES_GCM_16, keyBits: 128 },
    ],
    integ: [],
    prf: [Prf.HMAC_SHA2_256],
    ke: [Ke.ECP256, Ke.MODP2048],
  },
  {
    encr: [{ id: Encr.AES_CBC, keyBits: 256 }],
    integ: [Integ.HMAC_SHA2_256_128],
    prf: [Prf.HMAC_SHA2_256],
    ke: [Ke.ECP256, Ke.MODP2048],
  },
];

/** Milliseconds after the start at which the request is sent; the probe ends a second after the last. */
const sendTimes = [0, 500, 1500] as const;

/**
 * Asks a gateway for IKE_SA_INIT (RFC 7296 §1.2) on one port and waits for any message that carries our SPI. Nothing in the answer is
 * believed beyond that. On port 4500 the request stands behind the non-ESP marker (RFC 3948 §2.2).
 * @param mark `SO_MARK` of the request: it goes past tunnels and LockDown like those of a connection; 0 for none
 */
export async function probeGateway(crypto: IkeCrypto, address: IpAddress, port: number, mark: number): Promise<ProbeResult> {
  const marker = port === 500 ? new Uint8Array(0) : new Uint8Array(4);
  const spiI = crypto.random(8);
  const request = concat(marker, initRequest(crypto, spiI));
  const socket = openSocket(address, mark);
  const started = performance.now();
  const { promise, resolve } = Promise.withResolvers<ProbeResult>();
  socket.on('error', (error: NodeJS.ErrnoException) => resolve({ answered: false, problem: error.code ?? error.message }));
  socket.on('message', (datagram) => {
    const header = decodeHeader(datagram.subarray(marker.length));
    if (header?.response === true && equal(header.spiI, spiI))
      resolve({ answered: true, milliseconds: performance.now() - started });
  });
  const stop = new AbortController();
  try {
    socket.connect(port, formatAddress(address), () => void sendAll());
    return await promise;
  } finally {
    stop.abort();
    socket.close();
  }

  async function sendAll(): Promise<void> {
    try {
      for (const [i, time] of sendTimes.entries()) {
        await wait(time - (sendTimes[i - 1] ?? 0), undefined, { signal: stop.signal });
        socket.send(request);
      }
      await wait(1000, undefined, { signal: stop.signal });
      resolve({ answered: false });
    } catch (error) {
      if (!stop.signal.aborted) resolve({ answered: false, problem: (error as NodeJS.ErrnoException).code ?? 'failed' });
    }
  }
}

function openSocket({ family }: IpAddress, mark: number): Socket {
  const fd = openUdpSocket(family);
  try {
    if (mark !== 0) setOption(fd, constant.SOL_SOCKET, constant.SO_MARK, mark);
    const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
    socket.bind({ fd });
    return socket;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

/** An IKE_SA_INIT request of nobody. */
export function initRequest(crypto: IkeCrypto, spiI: Uint8Array): Uint8Array {
  const pair = crypto.generateKeyPair(Ke.ECP256);
  return encodeMessage({
    header: {
      spiI,
      spiR: new Uint8Array(8),
      exchange: ExchangeType.IKE_SA_INIT,
      fromInitiator: true,
      response: false,
      messageId: 0,
    },
    payloads: [
      { kind: 'SA', proposals: buildIkeProposals(offers) },
      { kind: 'KE', group: Ke.ECP256, data: pair.publicValue },
      { kind: 'NONCE', data: crypto.random(32) },
    ],
  });
}
