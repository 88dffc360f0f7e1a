import { readPlatformFacts } from '@aovpn/host';
import { decidePlatform, type PlatformDecision } from '@aovpn/policy';
import type { Log } from './log.ts';

export interface MachinePlatformOptions {
  readonly log: Log;
  readonly read?: typeof readPlatformFacts;
}

/** Where this machine belongs, as it was when it was last looked at: joining a domain needs no restart of ours. */
export class MachinePlatform {
  readonly #options: MachinePlatformOptions;
  #decision: PlatformDecision | undefined;
  #told: string | undefined;

  constructor(options: MachinePlatformOptions) {
    this.#options = options;
  }

  /** The machine's full name, where it has one. */
  get hostName(): string | undefined {
    return this.#decision?.hostName;
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
