import { spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export type ChangerRequest = { readonly id: number } & Change;

type Change =
  /** Takes a device down. */
  | { readonly op: 'cut'; readonly device: string }
  /** Takes the addresses of a device away. */
  | { readonly op: 'readdress'; readonly device: string }
  /** Lets nothing pass to or from these addresses. */
  | { readonly op: 'silence'; readonly addresses: readonly string[] }
  /** Deletes a device; that is not undone. */
  | { readonly op: 'drop-device'; readonly device: string }
  | { readonly op: 'undo'; readonly what: number };

/** Changes the network, and puts back in any case what was changed: also when this process is killed. */
export interface NetworkChanger {
  /** Resolves to what puts it back. @throws in the words of the program that refused */
  change(change: Exclude<Change, { readonly op: 'undo' }>): Promise<() => Promise<void>>;
  /** Puts everything back that still is changed. */
  close(): Promise<void>;
}

export function openNetworkChanger(): NetworkChanger {
  const program = fileURLToPath(new URL('./network-changer-worker.ts', import.meta.url));
  // Detached: a Ctrl-C or a closed terminal ends the group of the test, not who cleans up after it.
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'ignore'], detached: true });
  const answers = new Map<number, (error: string | undefined) => void>();
  let last = 0;
  let ended = false;
  const exited = once(child, 'close').then(() => {
    ended = true;
    for (const answer of answers.values()) answer('the process that changes the network ended');
  });
  child.stdin.on('error', () => {});
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, error } = JSON.parse(line) as { id: number; error?: string };
    answers.get(id)?.(error);
    answers.delete(id);
  });
  const ask = async (change: Change): Promise<number> => {
    if (ended) throw new Error('the process that changes the network ended');
    const id = ++last;
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    answers.set(id, resolve);
    child.stdin.write(`${JSON.stringify({ id, ...change })}\n`);
    const error = await promise;
    if (error !== undefined) throw new Error(error);
    return id;
  };
  return {
    change: async (change) => {
      const what = await ask(change);
      return async () => void (await ask({ op: 'undo', what }));
    },
    close: async () => {
      child.stdin.end();
      await exited;
    },
  };
}
