import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { network } from '../../lab/network.ts';
import type { WirePacket } from '../../lab/pcap.ts';
import type { Running } from '../../lab/running.ts';
import type { World } from '../../lab/world.ts';
import type { SpoofRequest } from './spoofer.ts';

/** One flow as the client sees it: the gateway's end is where the adversary pretends to be. */
export interface Target {
  readonly client: string;
  readonly clientPort: number;
  readonly gateway: string;
  readonly gatewayPort: number;
}

/** Somebody on the router: sees every packet between client and gateway, and sends what it likes in anybody's name. */
export class Adversary {
  readonly #running: Running;
  readonly #answers: { readonly resolve: (sent: number) => void; readonly reject: (error: Error) => void }[] = [];

  private constructor(running: Running) {
    this.#running = running;
    createInterface({ input: running.stdout! }).on('line', (line) =>
      this.#answers.shift()?.resolve((JSON.parse(line) as { sent: number }).sent),
    );
    void running.exited.then(() => {
      for (const { reject } of this.#answers)
        reject(new Error(`the adversary ended:\n${readFileSync(running.stderrFile, 'utf8')}`));
    });
  }

  static on({ router }: World): Adversary {
    const program = new URL('./spoofer.ts', import.meta.url).pathname;
    return new Adversary(router.spawn([process.execPath, program], { name: 'adversary', pipes: true }));
  }

  /** Sends datagrams to the client in the gateway's name. @returns how many really left */
  asGateway(target: Target, datagrams: readonly Uint8Array[], times = 1): Promise<number> {
    return this.#send({
      source: target.gateway,
      sourcePort: target.gatewayPort,
      target: target.client,
      targetPort: target.clientPort,
      datagrams: datagrams.map((datagram) => Buffer.from(datagram).toString('hex')),
      times,
    });
  }

  /** The same in the name of somebody who has nothing to do with the tunnel. */
  asStranger(target: Target, datagrams: readonly Uint8Array[], times = 1): Promise<number> {
    const six = target.client.includes(':');
    return this.asGateway(
      { ...target, gateway: six ? network.internet.web6 : network.internet.web4, gatewayPort: 4500 },
      datagrams,
      times,
    );
  }

  #send(request: SpoofRequest): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#answers.push({ resolve, reject });
      this.#running.stdin!.write(`${JSON.stringify(request)}\n`);
    });
  }
}

/** The newest flow to the gateway's port 4500 in a capture. */
export function targetIn(packets: readonly WirePacket[]): Target {
  const last = packets.findLast(({ destinationPort, protocol }) => protocol === 17 && destinationPort === 4500);
  if (!last) throw new Error('nothing went to port 4500');
  return { client: last.source, clientPort: last.sourcePort!, gateway: last.destination, gatewayPort: 4500 };
}

/** What came from the gateway on one flow: IKE with its marker, or ESP. */
export function fromGateway(packets: readonly WirePacket[], target: Target): { readonly ike: Buffer[]; readonly esp: Buffer[] } {
  const datagrams = packets
    .filter((packet) => packet.source === target.gateway && packet.destinationPort === target.clientPort)
    .flatMap(({ payload }) => (payload && payload.length > 4 ? [payload] : []));
  const isIke = (datagram: Buffer): boolean => datagram.readUInt32BE(0) === 0;
  return { ike: datagrams.filter(isIke), esp: datagrams.filter((datagram) => !isIke(datagram)) };
}

export const exchange = { IKE_SA_INIT: 34, IKE_AUTH: 35, CREATE_CHILD_SA: 36, INFORMATIONAL: 37 } as const;
export const payloadType = { NONE: 0, SA: 33, NOTIFY: 41, DELETE: 42, SK: 46, SKF: 53 } as const;

/** An IKE message with its non-ESP marker, of whatever is asked for; the length is right unless told otherwise. */
export function ikeMessage(fields: {
  readonly spiI: Uint8Array;
  readonly spiR: Uint8Array;
  readonly exchange: number;
  /** I flag 0x08, response flag 0x20. */
  readonly flags: number;
  readonly messageId: number;
  readonly firstPayload: number;
  readonly payloads: Uint8Array;
  readonly length?: number;
}): Buffer {
  const header = Buffer.alloc(32);
  header.set(fields.spiI, 4);
  header.set(fields.spiR, 12);
  header[20] = fields.firstPayload;
  header[21] = 0x20;
  header[22] = fields.exchange;
  header[23] = fields.flags;
  header.writeUInt32BE(fields.messageId >>> 0, 24);
  header.writeUInt32BE(fields.length ?? 28 + fields.payloads.length, 28);
  return Buffer.concat([header, fields.payloads]);
}

export function notifyPayload(type: number, data: Uint8Array = new Uint8Array(), next: number = payloadType.NONE): Buffer {
  const head = Buffer.alloc(8);
  head[0] = next;
  head.writeUInt16BE(8 + data.length, 2);
  head.writeUInt16BE(type, 6);
  return Buffer.concat([head, data]);
}

/** Delete of the IKE SA (RFC 7296 §3.11), or of CHILD_SAs. */
export function deletePayload(spis: readonly Uint8Array[] = []): Buffer {
  const head = Buffer.alloc(8);
  head[4] = spis.length === 0 ? 1 : 3;
  head[5] = spis.length === 0 ? 0 : 4;
  head.writeUInt16BE(spis.length, 6);
  const payload = Buffer.concat([head, ...spis]);
  payload.writeUInt16BE(payload.length, 2);
  return payload;
}

/** An SK or SKF payload full of noise. */
export function noisePayload(type: 46 | 53, length: number, fragment: readonly [number, number] = [1, 2]): Buffer {
  const head = Buffer.alloc(type === 53 ? 8 : 4);
  if (type === 53) {
    head.writeUInt16BE(fragment[0], 4);
    head.writeUInt16BE(fragment[1], 6);
  }
  const payload = Buffer.concat([head, randomBytes(length)]);
  payload[0] = payloadType.NOTIFY;
  payload.writeUInt16BE(payload.length, 2);
  return payload;
}

/** What pretends to answer IKE_SA_INIT. */
export function initAnswer(
  spiI: Uint8Array,
  payloads: Uint8Array,
  firstPayload: number = payloadType.NOTIFY,
  spiR: Uint8Array = new Uint8Array(8),
): Buffer {
  return ikeMessage({ spiI, spiR, exchange: exchange.IKE_SA_INIT, flags: 0x20, messageId: 0, firstPayload, payloads });
}
