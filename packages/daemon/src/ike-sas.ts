import type { IkeEnd, IkeEvent } from '@aovpn/ike';
import type { IkeDriver } from './ike-driver.ts';
import type { TunnelEap } from './tunnel-eap.ts';

/** One IKE SA of a tunnel, with the EAP that authenticates it. */
export interface Run {
  readonly driver: IkeDriver;
  readonly eap: TunnelEap;
}

/**
 * The IKE SAs of one tunnel: the one in use, perhaps another one that is on its way to take over (make before break), and the one that was replaced and says goodbye.
 * Each is a machine of its own; they share the flow and the data plane.
 */
export class IkeSas {
  readonly #make: () => Run;
  #current: Run;
  #successor: Run | undefined;
  #retired: Run | undefined;
  #orphaned: IkeEnd | undefined;

  constructor(make: () => Run) {
    this.#make = make;
    this.#current = make();
  }

  get current(): Run {
    return this.#current;
  }

  get successor(): Run | undefined {
    return this.#successor;
  }

  all(): Run[] {
    return [this.#current, this.#successor, this.#retired].filter((run) => run !== undefined);
  }

  /** Undefined: it was let go of. */
  runOf(driver: IkeDriver): Run | undefined {
    return this.all().find((run) => run.driver === driver);
  }

  /** To every one: each knows what is its own. */
  feed(event: IkeEvent): void {
    for (const { driver } of this.all()) driver.feed(event);
  }

  /** Somebody wants an end of all of them: whatever became of the one in use before, that is why. */
  close(why: string): void {
    this.#orphaned = undefined;
    // The one that was replaced a moment ago may not have said its goodbye yet.
    for (const run of [this.#successor, this.#retired, this.#current]) run?.driver.feed({ kind: 'close', why });
  }

  /** Nothing happens any more. */
  stop(): void {
    for (const { driver } of this.all()) driver.stop();
  }

  /** Makes the one that is to take over; undefined: one is on its way already. */
  beginSuccessor(): Run | undefined {
    if (this.#successor) return undefined;
    return (this.#successor = this.#make());
  }

  /** It will not take over. Returns how the one in use has ended meanwhile, if it has. */
  giveUp(successor: Run): { readonly orphaned: IkeEnd | undefined } | undefined {
    if (this.#successor !== successor) return undefined;
    this.#successor = undefined;
    successor.driver.stop();
    return { orphaned: this.#orphaned };
  }

  /** It carries traffic, and is the one in use from now on. Returns the one that it replaces, which has yet to say goodbye. */
  takeOver(successor: Run): Run {
    const old = this.#current;
    this.#current = successor;
    this.#successor = undefined;
    this.#orphaned = undefined;
    this.#retired?.driver.stop();
    this.#retired = old;
    return old;
  }

  /**
   * One of them has come to its end. `orphaned`: the one in use, but what matters is its successor: gateways end an IKE SA when its time is up (RFC 4478 §2), or
   * have long forgotten it.
   */
  ended(run: Run, end: IkeEnd): 'current' | 'orphaned' | 'successor' | 'retired' {
    run.driver.stop();
    if (run === this.#retired) {
      this.#retired = undefined;
      return 'retired';
    }
    if (run === this.#successor) return 'successor';
    if (!this.#successor || end.kind === 'closed') return 'current';
    this.#orphaned = end;
    return 'orphaned';
  }
}
