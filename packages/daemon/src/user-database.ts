import { readFileSync } from 'node:fs';

/** By /etc/group; a group of a directory service is not worth the wait at boot. */
export function groupId(name: string): number | undefined {
  return idIn('/etc/group', name);
}

/** By /etc/passwd; users of a directory service are named by number in the settings. */
export function userId(user: string | number): number | undefined {
  return typeof user === 'number' ? user : idIn('/etc/passwd', user);
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
