import { randomInt } from 'node:crypto';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { Socket } from 'node:net';
import { formatAddress, type IpAddress } from '@aovpn/bytes';
import { closeDescriptor, constant, libc, openUdpSocket, setOption } from '../sys/index.ts';
import { isAnswerTo, writeId } from './dns-message.ts';

/** One server and how it is reached. */
export interface Upstream {
  readonly address: IpAddress;
  /** `SO_MARK` of the packets; 0: routed like any program's. */
  readonly mark: number;
}

/** The answer, or why there is none. */
export type UpstreamResult = { readonly ok: true; readonly answer: Uint8Array } | { readonly ok: false; readonly why: string };

/** Asks by UDP and TCP. Each question has a socket (so a source port of the kernel's choice) and an id of its own (RFC 5452 §9.2). */
export interface UpstreamAsker {
  /** @returns cancels; the callback then never comes */
  ask(
    upstream: Upstream,
    query: Uint8Array,
    questionEnd: number,
    overTcp: boolean,
    timeoutMs: number,
    done: (result: UpstreamResult) => void,
  ): () => void;
  /** Sockets that were made in advance are thrown away: routes and source addresses may have changed. */
  refresh(): void;
  /** Answers that did not belong to their question, since the beginning. */
  mismatched(): number;
  close(): void;
}

const dnsPort = 53;
/** Sockets ready for each server: making one costs more than sending a query. */
const readySockets = 4;
/** So many wrong answers on one socket are an attack on it; the next try has another port and another id. */
const maxMismatches = 16;

export function createUpstreamAsker(): UpstreamAsker {
  const pools = new Map<string, UdpSocket[]>();
  const refilling = new Set<string>();
  let mismatches = 0;
  let open = true;

  const take = (key: string, upstream: Upstream): UdpSocket => {
    const socket = pools.get(key)?.pop() ?? openUdp(upstream);
    if (!refilling.has(key)) {
      refilling.add(key);
      setImmediate(() => {
        refilling.delete(key);
        if (!open) return;
        const pool = pools.get(key) ?? [];
        pools.set(key, pool);
        try {
          while (pool.length < readySockets) pool.push(openUdp(upstream));
        } catch {
          // Out of descriptors or route: the next question meets the same and says so.
        }
      });
    }
    return socket;
  };

  return {
    ask: (upstream, query, questionEnd, overTcp, timeoutMs, done) => {
      const message = query.slice();
      writeId(message, randomInt(0x10000));
      let finished = false;
      let release = (): void => undefined;
      const finish = (result: UpstreamResult | undefined): void => {
        if (finished) return;
        finished = true;
        clearTimeout(timer);
        release();
        if (result) done(result);
      };
      const fail = (why: string): void => finish({ ok: false, why });
      const timer = setTimeout(() => fail('no answer'), timeoutMs);
      const believe = (answer: Uint8Array): boolean => {
        if (isAnswerTo(answer, message, questionEnd)) {
          finish({ ok: true, answer });
          return true;
        }
        mismatches++;
        return false;
      };
      try {
        if (overTcp) {
          const socket = openTcp(upstream);
          release = () => socket.destroy();
          askByTcp(socket, upstream, message, (answer) => believe(answer) || fail('an answer to another question'), fail);
        } else {
          const socket = take(`${formatAddress(upstream.address)} ${upstream.mark}`, upstream);
          release = () => closeUdp(socket);
          let wrong = 0;
          socket.on('message', (answer) => {
            if (!believe(answer) && ++wrong >= maxMismatches) fail('too many answers to other questions');
          });
          socket.on('error', (error) => fail(error.message));
          socket.send(message, (error) => {
            if (error) fail(error.message);
          });
        }
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        setImmediate(() => fail(why));
      }
      return () => finish(undefined);
    },
    refresh: () => {
      for (const pool of pools.values()) for (const socket of pool) closeUdp(socket);
      pools.clear();
    },
    mismatched: () => mismatches,
    close: () => {
      open = false;
      for (const pool of pools.values()) for (const socket of pool) closeUdp(socket);
      pools.clear();
    },
  };
}

/** A connected socket: the kernel hands us datagrams of that server and port only, and tells when nobody listens there. */
function openUdp({ address, mark }: Upstream): UdpSocket {
  const fd = openUdpSocket(address.family);
  let adopted = false;
  try {
    if (mark !== 0) setOption(fd, constant.SOL_SOCKET, constant.SO_MARK, mark);
    const text = formatAddress(address);
    const socket = createSocket({
      type: address.family === 4 ? 'udp4' : 'udp6',
      lookup: (_host, _options, callback) => callback(null, text, address.family),
    });
    socket.bind({ fd });
    adopted = true;
    // An error without a question (ICMP for a socket made in advance) is told to the question that takes it, by its own failing send.
    socket.on('error', () => undefined);
    socket.connect(dnsPort, text);
    socket.unref();
    return socket;
  } catch (error) {
    if (!adopted) closeDescriptor(fd);
    throw error;
  }
}

function closeUdp(socket: UdpSocket): void {
  try {
    socket.removeAllListeners('message');
    socket.close();
  } catch {
    // Closed already, by an error.
  }
}

function openTcp({ address, mark }: Upstream): Socket {
  if (mark === 0) return new Socket();
  const domain = address.family === 4 ? constant.AF_INET : constant.AF_INET6;
  const fd = libc.socket(domain, constant.SOCK_STREAM | constant.SOCK_NONBLOCK | constant.SOCK_CLOEXEC, 0);
  if (fd < 0) throw new Error('no socket');
  try {
    setOption(fd, constant.SOL_SOCKET, constant.SO_MARK, mark);
    return new Socket({ fd });
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

/** RFC 1035 §4.2.2: a length of two octets before each message. */
function askByTcp(
  socket: Socket,
  { address }: Upstream,
  message: Uint8Array,
  onAnswer: (answer: Uint8Array) => void,
  fail: (why: string) => void,
): void {
  let received = Buffer.alloc(0);
  socket.on('error', (error) => fail(error.message));
  socket.on('close', () => fail('connection closed'));
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    if (received.length < 2) return;
    const length = received.readUInt16BE(0);
    if (received.length >= 2 + length) onAnswer(Uint8Array.from(received.subarray(2, 2 + length)));
  });
  socket.connect({ port: dnsPort, host: formatAddress(address) }, () => socket.write(frame(message)));
}

export function frame(message: Uint8Array): Uint8Array {
  const framed = new Uint8Array(2 + message.length);
  framed[0] = message.length >> 8;
  framed[1] = message.length & 0xff;
  framed.set(message, 2);
  return framed;
}
