import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import process from 'node:process';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { unmarshal, type DbusValue } from './marshal.ts';
import {
  decodeMessage,
  encodeCall,
  isUnasked,
  maxMessageBytes,
  messageLength,
  messageType,
  type IncomingDbusMessage,
  type MethodCall,
} from './message.ts';

/** A connection to a message bus. Every failure is an `Error`; one that the other side named is a {@link DbusError}. */
export interface DbusConnection {
  /** The values of the answer, which has five seconds unless said otherwise. Octets of the call and of the answer that went through here are overwritten. */
  call(call: MethodCall, patienceMs?: number): Promise<readonly DbusValue[]>;
  /** Why it is over, once it is; never rejects. */
  readonly over: Promise<Error>;
  close(): void;
}

/** What the bus passes on: its body is not read yet, and nothing says that it comes from whom one expects. */
export type IncomingSignal = Pick<
  IncomingDbusMessage,
  'path' | 'interface' | 'member' | 'sender' | 'signature' | 'body' | 'littleEndian'
>;

/** The other side refused, by the name that it gave. */
export class DbusError extends Error {
  override readonly name = 'DbusError';
  /** Such as `org.freedesktop.DBus.Error.ServiceUnknown`. */
  readonly errorName: string;

  constructor(errorName: string, message: string) {
    super(message === '' ? errorName : `${errorName}: ${message}`);
    this.errorName = errorName;
  }
}

/** Patience for one answer, milliseconds. */
const answerMs = 5_000;

/**
 * What one connection takes in: anybody on the bus may send us as much as they like. Beyond that it is left with the bus for the rest of
 * the time, which holds it back from its senders.
 */
const intake = { messages: 2_000, octets: 8 << 20, perMs: 1_000 } as const;

/** Whom the bus belongs to. */
export interface BusOwner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Connects to the bus at a Unix socket and says who we are: SASL EXTERNAL (D-Bus specification, "Authentication Protocol"), which the
 * kernel vouches for. A bus of a user lets nobody in but that user, root no more than others; so for the bus of somebody else a
 * process of theirs connects for us. `onSignal` hears every signal, in the order of the bus. @throws {Error}
 */
export async function connectBus(
  socketPath: string,
  owner?: BusOwner,
  onSignal?: (signal: IncomingSignal) => void,
): Promise<DbusConnection> {
  const own = process.geteuid?.() ?? 0;
  const bus = new Bus(owner === undefined || owner.uid === own ? direct(socketPath) : bridged(socketPath, owner), onSignal);
  try {
    await bus.begin(owner?.uid ?? own);
    await bus.call({
      destination: 'org.freedesktop.DBus',
      path: '/org/freedesktop/DBus',
      interface: 'org.freedesktop.DBus',
      member: 'Hello',
      signature: '',
      body: [],
    });
    return bus;
  } catch (error) {
    bus.close();
    throw error;
  }
}

/** The octets of a connection, wherever they go. */
interface Wire {
  readonly input: Readable;
  readonly output: Writable;
  close(): void;
}

function direct(socketPath: string): Wire {
  const socket = connect(socketPath);
  return { input: socket, output: socket, close: () => socket.destroy() };
}

/** Through a program of ours that runs as that user, without our environment, groups and descriptors. */
function bridged(socketPath: string, { uid, gid }: BusOwner): Wire {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./bus-bridge.ts', import.meta.url)), socketPath], {
    uid,
    gid,
    cwd: '/',
    env: {},
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.on('error', (error) => child.stdout.destroy(error));
  return { input: child.stdout, output: child.stdin, close: () => child.kill() };
}

class Bus implements DbusConnection {
  readonly #wire: Wire;
  readonly #onSignal: ((signal: IncomingSignal) => void) | undefined;
  readonly #waiting = new Map<number, { resolve(values: readonly DbusValue[]): void; reject(error: Error): void }>();
  readonly #begun = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<Error>();
  #received = new Uint8Array(0);
  /** Octets to come of a message that nobody wants. */
  #unwanted = 0;
  #authenticated = false;
  #serial = 0;
  #taken = { since: -Infinity, messages: 0, octets: 0 };
  #rest: NodeJS.Timeout | undefined;
  #over: Error | undefined;

