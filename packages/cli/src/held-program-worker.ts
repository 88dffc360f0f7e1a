// Waits for the words of a program and starts it. Whoever moved this process meanwhile has moved the program with it.
import { spawn } from 'node:child_process';
import os from 'node:os';
import process from 'node:process';

process.once('message', (argv: readonly string[]) => {
  process.disconnect();
  const [program, ...args] = argv;
  const { NODE_CHANNEL_FD: _fd, NODE_CHANNEL_SERIALIZATION_MODE: _mode, ...env } = process.env;
  const child = spawn(program!, args, { stdio: 'inherit', env });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  child.once('error', (error) => {
    process.stderr.write(`aovpn: ${program} cannot be started: ${error.message}\n`);
    process.exitCode = 127;
  });
  child.once('exit', (status, signal) => {
    process.exitCode = status ?? 128 + (signal === null ? 0 : os.constants.signals[signal]);
  });
});
