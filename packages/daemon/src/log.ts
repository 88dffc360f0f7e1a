import type { DaemonEvent, LogLevel } from '@aovpn/api';
import type { Later } from './later.ts';

export type LogLine = Extract<DaemonEvent, { readonly kind: 'log' }>;

const rank: { readonly [L in LogLevel]: number } = { error: 0, warn: 1, info: 2, debug: 3 };
/** sd-daemon(3): a journal reads the level from such a prefix. */
const journalPrefix: { readonly [L in LogLevel]: string } = { error: '<3>', warn: '<4>', info: '<6>', debug: '<7>' };

/** Lines that `aovpn logs` can still show. */
const ringSize = 2000;
/** Longest text of one line. */
const maxText = 2000;
/** At most so many lines of one kind within {@link rateWindow}, so that a peer cannot fill the disk. */
const rateLimit = 20;
const rateWindow = 10_000;

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: 'text' | 'json';
  /** Whether stderr is the journal: then lines begin with their level as sd-daemon(3) wants it, and have no time. */
  readonly journal: boolean;
  /** The journal by its own protocol, with fields to look for; false: it did not take them, and the line is written instead. */
  readonly send?: (fields: Readonly<Record<string, string>>) => boolean;
  readonly write: (line: string) => void;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  /** When lines are written, with the time at which they were said; an error, and everything before it, is written at once. Left out: all are. */
  readonly later?: Later;
}

/** The daemon's log: stderr, a ring in memory, and whoever follows. Callers never hand it a secret. */
export class Log {
  readonly #options: LogOptions;
  readonly #ring: LogLine[] = [];
  readonly #followers = new Set<(line: LogLine) => void>();
  readonly #rates = new Map<string, { since: number; count: number; dropped: number }>();

  constructor(options: LogOptions) {
    this.#options = options;
  }

  error(text: string, connection?: string): void {
    this.write('error', text, connection);
  }

  warn(text: string, connection?: string): void {
    this.write('warn', text, connection);
  }

  info(text: string, connection?: string): void {
    this.write('info', text, connection);
  }

  debug(text: string, connection?: string): void {
    this.write('debug', text, connection);
  }

  /** `at`: when it was said, if not now; milliseconds since the epoch. */
  write(level: LogLevel, text: string, connection?: string, at = this.#options.clock()): void {
    this.inOrder(() => {
      if (this.#admit(level, text, connection, at)) this.#put(level, text, connection, at);
    });
    if (level === 'error') this.flush();
  }

  /** Writes what has been said and is not written yet. */
  flush(): void {
    this.#options.later?.flush();
  }

  /** Does what may say something, in its place among what has been said. */
  inOrder(job: () => void): void {
    const { later } = this.#options;
    if (later) later.do(job);
    else job();
  }

  /** What is still known, oldest first. */
  recent(connection?: string): readonly LogLine[] {
    this.flush();
    return this.#ring.filter((line) => connection === undefined || line.connection === connection);
  }

  follow(follower: (line: LogLine) => void): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  #put(level: LogLevel, text: string, connection: string | undefined, now: number): void {
    const line: LogLine = {
      kind: 'log',
      at: new Date(now).toISOString(),
      level,
      ...(connection !== undefined && { connection }),
      text: tidy(text),
    };
    if (rank[level] <= Math.max(rank[this.#options.level], rank.info)) {
      this.#ring.push(line);
      if (this.#ring.length > ringSize) this.#ring.shift();
      for (const follower of this.#followers) follower(line);
    }
    if (rank[level] > rank[this.#options.level]) return;
    if (this.#options.format === 'text' && this.#options.send?.(journalFields(line)) === true) return;
    this.#options.write(this.#format(line));
  }

  /** The kind of a line is its text without numbers: a peer can vary numbers, not our words. */
  #admit(level: LogLevel, text: string, connection: string | undefined, now: number): boolean {
    const kind = `${level} ${connection ?? ''} ${text.slice(0, 60).replaceAll(/\d+/g, '#')}`;
    const rate = this.#rates.get(kind);
    if (!rate || now - rate.since > rateWindow) {
      if (this.#rates.size > 1000) this.#rates.clear();
      this.#rates.set(kind, { since: now, count: 1, dropped: 0 });
      if (rate && rate.dropped > 0)
        this.#put(level, `${rate.dropped} more lines like this were left out: ${text.slice(0, 60)}`, connection, now);
      return true;
    }
    if (++rate.count <= rateLimit) return true;
    rate.dropped++;
    return false;
  }

  #format(line: LogLine): string {
    const { format, journal } = this.#options;
    if (format === 'json') {
      const { kind: _, ...rest } = line;
      return `${JSON.stringify(rest)}\n`;
    }
    const who = line.connection === undefined ? '' : `[${line.connection}] `;
    return journal
      ? `${journalPrefix[line.level]}${who}${line.text}\n`
      : `${line.at} ${line.level.padEnd(5)} ${who}${line.text}\n`;
  }
}

/** syslog(3). */
const priority: { readonly [L in LogLevel]: number } = { error: 3, warn: 4, info: 6, debug: 7 };
/** Of every entry that has a code of docs/errors.md. Our own choice; journalctl(1) finds it by MESSAGE_ID=. */
const problemMessageId = 'd5f0a1c95c3b4b6b8f0e7c1f6a2d9e34';

/** systemd.journal-fields(7), and ours: docs/systemd.md. */
function journalFields({ level, connection, text }: LogLine): Readonly<Record<string, string>> {
  const code = /\bAOV-[A-Z]+-\d{3}\b/.exec(text)?.[0];
  return {
    MESSAGE: connection === undefined ? text : `[${connection}] ${text}`,
    PRIORITY: String(priority[level]),
    SYSLOG_IDENTIFIER: 'aovpnd',
    ...(connection !== undefined && { AOVPN_CONNECTION: connection }),
    ...(code !== undefined && { AOVPN_CODE: code, MESSAGE_ID: problemMessageId }),
  };
}

/** One line, no control characters: what a peer sent must not forge lines or move a terminal's cursor. */
function tidy(text: string): string {
  const line = text.replaceAll(/\s*\n\s*/g, ' | ').replaceAll(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, '\ufffd');
  return line.length > maxText ? `${line.slice(0, maxText)}…` : line;
}
