import process from 'node:process';
import { isatty } from 'node:tty';
import { maxSecretBytes } from '@aovpn/api';
import { CommandError, ExitCode } from './command.ts';

const key = { interrupt: 3, end: 4, backspace: 8, newline: 10, enter: 13, erase: 127 } as const;

/** Whether a person can type here and see the question. */
export function canAsk(): boolean {
  // Asking the streams would make them, and the one of a file takes 8 ms.
  return isatty(0) && isatty(2);
}

/**
 * A secret, typed without being shown, or the first line of standard input when that is no terminal. Octets, for the caller to overwrite;
 * undefined: nothing was typed. It never becomes a string, which nobody could overwrite.
 */
export async function askSecret(question: string): Promise<Uint8Array | undefined> {
  process.stderr.write(`${question}: `);
  try {
    return await readLine(false);
  } finally {
    if (process.stdin.isTTY) process.stderr.write('\n');
  }
}

/** A line that is shown as it is typed. */
export async function askLine(question: string): Promise<string> {
  process.stderr.write(`${question} `);
  const line = await readLine(true);
  return new TextDecoder().decode(line ?? new Uint8Array()).trim();
}

async function readLine(echo: boolean): Promise<Uint8Array | undefined> {
  const { stdin } = process;
  const typed = new Uint8Array(maxSecretBytes + 1);
  let length = 0;
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | undefined>();
  const finish = (): void => resolve(length === 0 ? undefined : typed.slice(0, length));
  const take = (octet: number): boolean => {
    switch (octet) {
      case key.newline:
      case key.enter:
        finish();
        return false;
      case key.interrupt:
        if (stdin.isTTY) reject(new CommandError(ExitCode.failed, 'interrupted'));
        return !stdin.isTTY;
      case key.end:
        if (stdin.isTTY) finish();
        return !stdin.isTTY;
      case key.backspace:
      case key.erase:
        // A character of UTF-8 is its first octet and those that go on with it.
        while (length > 0 && (typed[length - 1]! & 0xc0) === 0x80) typed[--length] = 0;
        if (length > 0) typed[--length] = 0;
        return true;
      default:
        if (length === maxSecretBytes) {
          reject(new CommandError(ExitCode.failed, `an answer has at most ${maxSecretBytes} octets`));
          return false;
        }
        typed[length++] = octet;
        return true;
    }
  };
  const onData = (chunk: Buffer): void => {
    for (const [i, octet] of chunk.entries()) {
      if (take(octet)) continue;
      // What was typed ahead is the answer to the next question.
      const rest = Buffer.from(chunk.subarray(i + 1));
      chunk.fill(0);
      stdin.off('data', onData);
      stdin.pause();
      if (rest.length > 0) stdin.unshift(rest);
      return;
    }
    chunk.fill(0);
  };
  // In raw mode nothing is echoed; for a line that may be seen the terminal itself does that.
  if (stdin.isTTY) stdin.setRawMode(!echo);
  stdin.on('data', onData);
  stdin.once('end', finish);
  stdin.resume();
  try {
    return await promise;
  } finally {
    stdin.off('data', onData);
    stdin.off('end', finish);
    stdin.pause();
    if (stdin.isTTY) stdin.setRawMode(false);
    typed.fill(0);
  }
}
