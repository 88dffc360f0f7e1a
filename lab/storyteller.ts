import process from 'node:process';
import { styleText } from 'node:util';
import type { DaemonStatus } from '@aovpn/api';
import { eventText, LiveHistory, liveLines, LiveRates } from '@aovpn/cli';

/** How often the state of the connections is looked at, milliseconds. */
const lookEvery = 250;
const formats = { good: 'green', bad: 'red', warn: 'yellow', dim: 'gray', strong: 'bold' } as const;

/**
 * Prints a story step by step. On a terminal the state of all connections lives below it, drawn as `aovpn status --watch` does; anywhere else each change is a line.
 */
export class Storyteller {
  readonly #live = process.stdout.isTTY;
  readonly #colours = this.#live && process.env['NO_COLOR'] === undefined;
  readonly #started = performance.now();
  #steps = 0;
  /** Lines of the picture that are on the terminal now, below everything else. */
  #drawn = 0;
  #spinner = '';
  #status: DaemonStatus | undefined;
  #history: LiveHistory | undefined;
  #rates = new LiveRates();
  #watching: NodeJS.Timeout | undefined;
  #look: (() => Promise<void>) | undefined;

  title(text: string): void {
    this.say(`\n${this.#paint('1', text)}`);
  }

  say(text = ''): void {
    this.#erase();
    process.stdout.write(`${text}\n`);
    this.#draw();
  }

  /** From now on what `look` finds is shown, until {@link unwatch}. A look that fails shows nothing new. */
  watch(look: () => Promise<DaemonStatus>): void {
    let looking: Promise<void> | undefined;
    this.#look = () =>
      (looking ??= look()
        .then(
          (status) => this.#take(status),
          () => {},
        )
        .finally(() => (looking = undefined)));
    this.#watching = setInterval(() => void this.#look?.(), lookEvery);
  }

  unwatch(): void {
    clearInterval(this.#watching);
    this.#watching = undefined;
    this.#look = undefined;
    this.#status = undefined;
    this.#erase();
  }

  #take(status: DaemonStatus): void {
    if (!this.#watching) return;
    const now = Date.now();
    this.#status = status;
    this.#rates.take(status.connections, now);
    this.#history ??= new LiveHistory({ ...status, connections: [] });
    const changes = this.#history.take(status, now);
    if (this.#live) this.#draw();
    else for (const change of changes) this.say(`          ${eventText(change, plain, now)}`);
  }

  /** The picture, and above it the step that is under way. */
  #draw(): void {
    if (!this.#live) return;
    const lines = this.#spinner === '' ? [] : [this.#spinner];
    const { columns, rows } = process.stdout;
    if (this.#status) {
      const rule = this.#paint('2', '─'.repeat(columns));
      const picture = {
        status: this.#status,
        events: [],
        rates: this.#rates.latest,
        now: Date.now(),
        title: 'what is up, and why',
      };
      const style = (name: string, text: string): string =>
        this.#colours && name in formats
          ? styleText(formats[name as keyof typeof formats], text, { validateStream: false })
          : text;
      lines.push(rule, ...liveLines(picture, { style }, columns, Math.max(4, rows - 6)));
    }
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A\r` : '\r';
    // Without wrapping, so that a line is a line on a narrow terminal as well.
    const text = lines.map((line) => `\u001b[K${line}\n`).join('');
    process.stdout.write(`\u001b[?2026h\u001b[?7l${up}${text}\u001b[J\u001b[?7h\u001b[?2026l`);
    this.#drawn = lines.length;
  }

  #erase(): void {
    if (this.#drawn > 0) process.stdout.write(`\u001b[${this.#drawn}A\r\u001b[J`);
    this.#drawn = 0;
  }

  /** Lines that a program said, indented and dimmed. */
  quote(text: string, indent = 8): void {
    for (const line of text.trimEnd().split('\n')) this.say(`${' '.repeat(indent)}${this.#paint('2', line)}`);
  }

  /** One step: `action` returns what there is to say about it. @throws what the action throws, after saying so. */
  async step(title: string, action: () => Promise<string>): Promise<void> {
    const number = `${++this.#steps}`.padStart(2);
    const started = performance.now();
    const seconds = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`.padStart(7);
    let turn = 0;
    const draw = (): void => {
      this.#spinner = ` ${number} ${this.#paint('33', spinner[turn++ % spinner.length]!)} ${title} ${this.#paint('2', seconds())}`;
      this.#draw();
    };
    const timer = this.#live ? setInterval(draw, 100) : undefined;
    const end = (mark: string, colour: string): void => {
      clearInterval(timer);
      this.#spinner = '';
      this.say(` ${number} ${this.#paint(colour, mark)} ${title.padEnd(62)} ${this.#paint('2', seconds())}`);
    };
    if (this.#live) draw();
    try {
      const outcome = await action();
      // What it has changed is told with it.
      await this.#look?.();
      end('✓', '32');
      if (outcome !== '') this.quote(outcome);
    } catch (error) {
      end('✗', '31');
      this.quote(error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  /** The world as a picture; `link` says what the line between laptop and gateway looks like. */
  picture(link: 'none' | 'tunnel' | 'two tunnels' | 'broken'): void {
    const line = { none: '──────────', tunnel: '══════════', 'two tunnels': '≣≣≣≣≣≣≣≣≣≣', broken: '── ✗  ✗ ──' }[link];
    const colour = { none: '2', tunnel: '32', 'two tunnels': '32', broken: '31' }[link];
    const drawn = this.#paint(colour, line);
    this.say();
    this.say(`    laptop ${drawn} internet ${drawn} gateway ────── company`);
    this.say(this.#paint('2', '    aovpn             router,             strongSwan     intranet.corp.example'));
    this.say(this.#paint('2', '                      capture'));
    this.say();
  }

  table(rows: readonly (readonly [string, string])[]): void {
    const width = Math.max(...rows.map(([left]) => left.length));
    for (const [left, right] of rows) this.say(`    ${left.padEnd(width)}   ${this.#paint('1', right)}`);
  }

  get seconds(): number {
    return (performance.now() - this.#started) / 1000;
  }

  #paint(code: string, text: string): string {
    return this.#colours ? `\u001b[${code}m${text}\u001b[0m` : text;
  }
}

const plain = { style: (_: unknown, text: string) => text };

const spinner = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
