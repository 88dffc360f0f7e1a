import { closeSync, constants, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { AppPlan } from '@aovpn/policy';

/** Where things that are not plain paths lead to; another root for tests. */
export interface AppPlaces {
  /** `/` unless told otherwise. */
  readonly root?: string;
}

const searchPath = ['/usr/local/bin', '/usr/bin', '/bin', '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/games'];
const desktopDirectories = [
  '/usr/local/share/applications',
  '/usr/share/applications',
  '/var/lib/flatpak/exports/share/applications',
  '/var/lib/snapd/desktop/applications',
];
const maxDesktopOctets = 256 * 1024;
/** Ids become parts of paths: nothing in them leads elsewhere. */
const idForm = /^[A-Za-z0-9_][A-Za-z0-9._+-]*$/;
/** What starts other programs is nobody's app: whoever claims it claims them all. */
const launchers =
  /^(?:env|sh|ash|bash|dash|zsh|ksh|fish|busybox|flatpak|snap|bwrap|sudo|pkexec|systemd-run|gtk-launch|gio|xdg-open|xterm|x-terminal-emulator|python[0-9.]*|perl|ruby|node|nodejs|java|mono|wine|wine64|gjs|electron)$/;

/**
 * The files whose start is the start of an app: its own paths, the programs of its flatpaks and snaps wherever their current version is,
 * and what its desktop entries start.
 */
export function pathsOfApp(
  app: Pick<AppPlan, 'executables' | 'desktop' | 'flatpak' | 'snap'>,
  { root = '/' }: AppPlaces = {},
): string[] {
  const paths = [...app.executables];
  for (const id of app.flatpak.filter(isId)) {
    const files = join(root, 'var/lib/flatpak/app', id, 'current/active/files');
    paths.push(join(files, 'bin/*'), join(files, 'libexec/*'));
  }
  for (const name of app.snap.filter(isId)) {
    const current = join(root, 'snap', name, 'current');
    paths.push(join(current, '*'), join(current, 'bin/*'), join(current, 'usr/bin/*'));
  }
  for (const id of app.desktop.filter(isId)) {
    const path = programOfDesktopEntry(id, root);
    if (path !== undefined) paths.push(path);
  }
  return [...new Set(paths)];
}

/** The program of `Exec=` of the first desktop entry of this id (Desktop Entry Specification); undefined for a mere launcher. */
function programOfDesktopEntry(id: string, root: string): string | undefined {
  for (const directory of desktopDirectories) {
    const text = readBounded(join(root, directory, `${id}.desktop`));
    if (text === undefined) continue;
    const group = /^\[Desktop Entry\]$([\s\S]*?)(?=^\[|(?![\s\S]))/m.exec(text)?.[1] ?? '';
    const command = /^Exec\s*=\s*(.*)$/m.exec(group)?.[1] ?? '';
    const program = /^"((?:[^"\\]|\\.)*)"/.exec(command)?.[1]?.replace(/\\(.)/g, '$1') ?? /^\S+/.exec(command)?.[0];
    if (program === undefined || program.includes('*') || launchers.test(program.split('/').at(-1)!)) return undefined;
    if (program.startsWith('/')) return join(root, program);
    if (program.includes('/')) return undefined;
    return searchPath.map((path) => join(root, path, program)).find((path) => readBounded(path, 1) !== undefined);
  }
  return undefined;
}

function isId(id: string): boolean {
  return idForm.test(id) && !id.includes('..');
}

function readBounded(path: string, most = maxDesktopOctets): string | undefined {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const octets = Buffer.alloc(most);
      return octets.toString('utf8', 0, readSync(fd, octets, 0, most, 0));
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}
