import { espTransform, NextHeader, paddingLength, sealedLength, sequenceState, type EspTransform } from '@aovpn/esp';
import { EspCipher, type CipherScratch } from './esp-cipher.ts';
import type { PacketMemory } from './packet-memory.ts';
import type { WorkerCommand } from './worker-protocol.ts';

type Install = Extract<WorkerCommand, { kind: 'install' }>;

/** The longest padding and trailer of any cipher, in 32-bit words. */
const savedWords = 5;

/** The sending half of a CHILD_SA. */
export class OutboundSa {
  readonly transform: EspTransform;
  readonly spiIn: number;
  readonly row: number;
  sequence = 0;
  bytes = 0;
  /** Whether the main thread was told that a rekey is due. */
  rekeyAsked = false;
  readonly #spi: number;
  readonly #esn: boolean;
  readonly #cipher: EspCipher;
  readonly #memory: PacketMemory;
  readonly #saved = new Int32Array(savedWords);

  /** @throws {Error} when the suite is none of ours or OpenSSL refuses it */
  constructor(install: Install, memory: PacketMemory, scratch: CipherScratch) {
    const transform = espTransform(install.suite);
    if (!transform) throw new Error('unknown ESP suite');
    this.transform = transform;
    this.spiIn = install.spiIn;
    this.row = install.row;
    this.#spi = install.sa.spi;
    this.#memory = memory;
    this.#esn = install.esn;
    this.#cipher = new EspCipher(memory, scratch, transform, install.sa, true, install.esn);
  }

  get state(): 'fine' | 'rekey' | 'exhausted' {
    const state = sequenceState(this.sequence, this.#esn);
    return state === 'fine' && this.bytes >= this.transform.softByteLimit ? 'rekey' : state;
  }

  /** Octets that the packet will have. */
  lengthOf(payloadLength: number): number {
    return sealedLength(this.transform, payloadLength);
  }

  /**
   * Seals the inner packet at `from` into an ESP packet at `to` and returns its length; 0 when nothing may be sent any more. The octets behind
   * the inner packet serve as trailer meanwhile and are as before afterwards.
   */
  seal(from: number, length: number, to: number): number {
    if (this.state === 'exhausted') return 0;
    const { octets, view } = this.#memory;
    const saved = this.#saved;
    const padding = paddingLength(length, this.transform.alignment);
    const trailer = from + length;
    const words = (padding + 5) >> 2;
    for (let i = 0; i < words; i++) saved[i] = view.getInt32(trailer + 4 * i);
    for (let i = 0; i < padding; i++) octets[trailer + i] = i + 1;
    octets[trailer + padding] = padding;
    octets[trailer + padding + 1] = octets[from]! >>> 4 === 4 ? NextHeader.IPV4 : NextHeader.IPV6;

    view.setUint32(to, this.#spi);
    const sequence = ++this.sequence;
    view.setUint32(to + 4, sequence % 2 ** 32);
    const good = this.#cipher.seal(to, from, length + padding + 2, Math.floor(sequence / 2 ** 32));
    for (let i = 0; i < words; i++) view.setInt32(trailer + 4 * i, saved[i]!);
    this.bytes += length;
    return good ? this.lengthOf(length) : 0;
  }

  free(): void {
    this.#cipher.free();
  }
}
