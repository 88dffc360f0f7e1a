import { setTimeout as wait } from 'node:timers/promises';
import type { DaemonEvent, DaemonStatus } from '@aovpn/api';
import { CommandError, ExitCode, type Invocation } from './command.ts';
import { LiveHistory, LiveRates } from './live-history.ts';
import { eventText, liveLines } from './print/live.ts';
import { clip } from './print/cell.ts';
import { clock } from './print/moment.ts';
import { statusText } from './print/status.ts';
import { Screen } from './screen.ts';

export type LoadStatus = () => Promise<DaemonStatus>;

/** Events that change what a status says. */
const isChange = (event: DaemonEvent): boolean => event.kind !== 'log';
/** Looks that follow each other closely become one, milliseconds. */
const together = 100;
const footer = 'q quits';

/** One JSON object a line, at every change. Ends with the daemon. */
export async function watchJson({ client, terminal }: Invocation, load: LoadStatus): Promise<number> {
  terminal.out(JSON.stringify(await load()));
  for await (const event of client.stream('/v1/events', new AbortController().signal))
    if (isChange(event)) terminal.out(JSON.stringify(await load()));
  throw new CommandError(ExitCode.noDaemon, 'the daemon stopped');
}

/** Where nothing can be drawn: what there is, then a line a change. */
export async function watchLines({ client, positionals, terminal }: Invocation, load: LoadStatus): Promise<number> {
  const first = await load();
  terminal.out(`${statusText(first, positionals, terminal, Date.now())}\n`);
  const history = new LiveHistory(first);
  for await (const event of client.stream('/v1/events', new AbortController().signal)) {
    if (!isChange(event)) continue;
    for (const change of history.take(await load(), Date.now())) terminal.out(eventText(change, terminal, Date.now()));
  }
  throw new CommandError(ExitCode.noDaemon, 'the daemon stopped');
}

/** A picture that lives until a key or a signal ends it, also over restarts of the daemon. */
export async function watchScreen({ client, positionals, terminal }: Invocation, load: LoadStatus): Promise<number> {
  let current = await load();
  const history = new LiveHistory(current);
  const rates = new LiveRates();
  const stop = new AbortController();
  let away: { readonly since: number; readonly why: string } | undefined;
  let looking: Promise<void> | undefined;

  const draw = (): void => {
    // What is not known any more does not grow older.
    const now = away?.since ?? Date.now();
    const { columns, rows } = screen;
    const picture = { status: current, events: history.events, rates: rates.latest, now, footer };
    const lines = liveLines(picture, terminal, columns, rows);
    // Of one that was named there is room for all that is known.
    const only = positionals.length === 1 && current.connections.length === 1 && away === undefined;
    const details = only ? statusText(current, positionals, { ...terminal, columns }, now).split('\n') : [];
    if (details.length > 0 && lines.length + details.length < rows) lines.splice(-2, 0, '', ...details);
    if (away) lines[1] = terminal.style('bad', clip(`last known at ${clock(away.since, Date.now())}; ${away.why}`, columns));
    screen.draw(lines);
  };
  const look = async (): Promise<void> => {
    try {
      current = await load();
      away = undefined;
      const now = Date.now();
      history.take(current, now);
      rates.take(current.connections, now);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      away ??= { since: Date.now(), why: error.message };
    }
    draw();
  };
  const lookSoon = (): Promise<void> =>
    (looking ??= wait(together, undefined, { signal: stop.signal })
      .then(() => {
        looking = undefined;
        return look();
      })
      .catch((error: unknown) => {
        looking = undefined;
        if (!stop.signal.aborted) throw error;
      }));

  using screen = new Screen({ onResize: () => draw(), onQuit: () => stop.abort() });
  rates.take(current.connections, Date.now());
  draw();
  const listen = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      try {
        for await (const event of client.stream('/v1/events', stop.signal)) if (isChange(event)) void lookSoon();
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
      }
      await pause(1000, stop.signal);
    }
  };
  const tick = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await pause(1000, stop.signal);
      if (!stop.signal.aborted) await look();
    }
  };
  await Promise.all([listen(), tick()]);
  return ExitCode.done;
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await wait(ms, undefined, { signal }).catch(() => {});
}
