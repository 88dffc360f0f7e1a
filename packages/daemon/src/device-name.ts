import { createHash } from 'node:crypto';
import { devicePrefix } from '@aovpn/policy';

/** IFNAMSIZ without its end mark. */
const maxLength = 15;

/** At most 15 characters, recognisable, and the same at every start: `aov-` and the name, shortened by a hash when it must be. */
export function deviceNameOf(name: string, all: readonly string[]): string {
  const plain = plainOf(name).replaceAll(/^-+|-+$/g, '');
  const room = maxLength - devicePrefix.length - 1;
  const clash = all.some((other) => other !== name && plainOf(other) === plain);
  if (plain !== '' && plain.length <= room && !clash) return `${devicePrefix}-${plain}`;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 4);
  return `${devicePrefix}-${plain.slice(0, room - 5)}${plain === '' ? '' : '-'}${hash}`;
}

function plainOf(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
}
