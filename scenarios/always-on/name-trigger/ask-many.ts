// Program: asks a DNS server many names at once, each socket its share, and says how many answers of which code came. Arguments: server, number of
// questions, number of sockets, name (`*` is replaced by a number), patience in milliseconds.
import { createSocket } from 'node:dgram';
import process from 'node:process';

const [server, count, sockets, name, patience] = process.argv.slice(2) as [string, string, string, string, string];
const codes: Record<string, number> = {};
let answered = 0;
let sent = 0;
const end = (): void => {
  process.stdout.write(`${JSON.stringify({ answered, codes })}\n`);
  process.exit(0);
};
const share = Math.ceil(Number(count) / Number(sockets));
for (let s = 0; s < Number(sockets); s++) {
  const socket = createSocket('udp4');
  const seen = new Set<number>();
  socket.on('message', (answer) => {
    const id = answer.readUInt16BE(0);
    if (seen.has(id)) return;
    seen.add(id);
    const code = `${answer[3]! & 0x0f}`;
    codes[code] = (codes[code] ?? 0) + 1;
    if (++answered === share * Number(sockets)) end();
  });
  for (let id = 0; id < share; id++) {
    const labels = name.replace('*', `${s}-${id}`).split('.');
    const question = Buffer.concat([
      Buffer.from([id >> 8, id & 0xff, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
      ...labels.map((label) => Buffer.from([label.length, ...Buffer.from(label)])),
      Buffer.from([0, 0, 1, 0, 1]),
    ]);
    socket.send(question, 53, server, () => {
      if (++sent === share * Number(sockets)) process.stdout.write('asked\n');
    });
  }
}
setTimeout(end, Number(patience));