  constructor(wire: Wire, onSignal?: (signal: IncomingSignal) => void) {
    this.#wire = wire;
    this.#onSignal = onSignal;
    this.#begun.promise.catch(() => {});
    wire.input.on('data', (chunk: Buffer) => {
      try {
        this.#take(chunk);
      } catch (error) {
        this.#end(error as Error);
      }
    });
    for (const stream of [wire.input, wire.output]) {
      stream.on('error', (error) => this.#end(error));
      stream.on('close', () => this.#end(new Error('the bus has closed the connection')));
    }
  }

  get over(): Promise<Error> {
    return this.#ended.promise;
  }

  async begin(uid: number): Promise<void> {
    const identity = Buffer.from(String(uid)).toString('hex');
    this.#wire.output.write(`\0AUTH EXTERNAL ${identity}\r\n`);
    await inTime(this.#begun.promise);
  }

  async call(call: MethodCall, patienceMs = answerMs): Promise<readonly DbusValue[]> {
    if (this.#over) throw this.#over;
    const serial = ++this.#serial;
    const { promise, resolve, reject } = Promise.withResolvers<readonly DbusValue[]>();
    this.#waiting.set(serial, { resolve, reject });
    const message = encodeCall(serial, call);
    this.#wire.output.write(message, () => message.fill(0));
    try {
      return await inTime(promise, patienceMs);
    } finally {
      this.#waiting.delete(serial);
    }
  }

  close(): void {
    this.#end(new Error('closed'));
  }

  #take(chunk: Buffer): void {
    const octets = new Uint8Array(this.#received.length + chunk.length);
    octets.set(this.#received);
    octets.set(chunk, this.#received.length);
    this.#received.fill(0);
    chunk.fill(0);
    let at = 0;
    let messages = 0;
    if (!this.#authenticated) {
      const end = octets.indexOf(0x0a);
      if (end < 0 && octets.length > maxMessageBytes) throw new Error('the bus does not come to the point');
      if (end >= 0) {
        this.#greeted(Buffer.from(octets.subarray(0, end)).toString('latin1').trim());
        at = end + 1;
      }
    }
    while (this.#authenticated && !this.#over) {
      const passed = Math.min(this.#unwanted, octets.length - at);
      this.#unwanted -= passed;
      at += passed;
      const message = octets.subarray(at);
      const length = messageLength(message);
      if (length === undefined) break;
      if (length > maxMessageBytes) {
        if (!isUnasked(message)) throw new RangeError('an answer that is too long');
        this.#unwanted = length;
        continue;
      }
      if (message.length < length) break;
      this.#hear(message.subarray(0, length));
      messages++;
      at += length;
    }
    this.#received = this.#over ? new Uint8Array(0) : octets.slice(at);
    octets.fill(0);
    this.#breathe(messages, chunk.length);
  }

  #greeted(line: string): void {
    if (!line.startsWith('OK ')) throw new Error(`the bus does not let us in (${line.slice(0, 40)})`);
    this.#authenticated = true;
    this.#wire.output.write('BEGIN\r\n');
    this.#begun.resolve();
  }

  /** Reads no more for a while once too much has come. */
  #breathe(messages: number, octets: number): void {
    const now = performance.now();
    if (now - this.#taken.since >= intake.perMs) this.#taken = { since: now, messages: 0, octets: 0 };
    this.#taken.messages += messages;
    this.#taken.octets += octets;
    if (this.#over || (this.#taken.messages < intake.messages && this.#taken.octets < intake.octets)) return;
    this.#wire.input.pause();
    this.#rest ??= setTimeout(
      () => {
        this.#rest = undefined;
        this.#wire.input.resume();
      },
      Math.max(1, intake.perMs - (now - this.#taken.since)),
    );
  }

  #hear(octets: Uint8Array): void {
    let message: IncomingDbusMessage;
    try {
      message = decodeMessage(octets);
    } catch (error) {
      if (isUnasked(octets)) return;
      throw error;
    }
    const { type, replySerial, errorName, signature, body, littleEndian } = message;
    if (type === messageType.signal) return this.#onSignal?.(message);
    const waiting = replySerial === undefined ? undefined : this.#waiting.get(replySerial);
    if (!waiting || (type !== messageType.methodReturn && type !== messageType.error)) return;
    try {
      const values = unmarshal(signature, body, littleEndian);
      if (type === messageType.methodReturn) waiting.resolve(values);
      else waiting.reject(new DbusError(errorName ?? 'unnamed', typeof values[0] === 'string' ? values[0].slice(0, 300) : ''));
    } catch (error) {
      waiting.reject(error as Error);
    } finally {
      body.fill(0);
    }
  }

  #end(error: Error): void {
    if (this.#over) return;
    this.#over = error;
    clearTimeout(this.#rest);
    this.#received.fill(0);
    this.#begun.reject(error);
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#wire.close();
    this.#ended.resolve(error);
  }
}

async function inTime<T>(promise: Promise<T>, patienceMs = answerMs): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${patienceMs / 1000} s`)), patienceMs);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
