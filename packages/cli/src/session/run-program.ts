import process from 'node:process';

// An import statement would evaluate what few commands need.
const { execFile } = process.getBuiltinModule('node:child_process');

const patienceMs = 10_000;
const mostOutput = 1024 * 1024;

/** What a program wrote; undefined when it cannot be run or says that it failed. */
export function runProgram(program: string, args: readonly string[], input = ''): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = execFile(program, args, { timeout: patienceMs, maxBuffer: mostOutput, encoding: 'utf8' }, (error, stdout) =>
      resolve(error ? undefined : stdout),
    );
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}
