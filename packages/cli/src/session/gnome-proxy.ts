import type { ProxyNotice } from '@aovpn/api';
import { runProgram } from './run-program.ts';
import type { SettingStore } from './setting-journal.ts';

const directory = '/system/proxy/';

/** org.gnome.system.proxy, by dconf(1), which alone tells what a person has set from what is a default. Values are in GVariant's text format. */
export const gnomeProxy: SettingStore = {
  read: async () => {
    const text = await runProgram('dconf', ['dump', directory]);
    if (text === undefined) throw new Error('dconf cannot be asked');
    return parseDump(text);
  },
  write: async (changes) => {
    const set = Object.entries(changes).filter((entry): entry is [string, string] => entry[1] !== null);
    if (set.length > 0 && (await runProgram('dconf', ['load', directory], printDump(Object.fromEntries(set)))) === undefined)
      throw new Error('dconf refuses our settings');
    for (const [key, value] of Object.entries(changes))
      if (value === null && (await runProgram('dconf', ['reset', `${directory}${key}`])) === undefined)
        throw new Error(`dconf does not reset ${key}`);
  },
};

export function gnomeSettings(notice: ProxyNotice): Readonly<Record<string, string>> {
  if (notice.mode === 'auto') return { mode: "'auto'", 'autoconfig-url': quoted(notice.url!) };
  const { host, port } = notice.server!;
  const both = (name: string): Record<string, string> => ({ [`${name}/host`]: quoted(host), [`${name}/port`]: String(port) });
  return {
    mode: "'manual'",
    'ignore-hosts': `[${notice.except.map(quoted).join(', ')}]`,
    ...both('http'),
    ...both('https'),
    ...both('ftp'),
    // A SOCKS proxy of before would be asked for all that is none of these.
    'socks/host': "''",
  };
}

/** Keys of groups: `[http]` and `host=…` make `http/host`; the group `[/]` is the directory itself. */
function parseDump(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  let group = '';
  for (const line of text.split('\n')) {
    const header = /^\[(.*)\]$/.exec(line);
    if (header) group = header[1] === '/' ? '' : `${header[1]}/`;
    const at = line.indexOf('=');
    if (!header && at > 0) found[`${group}${line.slice(0, at)}`] = line.slice(at + 1);
  }
  return found;
}

function printDump(settings: Readonly<Record<string, string>>): string {
  const groups = new Map<string, string[]>();
  for (const [key, value] of Object.entries(settings)) {
    const at = key.lastIndexOf('/');
    const group = at < 0 ? '/' : key.slice(0, at);
    groups.set(group, [...(groups.get(group) ?? []), `${key.slice(at + 1)}=${value}`]);
  }
  return [...groups].map(([group, lines]) => `[${group}]\n${lines.join('\n')}\n`).join('\n');
}

/** What a notice may hold has neither quotes nor backslashes. */
function quoted(text: string): string {
  return `'${text}'`;
}
