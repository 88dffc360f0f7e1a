import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, sh } from '../network/namespace.ts';

/** Debian's package, installed or merely unpacked. */
const tree = fileURLToPath(new URL('../../../../.build/debian/bind9/', import.meta.url));
export const namedProgram = ['/usr/sbin/named', join(tree, 'usr/sbin/named')].find(existsSync);
const libraryPath = ['x86_64', 'aarch64'].map((machine) => join(tree, `usr/lib/${machine}-linux-gnu`)).join(':');

export interface Bind {
  log(): string;
  stop(): Promise<void>;
}

export interface BindOptions {
  readonly directory: string;
  readonly address: string;
  /** Clauses of named.conf besides `options` and `controls`. */
  readonly config: string;
  /** More lines of `options`. */
  readonly options?: string;
  readonly zones: Readonly<Record<string, string>>;
  readonly environment?: NodeJS.ProcessEnv;
  /** Asked for until it is answered. */
  readonly ready: string;
}

/** A real BIND on one address of this network namespace. */
export async function startBind({
  directory,
  address,
  config,
  options = '',
  zones,
  environment,
  ready,
}: BindOptions): Promise<Bind> {
  mkdirSync(directory, { recursive: true });
  // BIND listens on addresses that some link has.
  sh(`ip address add ${address}/32 dev lo`);
  for (const [file, text] of Object.entries(zones)) writeFileSync(join(directory, file), text);
  const file = join(directory, 'named.conf');
  writeFileSync(
    file,
    `options { directory "${directory}"; listen-on { ${address}; }; listen-on-v6 { none; }; pid-file none; session-keyfile none; recursion no; dnssec-validation no; notify no; empty-zones-enable no; ${options} };\ncontrols { };\nlogging { channel all { stderr; severity debug 1; print-category yes; }; category default { all; }; category update { all; }; category update-security { all; }; category security { all; }; };\n${config}`,
  );
  const child: ChildProcess = spawn(namedProgram!, ['-f', '-n', '1', '-c', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, LD_LIBRARY_PATH: libraryPath, ...environment },
  });
  let log = '';
  child.stderr!.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const stop = async (): Promise<void> => {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
  };
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      if (run('dig', '+short', '+tries=1', '+time=1', `@${address}`, ready, 'SOA').trim() !== '') break;
    } catch {
      // Not up yet.
    }
    if (Date.now() > deadline || child.exitCode !== null) {
      await stop();
      throw new Error(`named does not start:\n${log}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { log: () => log, stop };
}

export function zoneText(mname: string, lines = ''): string {
  return `$TTL 300\n@ IN SOA ${mname} admin 1 3600 600 86400 60\n@ IN NS ${mname}\n${lines}`;
}
