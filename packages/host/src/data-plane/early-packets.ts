/** As many packets at a time; a handful comes in the moments for which they are kept. */
const capacity = 64;
/** Whatever else there is to install takes less, milliseconds. */
const patience = 500;

interface Early {
  readonly spi: number;
  readonly octets: Uint8Array;
  readonly at: number;
}

/**
 * ESP packets of pairs that are not installed yet. A gateway sends on a new CHILD_SA as soon as it has made it, and its first packets overtake the
 * IKE message that tells us, or come while keys are being put in place: without this, each new IKE SA beside an old one would cost some.
 * Nothing of them is authentic; whoever sends rubbish pushes out rubbish.
 */
export class EarlyPackets {
  #kept: Early[] = [];

  keep(spi: number, octets: Uint8Array, now: number): void {
    if (this.#kept.length >= capacity) this.#kept.shift();
    this.#kept.push({ spi, octets, at: now });
  }

  /** Those of a pair that is there now, in their order. */
  take(spi: number, now: number): readonly Uint8Array[] {
    if (this.#kept.length === 0) return [];
    const young = this.#kept.filter(({ at }) => now - at <= patience);
    this.#kept = young.filter((packet) => packet.spi !== spi);
    return young.filter((packet) => packet.spi === spi).map(({ octets }) => octets);
  }
}
