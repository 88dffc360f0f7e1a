import type { IkeAction, IkeEnd, IkeEvent, IkeSa, IkeSaConfig, IkeStep, IkeTimer, MachineCrypto, Path } from '@aovpn/ike';
import { startIkeSa, stepIkeSa } from '@aovpn/ike';

export interface IkeDriverPorts {
  readonly crypto: MachineCrypto;
  /** Everything but timers, in order. */
  perform(action: Exclude<IkeAction, { readonly kind: 'arm' | 'disarm' }>, driver: IkeDriver): void;
  /** The state after every step, before its actions are performed. */
  stepped(sa: IkeSa): void;
  /** Whatever the gateway sent, the machine must not throw: this is our bug. */
  bug(error: unknown, driver: IkeDriver): void;
}

/** One IKE machine with its timers: feeds it events and has its actions performed. */
export class IkeDriver {
  readonly #ports: IkeDriverPorts;
  readonly #timers = new Map<IkeTimer, NodeJS.Timeout>();
  #sa: IkeSa | undefined;
  #stopped = false;

  constructor(ports: IkeDriverPorts) {
    this.#ports = ports;
  }

  /** Between its first step and its end. */
  get isRunning(): boolean {
    return this.#sa !== undefined && !this.#stopped;
  }

  get sa(): IkeSa | undefined {
    return this.#sa;
  }

  /** Inbound SPIs of its pairs. */
  get children(): readonly number[] {
    return this.#sa?.children.map(({ spiIn }) => spiIn) ?? [];
  }

  start(config: IkeSaConfig, path: Path): void {
    this.#step(() => startIkeSa(this.#ports.crypto, config, path, performance.now()));
  }

  feed(event: IkeEvent): void {
    const sa = this.#sa;
    if (this.#stopped || !sa) return;
    this.#step(() => stepIkeSa(this.#ports.crypto, sa, event, performance.now()));
  }

  /** Nothing happens any more. */
  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #step(step: () => IkeStep): void {
    let result: IkeStep;
    try {
      result = step();
    } catch (error) {
      return this.#ports.bug(error, this);
    }
    this.#sa = result.sa;
    this.#ports.stepped(result.sa);
    for (const action of result.actions) {
      if (this.#stopped) return;
      if (action.kind === 'arm') this.#arm(action.timer, action.at);
      else if (action.kind === 'disarm') this.#disarm(action.timer);
      else this.#ports.perform(action, this);
    }
  }

  #arm(timer: IkeTimer, at: number): void {
    this.#disarm(timer);
    const delay = Math.min(0x7fff_ffff, Math.max(0, Math.ceil(at - performance.now())));
    this.#timers.set(
      timer,
      setTimeout(() => {
        this.#timers.delete(timer);
        this.feed({ kind: 'timer', timer });
      }, delay),
    );
  }

  #disarm(timer: IkeTimer): void {
    clearTimeout(this.#timers.get(timer));
    this.#timers.delete(timer);
  }
}

/** Whether the server did not like the secret that it was given. Methods that have no word for that just end. */
export function secretRefused(end: IkeEnd): boolean {
  if (end.kind !== 'failed' || end.failure.kind !== 'eap') return false;
  const { kind, unexplained } = end.failure.failure;
  // A refusal after the server has shown that it knows the password says nothing against the password.
  return kind === 'wrong-password' || kind === 'password-expired' || (kind === 'rejected' && unexplained === 'secret');
}
