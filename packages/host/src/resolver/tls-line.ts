import { randomInt } from 'node:crypto';
import { isIP, type Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { formatAddress } from '@aovpn/bytes';
import type { EncryptedServer } from '@aovpn/policy';
import { openMarkedStream } from '../sys/index.ts';
import { isAnswerTo, readId, writeId } from './dns-message.ts';
import { judgeResolver, resolverFailure, type ResolverFailure } from './judge-resolver.ts';
import { frame, FrameReader } from './message-frames.ts';

/** A question on its way; `message` has the id of this line. */
export interface LineQuestion {
  readonly message: Uint8Array;
  readonly questionEnd: number;
  readonly onAnswer: (answer: Uint8Array) => void;
}

export interface TlsLineEvents {
  /** It has proven itself. */
  onProven(): void;
  onMismatch(): void;
  /**
   * It is over. `failure` is absent where nothing was amiss: it was idle, or done with.
   * @param left questions without an answer
   */
  onEnd(failure: ResolverFailure | undefined, left: readonly LineQuestion[]): void;
}

/** For TCP, TLS and the proof together, milliseconds. */
const handshakeMs = 4000;
/** So long no whole answer while questions wait, milliseconds: nobody is there any more, or somebody who sends octet by octet. */
const silenceMs = 4000;
/** An idle connection is kept so long (RFC 7858 §3.4), milliseconds. */
const idleMs = 20_000;
/** Questions of one connection at once that somebody waits for. */
const mostWaiting = 4000;
/** With so many given up it takes no more: whoever asks faster than the resolver answers shall not stand in the way of others. */
const mostGivenUp = 1000;
/** Octets that may wait to be sent. */
const mostUnsent = 1 << 20;
/** So many answers to no question are an end of it. */
const maxMismatches = 16;

/**
 * One connection to one resolver (RFC 7858): questions are pipelined, and answers may come in any order (RFC 7766 §6.2.1.1, §7). Nothing of a
 * question is sent before the other end has proven itself, and no TLS session of before is taken up: each connection is proven anew.
 */
export class TlsLine {
  readonly #server: EncryptedServer;
  readonly #events: TlsLineEvents;
  readonly #waiting = new Map<number, LineQuestion>();
  /** Ids of questions that nobody waits for any more: their answers may still come. */
  readonly #givenUp = new Set<number>();
  readonly #reader = new FrameReader();
  readonly #socket: Socket;
  #secure: TLSSocket | undefined;
  #proven = false;
  #over = false;
  #retired = false;
  #mismatches = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @throws {SysError} */
  constructor(server: EncryptedServer, mark: number, events: TlsLineEvents) {
    this.#server = server;
    this.#events = events;
    this.#socket = openMarkedStream(server.address.family, mark);
    this.#arm(handshakeMs, () => this.#fail('AOV-HOST-340', 'network', 'no TLS connection in time'));
    this.#socket.on('error', (error) => this.#broken(error));
    this.#socket.on('close', () => this.#fail('AOV-HOST-341', 'gateway', 'it ended the connection'));
    this.#socket.setNoDelay(true);
    this.#socket.connect({ host: formatAddress(server.address), port: server.port }, () => this.#shakeHands());
  }

  /** Whether it takes another question. */
  get open(): boolean {
    return !this.#over && !this.#retired && this.#givenUp.size < mostGivenUp;
  }

  /** @param query is not changed @returns what gives it up; undefined: too many wait */
  ask(query: Uint8Array, questionEnd: number, onAnswer: (answer: Uint8Array) => void): (() => void) | undefined {
    if (this.#waiting.size >= mostWaiting || (this.#secure?.writableLength ?? 0) > mostUnsent) return undefined;
    const message = Uint8Array.from(query);
    let id: number;
    do id = randomInt(0x10000);
    while (this.#waiting.has(id) || this.#givenUp.has(id));
    writeId(message, id);
    const first = this.#underway === 0;
    this.#waiting.set(id, { message, questionEnd, onAnswer });
    if (this.#proven) {
      this.#secure!.write(frame(message));
      if (first) this.#watch();
    }
    return () => {
      if (this.#waiting.delete(id) && this.#proven) this.#givenUp.add(id);
      this.#endIfDone();
    };
  }

  /** Takes no more questions, and ends when nobody waits for an answer any more. */
  retire(): void {
    this.#retired = true;
    this.#endIfDone();
  }

  /** Ends it; questions under way are left without an answer, and nobody is told. */
  close(): void {
    this.#waiting.clear();
    this.#end(undefined);
  }

  get #underway(): number {
    return this.#waiting.size + this.#givenUp.size;
  }

  #shakeHands(): void {
    const { name } = this.#server;
    let secure: TLSSocket;
    try {
      secure = this.#connect(name);
    } catch (error) {
      this.#fail('AOV-HOST-342', 'gateway', `${name}: ${error instanceof Error ? error.message : String(error)}`);
      return;
    }
    this.#secure = secure;
    secure.on('error', (error) => this.#broken(error));
    secure.on('close', () => this.#fail('AOV-HOST-341', 'gateway', 'it ended the connection'));
    secure.on('secureConnect', () => {
      judgeResolver(secure, this.#server).then(
        (failure) => this.#judged(failure),
        (error: unknown) => this.#fail('AOV-HOST-345', 'gateway', error instanceof Error ? error.message : String(error)),
      );
    });
  }

  #connect(name: string): TLSSocket {
    return connect({
      socket: this.#socket,
      // An address is no server name (RFC 6066 §3).
      servername: isIP(name) === 0 ? name : '',
      ALPNProtocols: ['dot'],
      minVersion: 'TLSv1.2',
      ca: [],
      // It is judged below, before anything is written.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    });
  }

  #judged(failure: ResolverFailure | undefined): void {
    if (this.#over) return;
    if (failure) return this.#end(failure);
    this.#proven = true;
    this.#events.onProven();
    this.#secure!.on('data', (chunk) => {
      const good = this.#reader.push(chunk, (answer) => this.#receive(answer));
      if (!good) this.#fail('AOV-HOST-342', 'gateway', 'it sent a message too short to be one of DNS');
    });
    for (const { message } of this.#waiting.values()) this.#secure!.write(frame(message));
    this.#watch();
  }

  /** @returns whether to go on */
  #receive(answer: Uint8Array): boolean {
    const id = readId(answer);
    const question = this.#waiting.get(id);
    const known = question ? isAnswerTo(answer, question.message, question.questionEnd) : this.#givenUp.delete(id);
    if (!known) {
      this.#events.onMismatch();
      if (++this.#mismatches >= maxMismatches) this.#fail('AOV-HOST-342', 'gateway', 'it answers what it was not asked');
      return !this.#over;
    }
    this.#waiting.delete(id);
    this.#watch();
    question?.onAnswer(answer);
    return !this.#over;
  }

  /** After a whole answer, and when there is something to wait for again. */
  #watch(): void {
    this.#endIfDone();
    if (this.#over) return;
    if (this.#underway > 0)
      this.#arm(silenceMs, () => this.#fail('AOV-HOST-340', 'network', `no answer for ${silenceMs / 1000} s`));
    else this.#arm(idleMs, () => this.#end(undefined));
  }

  #endIfDone(): void {
    if (this.#retired && this.#waiting.size === 0) this.#end(undefined);
  }

  #arm(ms: number, onTime: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(onTime, ms);
    this.#timer.unref();
  }

  #broken(error: Error & { code?: string }): void {
    const { code = '', message } = error;
    if (code === 'ETIMEDOUT' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH') this.#fail('AOV-HOST-340', 'network', message);
    else if (code === 'ECONNREFUSED' || code === 'ECONNRESET' || code === 'EPIPE') this.#fail('AOV-HOST-341', 'gateway', message);
    else this.#fail('AOV-HOST-342', 'gateway', message);
  }

  /** That the other end closes what is idle is no failure (RFC 7766 §6.2.3). */
  #fail(code: Parameters<typeof resolverFailure>[0], side: ResolverFailure['side'], what: string): void {
    const idle = this.#proven && this.#underway === 0 && code === 'AOV-HOST-341';
    this.#end(idle ? undefined : resolverFailure(code, side, what));
  }

  #end(failure: ResolverFailure | undefined): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#secure?.destroy();
    this.#socket.destroy();
    this.#events.onEnd(failure, [...this.#waiting.values()]);
  }
}
