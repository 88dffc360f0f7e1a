import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** RFC 8446 §5.1: content types of records that are sent in the clear. */
const clear: ReadonlySet<number> = new Set([20, 21, 22]);
const headerLength = 5;

/**
 * Between TLS 1.3 as client and its socket: what is encrypted waits until somebody lets it go. In TLS 1.3 the server has proven possession of its key
 * before a client encrypts anything, and our certificate is the first thing that is (RFC 8446 §2, §4.4); Node itself judges the server only when
 * that has been sent.
 */
export class ProofWire extends Duplex {
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);
  #held: Buffer[] | undefined = [];
  #ending: (() => void) | undefined;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on('data', (data: Buffer) => void this.push(data));
    socket.on('end', () => void this.push(null));
    socket.on('close', () => this.destroy());
  }

  /** The server is believed: what waits goes, and all that follows. */
  letGo(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const record of held) this.#socket.write(record);
    this.#ending?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= headerLength) {
      const length = headerLength + this.#rest.readUInt16BE(3);
      if (this.#rest.length < length) break;
      const record = Buffer.from(this.#rest.subarray(0, length));
      this.#rest = this.#rest.subarray(length);
      if (!this.#held || (clear.has(record[0]!) && this.#held.length === 0)) this.#socket.write(record);
      else this.#held.push(record);
    }
    done();
  }

  override _final(done: () => void): void {
    const end = (): void => {
      this.#socket.end();
      done();
    };
    if (this.#held && this.#held.length > 0) this.#ending = end;
    else end();
  }

  override _read(): void {
    // Input is pushed when it comes.
  }
}
