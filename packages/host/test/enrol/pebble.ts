import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import path from 'node:path';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { TestCertificate } from '../trust/test-pki.ts';

/** Debian's package, installed or merely unpacked. */
const tree = fileURLToPath(new URL('../../../../.build/debian/pebble/', import.meta.url));
export const pebbleProgram = ['/usr/bin/pebble', path.join(tree, 'usr/bin/pebble')].find(existsSync);

export interface PebbleOptions {
  readonly directory: string;
  readonly address: string;
  /** Of its https server. */
  readonly server: TestCertificate;
  /** MAC keys of external accounts, base64url, by their identifiers; undefined: everybody gets an account. */
  readonly accounts?: Readonly<Record<string, string>>;
  /** The name server that it asks for proofs. */
  readonly dns: string;
  readonly blocked?: readonly string[];
  readonly lifetimeSeconds?: number;
  /** Of valid nonces, and of valid authorisations: how many in a hundred are refused, and used again. */
  readonly refusedNonces?: number;
  readonly usedAgain?: number;
}

export interface Pebble {
  /** Of its directory. */
  readonly url: string;
  /** The authority that issues, PEM; another one at each start. */
  readonly root: string;
  log(): string;
  stop(): Promise<void>;
}

/** Let's Encrypt's test server. */
export async function startPebble(options: PebbleOptions): Promise<Pebble> {
  const { directory, address, server, accounts, dns, blocked = [] } = options;
  mkdirSync(directory, { recursive: true });
  const file = path.join(directory, 'pebble.json');
  writeFileSync(
    file,
    JSON.stringify({
      pebble: {
        listenAddress: `${address}:14000`,
        managementListenAddress: `${address}:15000`,
        certificate: server.certificatePath,
        privateKey: server.keyPath,
        httpPort: 5002,
        tlsPort: 5001,
        externalAccountBindingRequired: accounts !== undefined,
        externalAccountMACKeys: accounts ?? {},
        domainBlocklist: blocked,
        certificateValidityPeriod: options.lifetimeSeconds ?? 3600,
      },
    }),
  );
  const child: ChildProcess = spawn(pebbleProgram!, ['-config', file, '-strict', '-dnsserver', `${dns}:53`], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      PEBBLE_VA_NOSLEEP: '1',
      PEBBLE_WFE_NONCEREJECT: String(options.refusedNonces ?? 0),
      PEBBLE_AUTHZREUSE: String(options.usedAgain ?? 0),
    },
  });
  let log = '';
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const stop = async (): Promise<void> => {
    child.kill();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
  };
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      const root = await page(`https://${address}:15000/roots/0`);
      await page(`https://${address}:14000/dir`);
      return { url: `https://${address}:14000/dir`, root, log: () => log, stop };
    } catch (error) {
      if (Date.now() > deadline || child.exitCode !== null) {
        await stop();
        throw new Error(`pebble does not start:\n${log}`, { cause: error });
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Over https from anybody: what comes is the test's own. */
async function page(url: string): Promise<string> {
  const request = get(url, { rejectUnauthorized: false, timeout: 5000 });
  const [response] = (await once(request, 'response')) as [Parameters<typeof text>[0]];
  return await text(response);
}
