import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

/** Answers everybody with the address it was asked from, by UDP and TCP, v4 and v6. Ends with its standard input. */
const port = Number(process.argv[2]);

// One socket for each address: an answer comes from where it was asked for.
const listen = async (address: string): Promise<void> => {
  const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 4 << 20 });
  socket.on('message', (message, from) => {
    // A single octet wants no answer.
    if (message.length > 1) socket.send(from.address, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(port, address, resolve));
};
for (const address of process.argv.slice(3)) await listen(address);
createServer((connection) => {
  connection.on('error', () => undefined);
  connection.end(connection.remoteAddress?.replace(/^::ffff:/, '') ?? '');
}).listen(port, () => process.stdout.write('listening\n'));
process.stdin.on('close', () => process.exit());
process.stdin.resume();
