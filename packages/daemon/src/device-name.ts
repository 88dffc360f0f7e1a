import { createHash } from 'node:crypto';
import { devicePrefix } from '@aovpn/policy';

/** IFNAMSIZ without its end mark. */
const maxLength = 15;
const room = maxLength - devicePrefix.length - 1;
/** Hexadecimal digits of a hash; all of them where fewer have not told two names apart. */
const [shortHash, longHash] = [4, room];

/**
 * At most 15 characters, recognisable, and the same at every start: `aov-` and the name, shortened by a hash when it must be. No two of `all`
 * have one device, whatever somebody calls a profile.
 */
export function deviceNameOf(name: string, all: readonly string[]): string {
  const others = all.filter((other) => other !== name);
  const wishes = [wishOf(name, 0), wishOf(name, shortHash)];
  const free = wishes.find((wish) => wish !== undefined && !others.some((other) => mayHave(other, wish)));
  return `${devicePrefix}-${free ?? hashOf(name, longHash)}`;
}

/** Whether a name would take it for itself, or share it by chance. */
function mayHave(name: string, wish: string): boolean {
  return wishOf(name, 0) === wish || wishOf(name, shortHash) === wish;
}

/** The name with so many digits of a hash; undefined where it does not fit without. */
function wishOf(name: string, digits: number): string | undefined {
  const plain = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
  if (digits === 0) return plain !== '' && plain.length <= room ? plain : undefined;
  const short = plain.slice(0, room - digits - 1);
  return short === '' ? hashOf(name, digits) : `${short}-${hashOf(name, digits)}`;
}

function hashOf(name: string, digits: number): string {
  return createHash('sha256').update(name).digest('hex').slice(0, digits);
}
