import { platformMark, readPlatformFacts } from '@aovpn/host';
import { decidePlatform, type PlatformDecision } from '@aovpn/policy';
import type { Log } from './log.ts';

export interface MachinePlatformOptions {
  readonly log: Log;
  readonly read?: typeof readPlatformFacts;
  readonly mark?: typeof platformMark;
  /** Milliseconds of a clock that nobody sets. */
  readonly now?: () => number;
}

/** What was read is held so long, milliseconds, while nothing is seen to change: not every change is. */
const heldMs = 5_000;

/** Where this machine belongs, as it was when it was last looked at: joining a domain needs no restart of ours. */
export class MachinePlatform {
  readonly #options: MachinePlatformOptions;
  #decision: PlatformDecision | undefined;
  #told: string | undefined;
  #held: { readonly mark: string; readonly until: number; readonly decision: Promise<PlatformDecision> } | undefined;

  constructor(options: MachinePlatformOptions) {
    this.#options = options;
  }

  /** The machine's full name, where it has one. */
  get hostName(): string | undefined {
    return this.#decision?.hostName;
  }

  /** What is held, or read anew: for who asks often. */
  async held(): Promise<PlatformDecision> {
    const { mark: markOf = platformMark, now = () => performance.now() } = this.#options;
    const mark = markOf();
    if (this.#held?.mark !== mark || this.#held.until <= now())
      this.#held = { mark, until: now() + heldMs, decision: this.look() };
    return await this.#held.decision;
  }

  /** @param realmd ask realmd too, which has to be started for it */
  async look(realmd = false): Promise<PlatformDecision> {
    const { read = readPlatformFacts, log } = this.#options;
    const decision = decidePlatform(await read({ realmd }));
    const { kind, joinedTo, account } = decision;
    const told = JSON.stringify([kind, joinedTo, account]);
    if (told !== this.#told && (kind !== 'workgroup' || this.#told !== undefined))
      log.info(`this machine: ${decision.trace.at(-1)!}`);
    this.#told = told;
    this.#decision = decision;
    return decision;
  }
}
