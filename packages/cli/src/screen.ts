import process from 'node:process';
import { stripVTControlCharacters } from 'node:util';
import { textWidth } from './print/cell.ts';

/** xterm's control sequences (ctlseqs): the alternate screen, the cursor, wrapping at the margin, and updates that appear at once. */
const sequence = {
  enter: '\u001b[?1049h\u001b[?25l\u001b[?7l\u001b[2J',
  leave: '\u001b[?7h\u001b[?25h\u001b[?1049l',
  begin: '\u001b[?2026h',
  end: '\u001b[?2026l',
  restOfLine: '\u001b[K',
  restOfScreen: '\u001b[J',
} as const;

const key = { interrupt: 3, redraw: 12, suspend: 26 } as const;

export interface ScreenOptions {
  /** Its size is another one, or all of it was lost: draw again. */
  readonly onResize: () => void;
  /** q, Ctrl-C, or a signal that ends. */
  readonly onQuit: () => void;
}

/**
 * A terminal as a whole, drawn in place: only lines that have changed are written, so that nothing flickers. What was on the terminal before is there again
 * afterwards, however this process ends by itself: in good order, by a signal, by a bug.
 */
export class Screen implements Disposable {
  readonly #options: ScreenOptions;
  readonly #output = process.stdout;
  #shown: readonly string[] = [];
  #open = false;
  readonly #quit = (): void => this.#options.onQuit();
  readonly #close = (): void => this.#leave();
  readonly #resized = (): void => {
    this.#forget();
    this.#options.onResize();
  };
  readonly #resumed = (): void => {
    this.#enter();
    this.#options.onResize();
  };
  readonly #heard = (octets: Buffer): void => this.#hear(octets);

  constructor(options: ScreenOptions) {
    this.#options = options;
    process.on('exit', this.#close);
    // Before Node prints what went wrong: it belongs on the terminal that stays.
    process.on('uncaughtExceptionMonitor', this.#close);
    for (const signal of endings) process.on(signal, this.#quit);
    process.on('SIGCONT', this.#resumed);
    this.#output.on('resize', this.#resized);
    this.#enter();
  }

  /** A terminal that does not say (0, as serial lines do) is taken for one of the usual size. */
  get columns(): number {
    return this.#output.columns || 80;
  }

  get rows(): number {
    return this.#output.rows || 24;
  }

  /** Lines no wider than the terminal; more than it has are left out. */
  draw(lines: readonly string[]): void {
    if (!this.#open) return;
    const visible = lines.slice(0, this.rows);
    let text = '';
    for (const [row, line] of visible.entries())
      if (line !== this.#shown[row]) text += `\u001b[${row + 1};1H${line}${this.#isWhole(line) ? '' : sequence.restOfLine}`;
    if (visible.length < this.#shown.length) text += `\u001b[${visible.length + 1};1H${sequence.restOfScreen}`;
    this.#shown = visible;
    if (text !== '') this.#output.write(sequence.begin + text + sequence.end);
  }

  [Symbol.dispose](): void {
    this.#leave();
    process.off('exit', this.#close);
    process.off('uncaughtExceptionMonitor', this.#close);
    for (const signal of endings) process.off(signal, this.#quit);
    process.off('SIGCONT', this.#resumed);
    this.#output.off('resize', this.#resized);
  }

  #enter(): void {
    if (this.#open) return;
    this.#open = true;
    this.#output.write(sequence.enter);
    this.#shown = [];
    if (!process.stdin.isTTY) return;
    process.stdin.setRawMode(true);
    process.stdin.on('data', this.#heard);
    process.stdin.resume();
  }

  #leave(): void {
    if (!this.#open) return;
    this.#open = false;
    if (process.stdin.isTTY) {
      process.stdin.off('data', this.#heard);
      process.stdin.setRawMode(false);
      process.stdin.pause();
    }
    this.#output.write(sequence.leave);
  }

  /** At the last column the cursor stands on what was just written, and would take it away. */
  #isWhole(line: string): boolean {
    return textWidth(stripVTControlCharacters(line)) >= this.columns;
  }

  #forget(): void {
    if (!this.#open) return;
    this.#output.write('\u001b[2J');
    this.#shown = [];
  }

  #hear(octets: Buffer): void {
    for (const octet of octets) {
      if (octet === key.interrupt || octet === 'q'.charCodeAt(0) || octet === 'Q'.charCodeAt(0)) return this.#options.onQuit();
      if (octet === key.redraw) this.#resized();
      if (octet === key.suspend) {
        this.#leave();
        process.kill(process.pid, 'SIGSTOP');
      }
    }
  }
}

const endings = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
