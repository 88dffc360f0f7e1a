import process from 'node:process';

/** Prints a story step by step, live on a terminal and line by line anywhere else. */
export class Storyteller {
  readonly #live = process.stdout.isTTY;
  readonly #colours = this.#live && process.env['NO_COLOR'] === undefined;
  readonly #started = performance.now();
  #steps = 0;

  title(text: string): void {
    this.say(`\n${this.#paint('1', text)}`);
  }

  say(text = ''): void {
    process.stdout.write(`${text}\n`);
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
      process.stdout.write(
        `\r\u001b[K ${number} ${this.#paint('33', spinner[turn++ % spinner.length]!)} ${title} ${this.#paint('2', seconds())}`,
      );
    };
    const timer = this.#live ? setInterval(draw, 100) : undefined;
    const end = (mark: string, colour: string): void => {
      clearInterval(timer);
      const padded = title.padEnd(62);
      process.stdout.write(
        `${this.#live ? '\r\u001b[K' : ''} ${number} ${this.#paint(colour, mark)} ${padded} ${this.#paint('2', seconds())}\n`,
      );
    };
    if (this.#live) draw();
    try {
      const outcome = await action();
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

const spinner = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
