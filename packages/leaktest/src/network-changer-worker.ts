// Changes the network for the leak test and puts it back. A process of its own: when whoever asked is gone, however it ended, its
// standard input ends here, and everything is put back.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import type { ChangerRequest } from './network-changer.ts';

type Undo = () => Promise<void>;

const undoing = new Map<number, Undo>();
/** One after the other: what is put back must find what was there before. */
let work: Promise<void> = Promise.resolve();

// A person's Ctrl-C is for the test, which then says what is to be undone.
for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM'] as const) process.on(signal, () => {});

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const request = JSON.parse(line) as ChangerRequest;
  work = work.then(async () => {
    const error = await perform(request).then(
      () => undefined,
      (failure: unknown) => (failure instanceof Error ? failure.message : String(failure)),
    );
    process.stdout.write(`${JSON.stringify({ id: request.id, ...(error !== undefined && { error }) })}\n`);
  });
});
lines.on('close', () => {
  work = work.then(async () => {
    for (const undo of [...undoing.values()].reverse()) await undo().catch(() => {});
    process.exit(0);
  });
});
process.stdout.on('error', () => {});

async function perform(request: ChangerRequest): Promise<void> {
  switch (request.op) {
    case 'undo': {
      const undo = undoing.get(request.what);
      undoing.delete(request.what);
      return await undo?.();
    }
    case 'cut': {
      const { device } = request;
      const restore = await remember(device);
      undoing.set(request.id, async () => {
        await run('ip', ['link', 'set', 'dev', device, 'up']);
        await restore();
      });
      return void (await run('ip', ['link', 'set', 'dev', device, 'down']));
    }
    case 'readdress': {
      const { device } = request;
      undoing.set(request.id, await remember(device));
      return void (await run('ip', ['address', 'flush', 'dev', device, 'scope', 'global']));
    }
    case 'silence': {
      const table = `aovpn-leaktest-${process.pid}`;
      undoing.set(request.id, async () => void (await run('nft', ['delete', 'table', 'inet', table])));
      const rules = request.addresses.map((address) => {
        const word = address.includes(':') ? 'ip6' : 'ip';
        return [
          `add rule inet ${table} out ${word} daddr ${address} drop`,
          `add rule inet ${table} in ${word} saddr ${address} drop`,
        ];
      });
      const chain = (name: string, hook: string): string =>
        `add chain inet ${table} ${name} { type filter hook ${hook} priority 300 ; policy accept ; }`;
      const text = [`add table inet ${table}`, chain('out', 'output'), chain('in', 'input'), ...rules.flat(), ''].join('\n');
      return void (await run('nft', ['-f', '-'], text));
    }
    case 'drop-device':
      return void (await run('ip', ['link', 'delete', 'dev', request.device]));
  }
}

/** Addresses and routes of a device, as the kernel tells them; what comes back by itself is not made twice. */
async function remember(device: string): Promise<Undo> {
  const addresses = keep(await run('ip', ['address', 'save', 'dev', device]));
  const routes: number[] = [];
  for (const family of ['-4', '-6']) routes.push(keep(await run('ip', [family, 'route', 'save', 'table', 'all', 'dev', device])));
  return async () => {
    // "Exists" is the answer to each one that came back by itself, and the exit status of all.
    await run('ip', ['address', 'restore'], addresses).catch(() => {});
    for (const saved of routes) await run('ip', ['route', 'restore'], saved).catch(() => {});
    for (const saved of [addresses, ...routes]) closeSync(saved);
  };
}

/** A file without a name: `ip route restore` goes through its input several times, which a pipe does not allow. */
function keep(octets: Buffer): number {
  const directory = mkdtempSync(path.join(tmpdir(), 'aovpn-leaktest-'));
  const file = path.join(directory, 'saved');
  const fd = openSync(file, 'wx+', 0o600);
  writeSync(fd, octets);
  rmSync(directory, { recursive: true });
  return fd;
}

/** @param input text for standard input, or a file that is read from its beginning. @throws in the words of the program */
async function run(program: string, args: readonly string[], input: string | number = ''): Promise<Buffer> {
  const source = typeof input === 'number' ? openSync(`/proc/self/fd/${input}`, 'r') : undefined;
  try {
    const child = spawn(program, [...args], { stdio: [source ?? 'pipe', 'pipe', 'pipe'], timeout: 20_000 });
    child.stdin?.on('error', () => {}).end(input);
    const said: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] };
    for (const stream of ['stdout', 'stderr'] as const) child[stream]!.on('data', (chunk: Buffer) => said[stream].push(chunk));
    const [status] = (await once(child, 'close')) as [number | null];
    if (status === 0) return Buffer.concat(said.stdout);
    throw new Error(`${program} ${args.join(' ')}: ${Buffer.concat(said.stderr).toString().trim() || `status ${status}`}`);
  } finally {
    if (source !== undefined) closeSync(source);
  }
}
