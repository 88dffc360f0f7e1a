import process from 'node:process';
import { styleText } from 'node:util';

export type Style = 'good' | 'bad' | 'warn' | 'dim' | 'strong' | 'plain';

/** Where a command writes. Colour only on a terminal, and never with NO_COLOR. */
export interface Terminal {
  readonly interactive: boolean;
  readonly colour: boolean;
  readonly columns: number;
  out(text: string): void;
  err(text: string): void;
  style(style: Style, text: string): string;
}

const formats = { good: 'green', bad: 'red', warn: 'yellow', dim: 'gray', strong: 'bold' } as const;

export function openTerminal(): Terminal {
  const interactive = process.stdout.isTTY;
  const colour = interactive && process.env['NO_COLOR'] === undefined && process.env['TERM'] !== 'dumb';
  return {
    interactive,
    colour,
    columns: process.stdout.columns ?? 100,
    out: (text) => void process.stdout.write(`${text}\n`),
    err: (text) => void process.stderr.write(`${text}\n`),
    style: (style, text) => (colour && style !== 'plain' ? styleText(formats[style], text, { validateStream: false }) : text),
  };
}

/**
 * Text from the network or a file, made fit for a terminal: control characters and those that turn the
 * direction of writing become visible, so that nobody can move the reader's cursor, hide a line or turn one around.
 */
export function printable(text: string): string {
  return text.replaceAll(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
