import type { Client } from './client.ts';
import type { Terminal } from './terminal.ts';

/** What the process ends with. Scripts rely on these numbers; they are in the manual page. */
export const ExitCode = {
  /** Done. For `status NAME`: it is up. */
  done: 0,
  /** It was tried and failed; for `profile lint`: there are errors; for `doctor`: a check failed. */
  failed: 1,
  /** The command line makes no sense. */
  usage: 2,
  /** The daemon does not answer. */
  noDaemon: 3,
  /** The daemon refuses: not root, not in the group. */
  notPermitted: 4,
  /** There is no profile or connection of that name. */
  notFound: 5,
  /** `leaktest`: it could not see, or there was nothing to see; nothing is proven either way. */
  blind: 6,
} as const;

export interface OptionSpec {
  /** Without dashes. */
  readonly name: string;
  readonly short?: string;
  /** Present: the option takes a value, shown by this word. */
  readonly value?: string;
  readonly summary: string;
  /** What shell completion offers for the value. */
  readonly complete?: 'file' | 'connection';
}

export interface PositionalSpec {
  readonly name: string;
  readonly optional?: boolean;
  readonly many?: boolean;
  readonly complete?: 'file' | 'connection' | 'enrolment' | 'shell';
}

export interface Invocation {
  readonly positionals: readonly string[];
  readonly options: Readonly<Record<string, string | boolean | undefined>>;
  readonly client: Client;
  readonly terminal: Terminal;
}

/** One command; `--help`, the manual page and shell completion are all made from these values. */
export interface Command {
  /** One or two words: `status`, `profile add`. */
  readonly name: string;
  readonly summary: string;
  /** Paragraphs for `--help` and the manual page. */
  readonly description: readonly string[];
  readonly positionals: readonly PositionalSpec[];
  readonly options: readonly OptionSpec[];
  readonly examples: readonly { readonly command: string; readonly what: string }[];
  run(invocation: Invocation): Promise<number>;
}

/** Ends a command with a sentence and an exit code. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: number;
  readonly cure: string | undefined;
  /** That LockDown holds back all traffic now: it may be what the person came for. */
  readonly blocked: string | undefined;

  constructor(exitCode: number, message: string, cure?: string, blocked?: string) {
    super(message);
    this.exitCode = exitCode;
    this.cure = cure;
    this.blocked = blocked;
  }
}
