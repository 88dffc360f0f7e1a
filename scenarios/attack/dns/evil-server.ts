// Program: a DNS server that lies in the way the first label of a name says. Argument: the address to listen on, and the truth.
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { randomBytes } from 'node:crypto';
import process from 'node:process';

const [listen, truth, lie] = process.argv.slice(2) as [string, string, string];
const udp = createSocket('udp4');
const elsewhere = createSocket('udp4');

function labelsOf(query: Buffer): { readonly first: string; readonly end: number } {
  let at = 12;
  let first = '';
  while (query[at]) {
    first ||= query.toString('latin1', at + 1, at + 1 + query[at]!);
    at += query[at]! + 1;
  }
  return { first, end: at + 5 };
}

/** Answer records after the question; names point to the question (RFC 1035 §4.1.4). */
function reply(query: Buffer, records: readonly Buffer[], change: { readonly truncated?: boolean } = {}): Buffer {
  const { end } = labelsOf(query);
  const answer = Buffer.concat([query.subarray(0, end), ...records]);
  answer[2] = 0x85 | (change.truncated ? 0x02 : 0);
  answer[3] = 0x80;
  answer.writeUInt16BE(records.length, 6);
  answer.fill(0, 8, 12);
  return answer;
}

function record(type: number, data: Buffer): Buffer {
  const head = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 5, 0, 0]);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

const address = (text: string): Buffer => record(1, Buffer.from(text.split('.').map(Number)));
const isA = (query: Buffer): boolean => query[labelsOf(query).end - 3] === 1;

udp.on('message', (query, { address: host, port }) => {
  const { first } = labelsOf(query);
  const send = (answer: Buffer, from = udp): void => from.send(answer, port, host);
  const honest = (): void => send(reply(query, isA(query) ? [address(truth)] : []));
  const lying = reply(query, isA(query) ? [address(lie)] : []);
  process.stdout.write(`${first}\n`);
  switch (first) {
    case 'wrong-id':
      for (let i = 1; i <= 8; i++) {
        const forged = Buffer.from(lying);
        forged.writeUInt16BE((forged.readUInt16BE(0) + i) & 0xffff, 0);
        send(forged);
      }
      return void setTimeout(honest, 50);
    case 'wrong-port':
      send(lying, elsewhere);
      return void setTimeout(honest, 50);
    case 'wrong-name': {
      const forged = Buffer.from(lying);
      forged[13]! ^= 1;
      send(forged);
      return void setTimeout(honest, 50);
    }
    case 'only-forged': {
      const forged = Buffer.from(lying);
      forged.writeUInt16BE((forged.readUInt16BE(0) + 1) & 0xffff, 0);
      return send(forged);
    }
    case 'noise':
      for (let i = 0; i < 12; i++) send(randomBytes(1 + i * 90));
      return void setTimeout(honest, 50);
    case 'loop':
      // A CNAME of itself.
      return send(reply(query, [record(5, Buffer.from([0xc0, 12]))]));
    case 'alias-pair': {
      // Two names that are aliases of each other; the second one is `x` below the first.
      const longer = Buffer.from([1, 0x78, 0xc0, 12]);
      const back = Buffer.concat([longer, record(5, Buffer.from([0xc0, 12])).subarray(2)]);
      return send(reply(query, [record(5, longer), back]));
    }
    case 'pointer-loop': {
      // The name of the record points at itself.
      const at = labelsOf(query).end;
      return send(reply(query, [Buffer.concat([Buffer.from([0xc0 | (at >> 8), at & 0xff]), address(lie).subarray(2)])]));
    }
    case 'long':
      return send(reply(query, [], { truncated: true }));
    case 'huge':
      return send(reply(query, isA(query) ? Array.from({ length: 3000 }, () => address(truth)) : []));
    case 'dead':
      return;
    default:
      return honest();
  }
});

const tcp = createServer((client) => {
  client.on('error', () => undefined);
  client.on('data', (data) => {
    const query = data.subarray(2);
    const answer = reply(query, isA(query) ? Array.from({ length: 200 }, () => address(truth)) : []);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(answer.length);
    client.write(Buffer.concat([length, answer]));
  });
});
elsewhere.bind({ address: listen, port: 5353 });
udp.bind({ address: listen, port: 53 }, () => tcp.listen(53, listen, () => process.stdout.write('ready\n')));
