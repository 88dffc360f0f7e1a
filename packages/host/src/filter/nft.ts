import { spawn } from 'node:child_process';
import { filterError } from './filter-error.ts';

/** What nft is found with; nothing of the caller's environment decides which program runs as root. */
const searchPath = '/usr/sbin:/usr/bin:/sbin:/bin';
/** More of what nft says is of no use to anybody. */
const maxErrorOctets = 64 * 1024;
/** A set of 50,000 elements is about 10 MiB of JSON. */
const maxOutputOctets = 512 * 1024 * 1024;
const timeoutMs = 60_000;

/** What nft said, when it said no: its words, and the line of the input they are about. */
export interface NftRefusal {
  readonly said: string;
  readonly line?: number;
  /** That line of the input. */
  readonly text?: string;
}

export type NftResult =
  | { readonly ok: true; readonly output: string; readonly pid: number }
  | { readonly ok: false; readonly refusal: NftRefusal };

/**
 * Runs nft with an argument list and a text on its standard input; nothing passes through a shell.
 * @throws {HostError} AOV-HOST-605
 */
export function runNft(args: readonly string[], input: string): Promise<NftResult> {
  return new Promise((resolve, reject) => {
    const child = spawn('nft', args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: searchPath, LC_ALL: 'C' },
      cwd: '/',
    });
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    let outputOctets = 0;
    let errorOctets = 0;
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.stdout.on('data', (chunk: Buffer) => {
      outputOctets += chunk.length;
      if (outputOctets > maxOutputOctets) child.kill('SIGKILL');
      else output.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      errorOctets += chunk.length;
      if (errorOctets <= maxErrorOctets) errors.push(chunk);
    });
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(filterError('noNft', `nft: ${(error as NodeJS.ErrnoException).code ?? error.message}`, error));
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) resolve({ ok: true, output: Buffer.concat(output).toString('utf8'), pid: child.pid! });
      else {
        const said = Buffer.concat(errors).toString('utf8').trim();
        resolve({ ok: false, refusal: readRefusal(said || `ended by ${signal ?? `status ${code}`}`, input) });
      }
    });
    // It may end before it has read everything.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

/** nft begins what it says with `/dev/stdin:LINE:COLUMNS: Error: ` and goes on with the line and a marker below it. */
export function readRefusal(said: string, input: string): NftRefusal {
  const first = /^(?:\/dev\/stdin|<stdin>|-):(\d+):[\d-]+: (?:Error: )?(.*)$/m.exec(said);
  if (!first) return { said: said.split('\n')[0]! };
  const line = Number(first[1]);
  const text = input.split('\n')[line - 1]?.trim();
  return { said: first[2]!, line, ...(text ? { text: text.length > 200 ? `${text.slice(0, 200)}…` : text } : {}) };
}

/** `Could not process rule: …, line 7: tcp dport …`. */
export function describeRefusal({ said, line, text }: NftRefusal): string {
  return `${said}${line === undefined ? '' : `, line ${line}`}${text === undefined ? '' : `: ${text}`}`;
}

/** Whether nft is there; for doctors. */
export async function nftVersion(): Promise<string | undefined> {
  try {
    const result = await runNft(['--version'], '');
    return result.ok ? /v\d[\d.]*/.exec(result.output)?.[0] : undefined;
  } catch {
    return undefined;
  }
}
