import { randomInt } from 'node:crypto';
import type { Socket } from 'node:net';
import { formatAddress, type IpAddress } from '@aovpn/bytes';
import type { DnsRule, EncryptedServer } from '@aovpn/policy';
import { openMarkedStream } from '../sys/index.ts';
import { openDatagramSocket, type DatagramSocket } from './datagram-socket.ts';
import { isAnswerTo, writeId } from './dns-message.ts';
import { openEncryptedUpstream, type EncryptedResolverState, type EncryptedUpstream } from './encrypted-upstream.ts';
import { frame } from './message-frames.ts';

/** One server and how it is reached. */
export interface Upstream {
  readonly address: IpAddress;
  /** `SO_MARK` of the packets; 0: routed like any program's. */
  readonly mark: number;
  /** Asked by TLS, and in no other way; its address is `address`. */
  readonly tls?: EncryptedServer;
}

/** The answer, or why there is none. */
export type UpstreamResult = { readonly ok: true; readonly answer: Uint8Array } | { readonly ok: false; readonly why: string };

/** Whom a rule asks: its encrypted servers, and those that are asked in the clear. */
export function upstreamsOf(
  { servers, encrypted, clear = [] }: Pick<DnsRule, 'servers' | 'encrypted' | 'clear'>,
  mark: number,
): { readonly first: readonly Upstream[]; readonly otherwise: readonly Upstream[] } {
  const plain = (addresses: readonly IpAddress[]): Upstream[] => addresses.map((address) => ({ address, mark }));
  if (!encrypted) return { first: plain(servers), otherwise: [] };
  return { first: encrypted.map((tls) => ({ address: tls.address, mark, tls })), otherwise: plain(clear) };
}

/** The same text for the same server, reached in the same way. */
export function upstreamKey({ address, mark, tls }: Upstream): string {
  const plain = `${formatAddress(address)} ${mark}`;
  return tls ? `${plain} ${JSON.stringify([tls.port, tls.name, tls.proof])}` : plain;
}

/**
 * Asks by UDP and TCP, and by TLS where the server is one that wants that. Each question has an id of its own and a socket to itself, so a source port that the kernel chose at random
 * (RFC 5452 §9.2). Sockets are used again a few times, in random order: making one costs more than asking.
 */
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
  /** Sockets that were made before are thrown away: routes and source addresses may have changed. Of those not in `keep` nothing stays. */
  refresh(keep?: readonly Upstream[]): void;
  /** What is known of one that is asked by TLS. */
  encrypted(upstream: Upstream): EncryptedResolverState | undefined;
  /** Answers that did not belong to their question, since the beginning. */
  mismatched(): number;
  close(): void;
}

const dnsPort = 53;
/** Ports to choose from for each server. */
const idleSockets = 32;
/** A port is given up after so many questions, or after the first that went wrong. */
const maxUses = 16;
/** Encrypted servers that are remembered. */
const mostEncrypted = 64;
/** So many wrong answers on one socket are an attack on it; the next try has another port and another id. */
const maxMismatches = 16;

/** A socket connected to one server, and who waits on it. */
interface UdpLine {
  readonly socket: DatagramSocket;
  uses: number;
  onMessage: ((answer: Uint8Array) => void) | undefined;
  onError: ((why: string) => void) | undefined;
}

