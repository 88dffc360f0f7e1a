import {
  espHeaderLength,
  espTransform,
  ReplayWindow,
  sequenceState,
  shortestSealed,
  unpaddedLength,
  type EspTransform,
} from '@aovpn/esp';
import { EspCipher, type CipherScratch } from './esp-cipher.ts';
import type { PacketMemory } from './packet-memory.ts';
import type { WorkerCommand } from './worker-protocol.ts';

type Install = Extract<WorkerCommand, { kind: 'install' }>;

export type Refusal = 'malformed' | 'replay' | 'authentication';

/** The receiving half of a CHILD_SA. */
export class InboundSa {
  readonly spiIn: number;
  readonly row: number;
  bytes = 0;
  rekeyAsked = false;
  /** After {@link open} said yes: where the payload is, its octets, and what it is. */
  payloadAt = 0;
  payloadLength = 0;
  nextHeader = 0;
  readonly #transform: EspTransform;
  readonly #shortest: number;
  readonly #esn: boolean;
  readonly #cipher: EspCipher;
  readonly #window = new ReplayWindow();
  readonly #memory: PacketMemory;

  /** @throws {Error} when the suite is none of ours or OpenSSL refuses it */
  constructor(install: Install, memory: PacketMemory, scratch: CipherScratch) {
    const transform = espTransform(install.suite);
    if (!transform) throw new Error('unknown ESP suite');
    this.#transform = transform;
    this.#shortest = shortestSealed(transform);
    this.spiIn = install.spiIn;
    this.row = install.row;
    this.#memory = memory;
    this.#esn = install.esn;
    this.#cipher = new EspCipher(memory, scratch, transform, install.sa, false, install.esn);
  }

  /** Whether the peer's numbers or the cipher's volume run out. */
  get rekeyWhy(): 'sequence' | 'bytes' | undefined {
    if (this.bytes >= this.#transform.softByteLimit) return 'bytes';
    return sequenceState(this.#window.newest, this.#esn) === 'fine' ? undefined : 'sequence';
  }

  /** Opens the ESP packet at `at` in place: lengths, replay, authentication, replay window, padding, in this order (RFC 4303 §3.4). */
  open(at: number, length: number): Refusal | undefined {
    const { octets, view } = this.#memory;
    const { ivLength, icvLength, alignment } = this.#transform;
    const textLength = length - espHeaderLength - ivLength - icvLength;
    if (length < this.#shortest || (textLength & (alignment - 1)) !== 0) return 'malformed';
    const low = view.getUint32(at + 4);
    const sequence = this.#esn ? this.#window.infer(low) : low;
    if (!this.#window.check(sequence)) return 'replay';
    if (!this.#cipher.open(at, length, Math.floor(sequence / 2 ** 32))) return 'authentication';
    this.#window.update(sequence);
    this.payloadAt = at + espHeaderLength + ivLength;
    this.payloadLength = unpaddedLength(octets, this.payloadAt, textLength);
    if (this.payloadLength < 0) return 'malformed';
    this.nextHeader = octets[this.payloadAt + textLength - 1]!;
    return undefined;
  }

  free(): void {
    this.#cipher.free();
  }
}
