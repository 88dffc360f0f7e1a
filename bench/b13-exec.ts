import { execFile } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Measurement, Row } from './row.ts';

interface Latency {
  readonly watched: number;
  readonly unwatched: number;
}

export const watchedExec: Row = {
  id: 'B13',
  what: 'start of a watched program, put into its cgroup before its first instruction: added to one that is not watched',
  unit: 'µs',
  better: 'less',
  aim: { of: 'value', limit: 120 },
  rounds: 5,
  prepare: () => measured(({ watched }) => watched),
};

export const unwatchedExec: Row = {
  id: 'B13-unwatched',
  what: 'start of a program that is not watched while another one is: added to one without any watch (20 µs is what cannot be told)',
  unit: 'µs',
  better: 'less',
  aim: { of: 'value', limit: 20 },
  rounds: 5,
  prepare: () => measured(({ unwatched }) => unwatched),
};

function measured(figure: (latency: Latency) => number): Promise<Measurement> {
  const program = fileURLToPath(new URL('./exec-latency.ts', import.meta.url));
  const measure = async (): Promise<number> => {
    const { stdout } = await promisify(execFile)('unshare', ['--net', process.execPath, program], { encoding: 'utf8' });
    return figure(JSON.parse(stdout) as Latency);
  };
  return Promise.resolve({ sides: [{ name: 'ours', kind: 'ours', measure }], [Symbol.asyncDispose]: () => Promise.resolve() });
}
