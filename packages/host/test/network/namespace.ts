import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const marker = 'AOVPN_TEST_NAMESPACE';

/** Runs a program with an argument list; its output, or an error with what it said. */
export function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** A command line without quotes, such as `ip link set lo up`. */
export function sh(line: string): string {
  const [program, ...args] = line.trim().split(/\s+/);
  return run(program!, ...args);
}

/** Waits until a link that was brought up is up: the kernel tells its own parts of a carrier in its own time, and IPv6 makes its routes then. */
export function awaitCarrier(...devices: readonly string[]): void {
  const isUp = (device: string): boolean =>
    sh(`ip -o link show ${device}`).includes(' state UP ') &&
    sh('ip -6 route show table local').includes(`ff00::/8 dev ${device} `);
  for (const end = performance.now() + 60_000; !devices.every(isUp); sh('sleep 0.01'))
    assert.ok(performance.now() < end, `no carrier: ${devices.join(', ')}`);
}

/**
 * Runs the tests that `define` registers in network and mount namespaces of their own, which vanish with the process whatever happens.
 * To be called once, by the test file itself.
 */
export function inOwnNamespace(file: string, define: () => void): void {
  if (process.env[marker] === '1') {
    sh('ip link set lo up');
    // Temporary files vanish with the mount namespace.
    sh('mount -t tmpfs tmpfs /mnt');
    process.env['TMPDIR'] = '/mnt';
    define();
    return;
  }
  const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';
  test('in namespaces of its own', { skip }, async () => {
    const { NODE_TEST_CONTEXT: _context, ...environment } = process.env;
    const child = spawn('unshare', ['--net', '--mount', '--propagation', 'private', process.execPath, fileURLToPath(file)], {
      env: { ...environment, [marker]: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const code = await new Promise((resolve) => child.on('close', resolve));
    assert.equal(code, 0, output);
    assert.match(output, /pass [1-9]/, output);
  });
}
