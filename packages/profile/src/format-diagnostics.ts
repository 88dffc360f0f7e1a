import type { Diagnostic, Severity } from './diagnostic.ts';
import { visible } from './quote.ts';

export interface FormatOptions {
  /** ANSI colours; off when absent. */
  readonly colour?: boolean;
  /** Columns of source that are shown of a long line; 100 when absent. */
  readonly width?: number;
}

/**
 * Diagnostics as a compiler prints them: `file:line:column: severity: message [code]`, the line with a caret under the place, and
 * what Windows does, what we do, and what helps. The text must be the one they were found in. Secrets in the shown lines are
 * covered, and nothing in the file can steer the terminal. Empty for no diagnostics; else it ends with a line end.
 */
export function formatDiagnostics(
  file: string,
  text: string,
  diagnostics: readonly Diagnostic[],
  options: FormatOptions = {},
): string {
  if (diagnostics.length === 0) return '';
  const lines = coverSecrets(text).split(/\r\n|\r|\n/);
  const paint = options.colour === true ? painted : plain;
  const blocks = diagnostics.map((diagnostic) => {
    const { at, severity, message, code, windows, here, cure } = diagnostic;
    const place = `${visible(file)}:${at.line}:${at.column}:`;
    const head = `${paint('bold', place)} ${paint(severity, `${severity}:`)} ${message} ${paint('dim', `[${code}]`)}`;
    const notes = [
      ['windows', windows],
      ['here', here],
      ['help', cure],
    ] as const;
    return [
      head,
      ...excerpt(lines[at.line - 1], at.line, at.column, options.width ?? 100, paint),
      ...(diagnostic.path === '' ? [] : [`    ${paint('note', 'in:')} ${diagnostic.path}`]),
      ...notes.flatMap(([name, note]) => (note === undefined ? [] : [`    ${paint('note', `${name}:`)} ${note}`])),
    ].join('\n');
  });
  return `${blocks.join('\n\n')}\n`;
}

type Style = Severity | 'bold' | 'dim' | 'note';
type Paint = (style: Style, text: string) => string;

const plain: Paint = (_style, text) => text;

const painted: Paint = (style, text) => `\u001b[${styles[style]}m${text}\u001b[0m`;

const styles: Readonly<Record<Style, string>> = {
  error: '1;31',
  warning: '1;33',
  info: '1;36',
  bold: '1',
  dim: '2',
  note: '1;34',
};

/** The source line, cut around the column when it is long, and the caret. */
function excerpt(line: string | undefined, number: number, column: number, width: number, paint: Paint): readonly string[] {
  if (line === undefined || line.trim() === '') return [];
  const start = line.length <= width ? 0 : Math.max(0, Math.min(column - 1 - (width >> 1), line.length - width));
  const cut = line.slice(start, start + width);
  const before = cut.slice(0, Math.max(0, column - 1 - start));
  const shown = `${start > 0 ? '…' : ''}${printable(cut)}${start + width < line.length ? '…' : ''}`;
  const padding = ' '.repeat((start > 0 ? 1 : 0) + Array.from(printable(before)).length);
  const gutter = String(number).padStart(5);
  const empty = ' '.repeat(gutter.length);
  return [`${paint('dim', `${gutter} |`)} ${shown}`, `${paint('dim', `${empty} |`)} ${padding}${paint('bold', '^')}`];
}

function printable(text: string): string {
  return visible(text.replaceAll('\t', ' '));
}

/** The text with the content of elements that hold secrets replaced, character by character, so that columns stay. */
function coverSecrets(text: string): string {
  const parts: string[] = [];
  let kept = 0;
  for (const name of secretElements) {
    if (!text.includes(`<${name}`)) continue;
    parts.length = 0;
    kept = 0;
    for (let at = text.indexOf(`<${name}`); at >= 0; at = text.indexOf(`<${name}`, kept)) {
      const start = text.indexOf('>', at) + 1;
      if (start === 0) break;
      const close = text.indexOf(`</${name}`, start);
      const end = close < 0 ? text.length : close;
      parts.push(text.slice(kept, start), text.slice(start, end).replaceAll(/[^\s]/g, '*'));
      kept = end;
    }
    text = parts.join('') + text.slice(kept);
  }
  return text;
}

const secretElements: readonly string[] = ['L2tpPsk', 'Password'];
