import { Socket } from 'node:net';
import { formatAddress, type IpAddress } from '@aovpn/bytes';
import { frame } from '../resolver/message-frames.ts';
import { bindToDevice, openStream } from '../sys/index.ts';

const port = 53;

/**
 * One message by TCP and its answer, through one device only: what the company's name server is told goes into the tunnel or nowhere.
 * @param device undefined: where routes lead
 * @throws {Error} when there is no answer with the same id in time
 */
export async function exchange(
  device: string | undefined,
  server: IpAddress,
  message: Uint8Array,
  timeoutMs: number,
): Promise<Uint8Array> {
  const socket = device === undefined ? new Socket() : openStream(server.family, (fd) => bindToDevice(fd, device));
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<Uint8Array>((resolve, reject) => {
      let received = Buffer.alloc(0);
      // For the whole answer: a server that says an octet now and then is no better than one that is silent.
      timer = setTimeout(() => reject(new Error(`${formatAddress(server)} has not answered in time`)), timeoutMs);
      socket.on('error', (error) => reject(new Error(`${formatAddress(server)}: ${error.message}`)));
      socket.on('close', () => reject(new Error(`${formatAddress(server)} closed the connection`)));
      socket.on('data', (chunk) => {
        received = Buffer.concat([received, chunk]);
        if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
        const answer = Uint8Array.from(received.subarray(2, 2 + received.readUInt16BE(0)));
        if (answer[0] !== message[0] || answer[1] !== message[1])
          reject(new Error(`${formatAddress(server)} answers something else`));
        else resolve(answer);
      });
      socket.connect({ port, host: formatAddress(server) }, () => socket.write(frame(message)));
    });
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}
