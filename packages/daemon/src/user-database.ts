import { readFileSync } from 'node:fs';

/** By /etc/group; a group of a directory service is not worth the wait at boot. */
export function groupId(name: string): number | undefined {
  return idIn('/etc/group', name);
}

/** By /etc/passwd; users of a directory service are named by number in the settings. */
export function userId(user: string | number): number | undefined {
  return typeof user === 'number' ? user : idIn('/etc/passwd', user);
}

/** A user for people: `root`, `user 1000 (alice)`. */
export function userText(uid: number): string {
  if (uid === 0) return 'root';
  const name = userName(uid);
  return name === undefined ? `user ${uid}` : `user ${uid} (${name})`;
}

/** By /etc/passwd. */
export function userName(uid: number): string | undefined {
  try {
    for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
      const [name, , id] = line.split(':');
      if (Number(id) === uid && name !== undefined && id !== '') return name;
    }
  } catch {
    // The number is enough.
  }
  return undefined;
}

function idIn(file: string, wanted: string): number | undefined {
  try {
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      const [name, , id] = line.split(':');
      if (name === wanted && id !== undefined && /^\d+$/.test(id)) return Number(id);
    }
  } catch {
    // Nobody, then.
  }
  return undefined;
}
