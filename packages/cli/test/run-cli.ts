import { spawn } from 'node:child_process';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../bin/aovpn.mjs', import.meta.url));

/** Runs the real command as a person would, without a terminal. */
export async function aovpn(args: readonly string[], options: { readonly input?: string; readonly socketPath?: string } = {}) {
  const environment = { ...process.env, ...(options.socketPath === undefined ? {} : { AOVPN_SOCKET: options.socketPath }) };
  const child = spawn(process.execPath, [program, ...args], { env: environment, stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.end(options.input ?? '');
  const ended = new Promise<number | null>((resolve) => void child.on('close', resolve));
  const [stdout, stderr, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  return { stdout, stderr, exitCode };
}
