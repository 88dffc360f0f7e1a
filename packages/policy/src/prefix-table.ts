import { formatPrefix, networkOf, type IpAddress, type IpPrefix } from '@aovpn/bytes';

/** Values by prefix, found by the longest one around an address in time that does not depend on how many there are. */
export class PrefixTable<T> {
  readonly #values = new Map<string, T[]>();
  /** Lengths that occur, longest first. */
  readonly #lengths: { 4: number[]; 6: number[] } = { 4: [], 6: [] };

  add(prefix: IpPrefix, value: T): void {
    const key = formatPrefix(networkOf(prefix));
    const known = this.#values.get(key);
    if (known) {
      known.push(value);
      return;
    }
    this.#values.set(key, [value]);
    const { family } = prefix.address;
    if (!this.#lengths[family].includes(prefix.length)) {
      this.#lengths[family] = [...this.#lengths[family], prefix.length].sort((a, b) => b - a);
    }
  }

  /** All values of exactly this prefix. */
  at(prefix: IpPrefix): readonly T[] {
    return this.#values.get(formatPrefix(networkOf(prefix))) ?? [];
  }

  /** All values, in the order in which their prefixes came. */
  values(): readonly T[] {
    return [...this.#values.values()].flat();
  }

  /** All values of the longest prefix that contains the address; none when no prefix does. */
  around(address: IpAddress): readonly T[] {
    for (const length of this.#lengths[address.family]) {
      const found = this.at({ address, length });
      if (found.length > 0) return found;
    }
    return [];
  }
}
