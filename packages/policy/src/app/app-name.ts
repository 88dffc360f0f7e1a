import type { AppId } from '@aovpn/profile';

/** What an App/Id of a profile names, in a form in which equal things are equal texts. */
export type AppName =
  | { readonly kind: 'system' }
  /** Lower case, variables replaced, `*` where the user's name stood. */
  | { readonly kind: 'windows-path'; readonly path: string; readonly written: string }
  /** Lower case. */
  | { readonly kind: 'package-family'; readonly family: string; readonly written: string }
  /** An absolute path of this machine; ours, Windows has nothing like it. */
  | { readonly kind: 'linux-path'; readonly path: string; readonly written: string }
  | { readonly kind: 'unusable'; readonly why: string; readonly written: string };

/**
 * Where Windows' variables point on a machine as it is delivered. Both "Program Files" folders count as one, and so do the 32-bit and
 * 64-bit system folders: which of the two a program sits in says nothing about what it is.
 */
const variables: ReadonlyMap<string, string> = new Map([
  ['systemdrive', 'c:'],
  ['homedrive', 'c:'],
  ['systemroot', 'c:\\windows'],
  ['windir', 'c:\\windows'],
  ['programfiles', 'c:\\program files'],
  ['programfiles(x86)', 'c:\\program files'],
  ['programw6432', 'c:\\program files'],
  ['commonprogramfiles', 'c:\\program files\\common files'],
  ['commonprogramfiles(x86)', 'c:\\program files\\common files'],
  ['commonprogramw6432', 'c:\\program files\\common files'],
  ['programdata', 'c:\\programdata'],
  ['allusersprofile', 'c:\\programdata'],
  ['public', 'c:\\users\\public'],
  ['userprofile', 'c:\\users\\*'],
  ['homepath', '\\users\\*'],
  ['appdata', 'c:\\users\\*\\appdata\\roaming'],
  ['localappdata', 'c:\\users\\*\\appdata\\local'],
  ['temp', 'c:\\users\\*\\appdata\\local\\temp'],
  ['tmp', 'c:\\users\\*\\appdata\\local\\temp'],
]);

const longestPath = 4096;

/** `\\?\`, in front of a path it changes nothing. */
const devicePrefix = /^\\\\[?.]\\(?!unc\\)/i;

/** Never fails; what cannot name one program is `unusable`. */
export function appNameOf({ id, type }: AppId): AppName {
  const written = id.trim();
  const unusable = (why: string): AppName => ({ kind: 'unusable', why, written });
  if (type === 'System' || written.toUpperCase() === 'SYSTEM') return { kind: 'system' };
  if (written === '' || written.length > longestPath) return unusable(`it has ${written.length} characters`);
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f]/.test(written)) return unusable('it has control characters');
  if (/[*?]/.test(written.replace(devicePrefix, ''))) return unusable('it has a wildcard');
  if (written.startsWith('/')) {
    const wrong = faultOfLinuxPath(written);
    return wrong === undefined ? { kind: 'linux-path', path: written, written } : unusable(wrong);
  }
  if (type === 'PackageFamilyName') {
    if (!/^[\w.-]{1,200}$/.test(written)) return unusable('it is neither a package family name nor a full path');
    return { kind: 'package-family', family: written.toLowerCase(), written };
  }
  const path = normaliseWindowsPath(written);
  return path === undefined ? unusable('it is not a full path') : { kind: 'windows-path', path, written };
}

/** Why a text is not a plain absolute path; undefined when it is one. `*` is no fault here. */
export function faultOfLinuxPath(path: string): string | undefined {
  if (!path.startsWith('/')) return 'it is not an absolute path';
  const parts = path.slice(1).split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..')) return 'it has an empty component, "." or ".."';
  return undefined;
}

/** Undefined when it is not a full path. */
export function normaliseWindowsPath(written: string): string | undefined {
  let path = written.toLowerCase().replaceAll('/', '\\');
  path = path.replace(devicePrefix, '');
  path = path.replaceAll(/%([^%\\]+)%/g, (whole, name: string) => variables.get(name) ?? whole);
  if (!/^(?:[a-z]:\\|\\\\|%[^%\\]+%\\)./.test(path)) return undefined;
  path = `${path.slice(0, 2)}${path.slice(2).replaceAll(/\\+/g, '\\')}`;
  path = path
    .replace(/^([a-z]:\\)program files \(x86\)(?=\\)/, '$1program files')
    .replace(/^([a-z]:\\windows\\)(?:syswow64|sysnative)(?=\\)/, '$1system32')
    .replace(/^([a-z]:\\users\\)(?!public\\)[^\\]+(?=\\)/, '$1*');
  return path.split('\\').some((part) => part === '.' || part === '..') ? undefined : path;
}
