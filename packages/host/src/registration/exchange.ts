import { Socket } from 'node:net';
import { formatAddress, type IpAddress } from '@aovpn/bytes';
import { frame } from '../resolver/upstream.ts';
import { bindToDevice, closeDescriptor, constant, libc } from '../sys/index.ts';

const port = 53;

/**
 * One message by TCP and its answer, through one device only: what the company's name server is told goes into the tunnel or nowhere.
 * @throws {Error} when there is no answer with the same id in time
 */
export async function exchange(device: string, server: IpAddress, message: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
  const socket = openTcpOn(device, server.family);
  try {
    return await new Promise<Uint8Array>((resolve, reject) => {
      let received = Buffer.alloc(0);
      socket.setTimeout(timeoutMs, () => reject(new Error(`${formatAddress(server)} is silent`)));
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
    socket.destroy();
  }
}

function openTcpOn(device: string, family: 4 | 6): Socket {
  const domain = family === 4 ? constant.AF_INET : constant.AF_INET6;
  const fd = libc.socket(domain, constant.SOCK_STREAM | constant.SOCK_NONBLOCK | constant.SOCK_CLOEXEC, 0);
  if (fd < 0) throw new Error('no socket');
  try {
    bindToDevice(fd, device);
    return new Socket({ fd });
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}
