import type { ConnectionState, ConnectionStatus, DaemonStatus } from '@aovpn/api';
import { printable, type Style, type Terminal } from '../terminal.ts';
import { clip, fit, textWidth, wrapText } from './cell.ts';
import { connectionEnd } from './connection-end.ts';
import { clock, duration, localTimes, size } from './moment.ts';
import { notices, stateStyles } from './status.ts';

/** What has happened, for the lines below the table. */
export interface LiveEvent {
  /** Milliseconds since the epoch, as all times here. */
  readonly at: number;
  readonly name: string;
  readonly state: ConnectionState | 'gone';
  readonly text: string;
}

/** Octets a second of a connection. */
export interface LiveRate {
  readonly in: number;
  readonly out: number;
}

export interface LivePicture {
  readonly status: DaemonStatus;
  /** Oldest first. */
  readonly events: readonly LiveEvent[];
  readonly rates: ReadonlyMap<string, LiveRate>;
  readonly now: number;
  /** Above the table; the daemon's own line without it. */
  readonly title?: string;
  /** Below all: which keys there are. */
  readonly footer?: string;
}

type Paint = Pick<Terminal, 'style'>;

/**
 * The state of all connections for a terminal of that size, a line each, none wider than it: what is up, since when, what flows; and of what is not up why, and how
 * that ends. What does not fit is left out from below, never the table's first lines.
 */
export function liveLines(picture: LivePicture, terminal: Paint, columns: number, rows: number): string[] {
  const { status, events, now, footer } = picture;
  const width = Math.max(20, columns);
  const head = [headLine(picture, terminal, width), ''];
  const table = status.connections.flatMap((connection) => connectionLines(connection, picture, terminal, width));
  if (status.connections.length === 0)
    table.push(terminal.style('dim', clip('no connections yet: aovpn profile add FILE', width)));
  const foot = footer === undefined ? [] : ['', terminal.style('dim', clip(footer, width))];
  const noted = notices(status, now).flatMap(([style, text]) => bullet(style, text, terminal, width));
  const room = rows - head.length - table.length - foot.length - (noted.length > 0 ? noted.length + 1 : 0) - 2;
  const shown = room > 0 ? events.slice(-Math.min(room, mostEvents)) : [];
  const lines = [
    ...head,
    ...table,
    ...(noted.length > 0 ? ['', ...noted] : []),
    ...(shown.length > 0
      ? ['', terminal.style('dim', 'what happened'), ...shown.map((event) => eventLine(event, terminal, width, now))]
      : []),
  ];
  return [...lines.slice(0, Math.max(1, rows - foot.length)), ...foot].slice(0, rows);
}

const mostEvents = 12;

function headLine({ status, now, title }: LivePicture, terminal: Paint, width: number): string {
  const left = title ?? `aovpn ${status.version}`;
  const since = `daemon up ${duration(now - Date.parse(status.startedAt))}`;
  const count = status.connections.filter(({ state }) => state === 'up').length;
  const right = clip(`${count} of ${status.connections.length} up · ${since} · ${clock(now, now)}`, width);
  const space = width - textWidth(left) - textWidth(right);
  if (space < 2) return terminal.style('dim', right);
  return `${terminal.style('strong', left)}${' '.repeat(space)}${terminal.style('dim', right)}`;
}

/** Columns of the first line: a mark, a name, a state and how long, then what flows or what comes. */
const stateColumns = 14;
const sinceColumns = 12;

