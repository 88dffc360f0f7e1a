import type { Position } from '../profile.ts';

/** A text that is parsed, and where its characters stand in the file the author sees. */
export interface Source {
  readonly text: string;
  /** The position in the file of the character with this index (UTF-16 units). */
  readonly position: (offset: number) => Position;
}

/** The text of a file. */
export function sourceOfFile(text: string): Source {
  const lineStarts = [0];
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 10 || (unit === 13 && text.charCodeAt(i + 1) !== 10)) lineStarts.push(i + 1);
  }
  return {
    text,
    position: (offset) => {
      const line = lastAtMost(lineStarts, offset);
      return { line: line + 1, column: offset - lineStarts[line]! + 1 };
    },
  };
}

/**
 * The character data between two offsets as a text of its own (references resolved, CDATA opened, comments left out), which still
 * knows where each character stands. The range must come from a text that was parsed without error.
 */
export function sourceOfContent(outer: Source, start: number, end: number): Source {
  const raw = outer.text;
  const parts: string[] = [];
  const innerStarts = [0];
  const outerStarts = [start];
  let length = 0;
  const push = (text: string, from: number): void => {
    const normalized = text.includes('\r') ? text.replaceAll('\r\n', '\n').replaceAll('\r', '\n') : text;
    innerStarts.push(length);
    outerStarts.push(from);
    parts.push(normalized);
    length += normalized.length;
  };
  // Plain runs end at line ends too, so that a \r\n that becomes \n does not shift the columns after it.
  const pushRun = (from: number, to: number): void => {
    const run = raw.slice(from, to);
    for (let at = 0; at < run.length;) {
      const newline = run.indexOf('\n', at);
      const stop = newline < 0 ? run.length : newline + 1;
      push(run.slice(at, stop), from + at);
      at = stop;
    }
  };
  const special = /[&<]/g;
  for (let at = start; at < end;) {
    special.lastIndex = at;
    const found = special.exec(raw)?.index ?? end;
    const stop = Math.min(found, end);
    pushRun(at, stop);
    if (stop === end) break;
    at = stop;
    if (raw.startsWith('<!--', at)) at = raw.indexOf('-->', at + 4) + 3;
    else if (raw.startsWith('<?', at)) at = raw.indexOf('?>', at + 2) + 2;
    else if (raw.startsWith('<![CDATA[', at)) {
      const close = raw.indexOf(']]>', at + 9);
      pushRun(at + 9, close);
      at = close + 3;
    } else if (raw[at] === '&') {
      const semicolon = raw.indexOf(';', at);
      push(resolveReference(raw.slice(at + 1, semicolon)), at);
      at = semicolon + 1;
    } else {
      at++;
    }
  }
  innerStarts.push(length);
  outerStarts.push(end);
  return {
    text: parts.join(''),
    position: (offset) => {
      const run = lastAtMost(innerStarts, offset);
      return outer.position(Math.min(outerStarts[run]! + offset - innerStarts[run]!, outerStarts[run + 1] ?? end));
    },
  };
}

/** Index of the last entry that is not above `value`; the entries ascend. */
function lastAtMost(entries: readonly number[], value: number): number {
  let low = 0;
  let high = entries.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (entries[middle]! <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

function resolveReference(name: string): string {
  if (name.startsWith('#x')) return String.fromCodePoint(Number.parseInt(name.slice(2), 16));
  if (name.startsWith('#')) return String.fromCodePoint(Number.parseInt(name.slice(1), 10));
  return predefined.get(name) ?? '';
}

const predefined: ReadonlyMap<string, string> = new Map([
  ['amp', '&'],
  ['lt', '<'],
  ['gt', '>'],
  ['quot', '"'],
  ['apos', "'"],
]);
