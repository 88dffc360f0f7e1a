import { execFile } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { missingPackage, peerName } from './machine.ts';
import type { Measurement, Row, Side } from './row.ts';
import type { StubFigures } from './stub-latency.ts';

const missing = missingPackage('unbound');

export const stubAdded: Row = {
  id: 'B10',
  what: 'our stub resolver between a program and unbound, 10,000 rules: added to asking unbound itself, median of 6,000 questions',
  unit: 'µs',
  better: 'less',
  aim: { of: 'value', limit: 80 },
  rounds: 5,
  prepare: () => measured([{ name: 'ours', kind: 'ours', what: 'added', figure: 'addedMedian' }]),
};

export const stubAddedP99: Row = {
  ...stubAdded,
  id: 'B10-p99',
  what: 'the same, 99th percentile',
  aim: { of: 'value', limit: 250 },
  prepare: () => measured([{ name: 'ours', kind: 'ours', what: 'added', figure: 'addedP99' }]),
};

export const stubRules: Row = {
  id: 'B10-rules',
  what: 'from question to answer through our stub with 10,000 rules, by the same with one rule',
  unit: 'µs',
  better: 'less',
  aim: { of: 'ratio', limit: 1.1 },
  rounds: 5,
  prepare: () =>
    measured([
      { name: 'ours, 10,000 rules', kind: 'ours', what: 'rules', figure: 'manyRules' },
      { name: 'ours, one rule', kind: 'peer', what: 'rules', figure: 'oneRule' },
    ]),
};

export const stubRate: Row = {
  id: 'B10-rate',
  what: 'questions answered each second, 32 under way (dnsperf), through our stub and by unbound itself; driver, stub and unbound share the cores',
  unit: '1/s',
  better: 'more',
  aim: { of: 'value', limit: 5000 },
  rounds: 5,
  prepare: () =>
    measured([
      { name: 'ours', kind: 'ours', what: 'rate', figure: 'rate', ...missingPackage('unbound', 'dnsperf') },
      {
        name: peerName('unbound'),
        kind: 'reference',
        what: 'rate',
        figure: 'serverRate',
        ...missingPackage('unbound', 'dnsperf'),
      },
    ]),
};

interface StubSide extends Pick<Side, 'name' | 'kind' | 'missing'> {
  readonly what: 'added' | 'rules' | 'rate';
  readonly figure: string;
}

/** Both sides of a row come from the same run, whose turns are interleaved. */
function measured(sides: readonly StubSide[]): Promise<Measurement> {
  const program = fileURLToPath(new URL('./stub-latency.ts', import.meta.url));
  const runs = new Map<number, Promise<StubFigures>>();
  const run = async (what: string): Promise<StubFigures> => {
    const { stdout } = await promisify(execFile)('unshare', ['--net', process.execPath, program, what], { encoding: 'utf8' });
    return JSON.parse(stdout) as StubFigures;
  };
  const ofRound = (round: number, what: string): Promise<StubFigures> => {
    const known = runs.get(round) ?? run(what);
    runs.set(round, known);
    return known;
  };
  return Promise.resolve({
    sides: sides.map(({ what, figure, ...side }) => ({
      ...missing,
      ...side,
      measure: async (round: number) => (await ofRound(round, what))[figure as keyof StubFigures],
    })),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
}