function connectionLines(connection: ConnectionStatus, picture: LivePicture, terminal: Paint, width: number): string[] {
  const { now, status } = picture;
  const { name, state, problem } = connection;
  const longest = Math.max(...status.connections.map((one) => textWidth(oneLine(one.name))));
  const nameColumns = Math.min(longest, Math.max(8, width - 2 - 2 - stateColumns - sinceColumns));
  const style = stateStyles[state];
  const rest = width - (2 + nameColumns + 2 + stateColumns + sinceColumns);
  const first = painted(
    [
      [style, `${mark(state)} `],
      ['strong', `${fit(oneLine(name), nameColumns)}  `],
      [style, fit(state, stateColumns)],
      ['dim', fit(duration(now - Date.parse(connection.since)), sinceColumns)],
      [state === 'up' ? 'plain' : 'dim', rest > 0 ? flowText(connection, picture, rest) : ''],
    ],
    terminal,
    width,
  );
  const under = (style: Style, text: string, mark = ' '): string[] =>
    wrapText(printable(text), Math.max(10, width - 4)).map(
      (line, i) => `  ${terminal.style(style, i === 0 ? mark : ' ')} ${terminal.style(style, line)}`,
    );
  const lines = [first];
  if (problem && state !== 'up') {
    const windows = problem.windows === undefined ? '' : `, Windows ${problem.windows}`;
    lines.push(...under('plain', `${problem.message} [${problem.code}${windows}; side: ${problem.side}]`));
    lines.push(...under('plain', problem.cure, '→'));
  } else lines.push(...under('dim', localTimes(connection.reason, now)));
  const end = connectionEnd(connection, now);
  // The supervisor's own sentence says it in some states.
  if (end !== undefined && !connection.reason.includes('"aovpn up')) lines.push(...under('dim', `ends: ${end}`));
  return lines;
}

/** As much as there is room for, the most wanted first. */
function flowText(
  { name, state, traffic, addresses, device, gateway }: ConnectionStatus,
  { rates }: LivePicture,
  room: number,
): string {
  if (state !== 'up' && state !== 'recovering') return oneLine(gateway.name);
  const rate = rates.get(name);
  const parts = [
    ...(traffic
      ? [
          rate
            ? `↓ ${fit(`${size(rate.in)}/s`, 11)} ↑ ${fit(`${size(rate.out)}/s`, 11)}`
            : `↓ ${fit(size(traffic.bytesIn), 11)} ↑ ${fit(size(traffic.bytesOut), 11)}`,
        ]
      : []),
    addresses.map((address) => address.replace(/\/(?:32|128)$/, ''))[0] ?? '',
    device ?? '',
  ].filter((part) => part !== '');
  let text = '';
  for (const part of parts) {
    const longer = text === '' ? part : `${text} ${part}`;
    if (textWidth(longer) > room && text !== '') break;
    text = longer;
  }
  return text;
}

function bullet(style: Style, text: string, terminal: Paint, width: number): string[] {
  return wrapText(text, width - 2).map((line, i) => `${i === 0 ? terminal.style(style, '!') : ' '} ${line}`);
}

function eventLine({ at, name, state, text }: LiveEvent, terminal: Paint, width: number, now: number): string {
  const style = state === 'gone' ? 'dim' : stateStyles[state];
  const head = `  ${clock(at, now).slice(-8)}  ${oneLine(name)}  `;
  return painted(
    [
      ['dim', head],
      [style, state],
      ['dim', `  ${localTimes(oneLine(text), now)}`],
    ],
    terminal,
    width,
  );
}

/** Pieces of one line, cut where the line ends. */
function painted(pieces: readonly (readonly [Style, string])[], terminal: Paint, width: number): string {
  let line = '';
  let room = width;
  for (const [style, text] of pieces) {
    const piece = clip(text, room);
    if (piece !== '') line += terminal.style(style, piece);
    room -= textWidth(piece);
  }
  return line;
}

function mark(state: ConnectionState): string {
  if (state === 'up' || state === 'trusted') return '●';
  return state === 'down' || state === 'held' ? '○' : '◐';
}

function oneLine(text: string): string {
  return printable(text).replaceAll(/\s+/g, ' ');
}

/** A change as one line, where there is no screen to draw on. */
export function eventText({ at, name, state, text }: LiveEvent, terminal: Paint, now: number): string {
  const style = state === 'gone' ? 'dim' : stateStyles[state];
  return `${terminal.style('dim', clock(at, now))}  ${printable(name)}  ${terminal.style(style, state)}  ${printable(localTimes(text, now))}`;
}
