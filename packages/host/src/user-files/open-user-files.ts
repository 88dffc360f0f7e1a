import { spawn, type ChildProcess } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { isUserFileName, userFileLimits, type UserFile } from './limit.ts';

export interface UserFilesOptions {
  readonly uid: number;
  readonly gid: number;
  readonly user: string;
  /** Absolute. */
  readonly home: string;
  /** All that counts of `.config/aovpn/profiles.d` now; `skipped`: what does not, each with the reason. */
  readonly onFiles: (files: readonly UserFile[], skipped: readonly string[]) => void;
  /** Nothing of the directory counts, and why: what was told before still holds. */
  readonly onRefused: (why: string) => void;
}

/** base64 and the names around it. */
const longestLine = userFileLimits.total * 2;
/** A reader that ends by itself (its user can end it) is started again after so long, milliseconds; doubled each time. */
const firstRest = 1_000;
const longestRest = 60_000;

/**
 * Follows a user's own files. They are read by a process that has become that user: nothing of ours that has a privilege follows a link, opens a
 * fifo, waits for a file system or reads what the user could not read. What it says is judged again here, as the user may steer it.
 */
export function openUserFiles(options: UserFilesOptions): { close(): void } {
  const { uid, gid, user, home, onFiles, onRefused } = options;
  let child: ChildProcess | undefined;
  let again: NodeJS.Timeout | undefined;
  let rest = firstRest;
  let closed = false;

  const begin = (): void => {
    const script = fileURLToPath(new URL('reader.ts', import.meta.url));
    const argv = ['--max-old-space-size=64', '--max-semi-space-size=1', script, String(uid), String(gid), user, home];
    const mine = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'ignore'], cwd: '/', env: { LC_ALL: 'C' } });
    child = mine;
    let text = '';
    mine.stdin.on('error', () => undefined);
    mine.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      if (text.length > longestLine) {
        onRefused('its reader says more than it may');
        mine.kill('SIGKILL');
        return;
      }
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        if (!closed) take(line);
      }
    });
    mine.on('error', (error) => onRefused(error.message));
    mine.once('close', () => {
      if (closed) return;
      again = setTimeout(begin, rest);
      again.unref();
      rest = Math.min(longestRest, rest * 2);
    });
  };
  const take = (line: string): void => {
    const snapshot = readSnapshot(line);
    if (typeof snapshot === 'string') onRefused(snapshot);
    else {
      rest = firstRest;
      onFiles(snapshot.files, snapshot.skipped);
    }
  };
  begin();
  return {
    close: () => {
      closed = true;
      clearTimeout(again);
      // Without CAP_KILL it ends by itself; whoever stops it has stopped a process of their own.
      child?.stdin?.destroy();
      child?.stdout?.destroy();
      child?.kill('SIGKILL');
    },
  };
}

function readSnapshot(line: string): { readonly files: readonly UserFile[]; readonly skipped: readonly string[] } | string {
  const wrong = 'its reader says what nobody understands';
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return wrong;
  }
  if (typeof value !== 'object' || value === null) return wrong;
  const { files, skipped, refused } = value as {
    readonly files?: unknown;
    readonly skipped?: unknown;
    readonly refused?: unknown;
  };
  if (typeof refused === 'string') return refused.slice(0, 500);
  if (!Array.isArray(files) || files.length > userFileLimits.files) return wrong;
  const found = new Map<string, UserFile>();
  let total = 0;
  for (const file of files as readonly { readonly name?: unknown; readonly data?: unknown }[]) {
    if (typeof file?.name !== 'string' || !isUserFileName(file.name) || typeof file.data !== 'string') return wrong;
    const content = new Uint8Array(Buffer.from(file.data, 'base64'));
    total += content.length;
    if (content.length > userFileLimits.file || total > userFileLimits.total) return wrong;
    found.set(file.name, { name: file.name, content });
  }
  const reasons = Array.isArray(skipped) ? skipped.filter((reason) => typeof reason === 'string').slice(0, 20) : [];
  return { files: [...found.values()], skipped: reasons.map((reason) => reason.slice(0, 300)) };
}
