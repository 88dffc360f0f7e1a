import { chmod, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ProxyNotice } from '@aovpn/api';
import type { SettingStore } from './setting-journal.ts';

const group = '[Proxy Settings]';

/** Group `Proxy Settings` of KDE's kioslaverc, whose other lines stay as they are; without a file and without keys there is no file. */
export function kdeProxy(file: string): SettingStore {
  const readLines = async (): Promise<string[] | undefined> => {
    try {
      return (await readFile(file, 'utf8')).split('\n');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  };
  return {
    read: async () => {
      const lines = (await readLines()) ?? [];
      const found: Record<string, string> = {};
      for (const { key, value } of entries(lines)) found[key] = value;
      return found;
    },
    write: async (changes) => {
      const written = await readLines();
      const lines = change(written ?? [], changes);
      if (lines.every((line) => line.trim() === '')) return await rm(file, { force: true });
      await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
      const fresh = `${file}.aovpn`;
      const { mode } = await stat(file).catch(() => ({ mode: 0o600 }));
      await writeFile(fresh, lines.join('\n'));
      await chmod(fresh, mode & 0o777);
      await rename(fresh, file);
    },
  };
}

/** As KDE's own dialog writes them. */
export function kdeSettings(notice: ProxyNotice): Readonly<Record<string, string>> {
  if (notice.mode === 'auto') return { ProxyType: '2', 'Proxy Config Script': notice.url! };
  const { host, port } = notice.server!;
  const server = `http://${host.includes(':') ? `[${host}]` : host} ${port}`;
  return {
    ProxyType: '1',
    httpProxy: server,
    httpsProxy: server,
    ftpProxy: server,
    socksProxy: '',
    NoProxyFor: notice.except.join(','),
    ReversedException: 'false',
  };
}

interface Entry {
  readonly index: number;
  readonly key: string;
  readonly value: string;
}

function entries(lines: readonly string[]): readonly Entry[] {
  const found: Entry[] = [];
  let inside = false;
  for (const [index, line] of lines.entries()) {
    if (line.startsWith('[')) inside = line.trim() === group;
    const at = line.indexOf('=');
    if (inside && at > 0 && !line.startsWith('#'))
      found.push({ index, key: line.slice(0, at).trim(), value: line.slice(at + 1).trim() });
  }
  return found;
}

function change(before: readonly string[], changes: Readonly<Record<string, string | null>>): string[] {
  const lines: (string | undefined)[] = [...before];
  const open = new Map(Object.entries(changes));
  for (const { index, key } of entries(before)) {
    const value = open.get(key);
    if (value === undefined) continue;
    lines[index] = value === null ? undefined : `${key}=${value}`;
    open.delete(key);
  }
  const added = [...open].flatMap(([key, value]) => (value === null ? [] : [`${key}=${value}`]));
  const header = before.findIndex((line) => line.trim() === group);
  if (added.length > 0 && header >= 0) lines[header] = [before[header]!, ...added].join('\n');
  else if (added.length > 0) {
    // A file of lines ends with an empty piece.
    const end = lines.at(-1) === '' ? lines.length - 1 : lines.length;
    lines.splice(end, lines.length - end, ...(end > 0 ? [''] : []), group, ...added, '');
  }
  const left = lines.filter((line) => line !== undefined);
  return withoutEmptyGroup(left, before);
}

/** A group that we made goes with its last key. */
function withoutEmptyGroup(lines: readonly string[], before: readonly string[]): string[] {
  const at = lines.indexOf(group);
  const next = at < 0 ? undefined : lines.slice(at + 1).find((line) => line.trim() !== '');
  const isEmpty = at >= 0 && (next === undefined || next.startsWith('['));
  if (!isEmpty || entries(before).length === 0) return [...lines];
  const from = lines[at - 1] === '' ? at - 1 : at;
  return [...lines.slice(0, from), ...lines.slice(at + 1)];
}