/** @param onEncrypted an encrypted server has proven itself, or fails */
export function createUpstreamAsker(onEncrypted?: (state: EncryptedResolverState) => void): UpstreamAsker {
  let pools = new Map<string, UdpLine[]>();
  /** What callers hand over is often the same object; its text is not made again for each question. */
  const keys = new WeakMap<Upstream, string>();
  let mismatches = 0;
  const encrypted = new Map<string, EncryptedUpstream>();

  const keyOf = (upstream: Upstream): string => {
    const known = keys.get(upstream);
    if (known !== undefined) return known;
    const key = upstreamKey(upstream);
    keys.set(upstream, key);
    return key;
  };
  const take = (key: string, upstream: Upstream): UdpLine => {
    const pool = pools.get(key);
    if (!pool) {
      pools.set(key, []);
      return openLine(upstream);
    }
    // Until there are enough to choose from, each question makes one more.
    if (pool.length < idleSockets / 2) return openLine(upstream);
    const which = randomInt(pool.length);
    const line = pool[which]!;
    pool[which] = pool.at(-1)!;
    pool.pop();
    return line;
  };
  const giveBack = (pool: UdpLine[] | undefined, line: UdpLine, fine: boolean): void => {
    line.onMessage = undefined;
    line.onError = undefined;
    if (fine && pool && pool.length < idleSockets && line.uses < maxUses) pool.push(line);
    else line.socket.close();
  };
  const byTls = (key: string, { tls, mark }: Upstream): EncryptedUpstream => {
    const known = encrypted.get(key);
    if (known) return known;
    const [oldest] = encrypted.keys();
    if (encrypted.size >= mostEncrypted) forget(oldest!);
    const made = openEncryptedUpstream(tls!, mark, {
      onMismatch: () => mismatches++,
      ...(onEncrypted && { onState: onEncrypted }),
    });
    encrypted.set(key, made);
    return made;
  };
  const forget = (key: string): void => {
    encrypted.get(key)?.renew();
    encrypted.delete(key);
  };
  const drop = (): void => {
    for (const pool of pools.values()) for (const line of pool) line.socket.close();
    pools = new Map();
  };

  return {
    ask: (upstream, query, questionEnd, overTcp, timeoutMs, done) => {
      if (upstream.tls)
        return byTls(keyOf(upstream), upstream).ask(query, questionEnd, timeoutMs, (result) =>
          done('answer' in result ? { ok: true, answer: result.answer } : { ok: false, why: result.why }),
        );
      // Not slice(): that of a Buffer is a view, and the asker still needs its own id.
      const message = Uint8Array.from(query);
      writeId(message, randomInt(0x10000));
      let finished = false;
      let release: (fine: boolean) => void = () => undefined;
      const finish = (result: UpstreamResult | undefined, fine: boolean): void => {
        if (finished) return;
        finished = true;
        clearTimeout(timer);
        release(fine);
        if (result) done(result);
      };
      const fail = (why: string): void => finish({ ok: false, why }, false);
      const timer = setTimeout(() => fail('no answer'), timeoutMs);
      let wrong = 0;
      const believe = (answer: Uint8Array): boolean => {
        if (isAnswerTo(answer, message, questionEnd)) {
          finish({ ok: true, answer: answer.slice() }, wrong === 0);
          return true;
        }
        mismatches++;
        wrong++;
        return false;
      };
      try {
        if (overTcp) {
          const socket = openMarkedStream(upstream.address.family, upstream.mark);
          release = () => socket.destroy();
          askByTcp(socket, upstream, message, (answer) => believe(answer) || fail('an answer to another question'), fail);
        } else {
          const key = keyOf(upstream);
          const line = take(key, upstream);
          const pool = pools.get(key);
          line.uses++;
          // After a refresh the pool is another one, and this socket belongs to none.
          release = (fine) => giveBack(pools.get(key) === pool ? pool : undefined, line, fine);
          line.onMessage = (answer) => {
            if (!believe(answer) && wrong >= maxMismatches) fail('too many answers to other questions');
          };
          line.onError = fail;
          const why = line.socket.send(message);
          if (why !== undefined) setImmediate(() => fail(why));
        }
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        setImmediate(() => fail(why));
      }
      return () => finish(undefined, false);
    },
    refresh: (keep = []) => {
      drop();
      const kept = new Set(keep.map(keyOf));
      for (const [key, one] of encrypted) {
        if (kept.has(key)) one.renew();
        else forget(key);
      }
    },
    encrypted: (upstream) => encrypted.get(keyOf(upstream))?.state(),
    mismatched: () => mismatches,
    close: () => {
      drop();
      for (const one of encrypted.values()) one.close();
      encrypted.clear();
    },
  };
}

function openLine({ address, mark }: Upstream): UdpLine {
  const line: UdpLine = {
    socket: openDatagramSocket({
      family: address.family,
      connect: { address, port: dnsPort },
      mark,
      onMessage: (answer) => line.onMessage?.(answer),
      onError: (why) => {
        if (line.onError) line.onError(why);
        else line.uses = maxUses;
      },
    }),
    uses: 0,
    onMessage: undefined,
    onError: undefined,
  };
  return line;
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
