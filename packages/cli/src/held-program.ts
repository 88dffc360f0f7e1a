import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

/** A process that waits to start a program: time to be put somewhere before the program makes its first socket. */
export interface HeldProgram {
  readonly pid: number;
  /** A directory of its own, for the files of the program. */
  readonly directory: string;
  /** Starts it; resolves to its exit code, 128 and more when a signal ended it. */
  go(argv: readonly string[]): Promise<number>;
  end(): void;
  /** Ends it if it still waits, and removes its directory. */
  dispose(): Promise<void>;
}

export async function holdProgram(): Promise<HeldProgram> {
  const directory = await mkdtemp(path.join(process.env['XDG_RUNTIME_DIR'] ?? tmpdir(), 'aovpn-portal-'));
  const child = fork(fileURLToPath(new URL('./held-program-worker.ts', import.meta.url)), {
    stdio: 'inherit',
    env: withoutProxy(),
  });
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  await once(child, 'spawn');
  return {
    pid: child.pid!,
    directory,
    go: async (argv) => {
      child.send(argv);
      const [status] = await exited;
      return status ?? 128;
    },
    end: () => child.kill('SIGTERM'),
    dispose: async () => {
      child.kill('SIGTERM');
      if (child.connected) child.disconnect();
      await rm(directory, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** The sign-in page is on this network, behind no proxy. */
function withoutProxy(): NodeJS.ProcessEnv {
  const names = new Set(['http_proxy', 'https_proxy', 'all_proxy', 'ftp_proxy']);
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !names.has(name.toLowerCase())));
}
