import type { ExportedPlace, ExportedSecret } from '@aovpn/api';
import { formatAddress, toHex, type IpAddress } from '@aovpn/bytes';
import type { ChildSaInstall, OuterPath } from '@aovpn/esp';
import type { IkeSa } from '@aovpn/ike';

/**
 * Hands keys and datagrams of connections to root who asks for them, where the settings allow it. Nothing is kept: while nobody asks, nothing is even
 * looked at, and what was before is not told.
 */
export class KeyExport {
  readonly #takers = new Set<{
    readonly connection: string | undefined;
    readonly take: (secret: ExportedSecret) => void;
    readonly told: Set<string>;
  }>();

  /** @returns a function that ends it */
  begin(connection: string | undefined, take: (secret: ExportedSecret) => void): () => void {
    const taker = { connection, take, told: new Set<string>() };
    this.#takers.add(taker);
    return () => this.#takers.delete(taker);
  }

  datagram(connection: string, direction: 'in' | 'out', path: OuterPath, message: Uint8Array): void {
    if (!this.#isWanted(connection)) return;
    this.#tell(connection, {
      kind: 'datagram',
      at: Date.now(),
      connection,
      direction,
      local: place(path.local, path.localPort),
      remote: place(path.remote, path.remotePort),
      message: toHex(message),
    });
  }

  /** The keys of every IKE SA that there is, each once. */
  ike(connection: string, sa: IkeSa): void {
    if (!this.#isWanted(connection)) return;
    for (const { spiI, spiR, initiator, protection } of sa.associations) {
      if (!protection) continue;
      const { suite, send, receive } = protection;
      const [i, r] = initiator ? [send, receive] : [receive, send];
      const { encr, keyBits, integ } = suite;
      const keys = {
        skEi: toHex(i.encryptionKey),
        skEr: toHex(r.encryptionKey),
        skAi: toHex(i.integrityKey),
        skAr: toHex(r.integrityKey),
      };
      const secret = {
        kind: 'ike-keys',
        connection,
        spiI: toHex(spiI),
        spiR: toHex(spiR),
        encr,
        keyBits,
        integ,
        ...keys,
      } as const;
      this.#tell(connection, secret, `${secret.spiI} ${secret.spiR}`);
    }
  }

  /** Before the data plane takes the keys over. */
  esp(connection: string, { suite, inbound, outbound }: ChildSaInstall, { local, remote }: OuterPath): void {
    if (!this.#isWanted(connection)) return;
    for (const [sa, source, destination] of [
      [outbound, local, remote],
      [inbound, remote, local],
    ] as const) {
      this.#tell(connection, {
        kind: 'esp-keys',
        connection,
        source: formatAddress(source),
        destination: formatAddress(destination),
        family: source.family,
        spi: sa.spi,
        ...suite,
        encryptionKey: toHex(sa.encryptionKey),
        integrityKey: toHex(sa.integrityKey),
      });
    }
  }

  #isWanted(connection: string): boolean {
    for (const taker of this.#takers) if (taker.connection === undefined || taker.connection === connection) return true;
    return false;
  }

  #tell(connection: string, secret: ExportedSecret, once?: string): void {
    for (const { connection: wanted, take, told } of this.#takers) {
      if ((wanted !== undefined && wanted !== connection) || (once !== undefined && told.has(once))) continue;
      if (once !== undefined) told.add(once);
      take(secret);
    }
  }
}

function place(address: IpAddress, port: number): ExportedPlace {
  return { family: address.family, address: toHex(address.bytes), port };
}
