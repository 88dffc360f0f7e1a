import { readFileSync } from 'node:fs';
import type { LeakReport } from '@aovpn/api';
import { network } from './network.ts';
import { type Product, installed } from './product.ts';
import type { Running } from './running.ts';

/** `aovpn leaktest --manual` beside a story: the story disturbs, the product watches and judges. */
export class LeakWatch {
  readonly #running: Running;

  private constructor(running: Running) {
    this.#running = running;
  }

  /** @param canaries where packets are sent that must not be seen; by default to the public web server, which would answer */
  static async start(
    product: Product,
    profile: string,
    options: { readonly rate?: number; readonly canaries?: readonly string[] } = {},
  ): Promise<LeakWatch> {
    const { internet } = network;
    const canaries = options.canaries ?? [internet.web4, internet.web6];
    const running = product.host.spawn(
      [
        ...installed('aovpn'),
        'leaktest',
        profile,
        '--manual',
        '--json',
        `--canary=${canaries.join(',')}`,
        `--rate=${options.rate ?? 200}`,
      ],
      { name: 'leaktest', stdin: true },
    );
    await running.saysWithin(/packets watched/);
    return new LeakWatch(running);
  }

  /** From now on this is what happens. */
  step(name: string): void {
    this.#running.stdin!.write(`${name}\n`);
  }

  get running(): Running {
    return this.#running;
  }

  /** Ends the watch. */
  async report(): Promise<LeakReport> {
    this.#running.stdin!.end();
    await this.#running.exited;
    const text = readFileSync(this.#running.stdoutFile, 'utf8');
    if (text === '') throw new Error(`the leak test said nothing:\n${this.#running.output()}`);
    return JSON.parse(text) as LeakReport;
  }
}

/** The leaks of a report, a line each, for the message of a failed assertion. */
export function leakLines(report: LeakReport): string {
  return report.leaks
    .map(
      (leak) =>
        `${leak.at} ${leak.device} "${leak.step}" protocol ${leak.protocol} ${leak.source}:${leak.sourcePort ?? ''} > ${leak.destination}:${leak.destinationPort ?? ''} ${leak.count}× ${leak.why}`,
    )
    .join('\n');
}
