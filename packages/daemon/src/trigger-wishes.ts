import type { Connection } from '@aovpn/supervisor';

/** What a profile names as a trigger. */
export type TriggerKind = 'application' | 'name';

export interface TriggerWishesOptions {
  readonly connection: (name: string) => Connection | undefined;
  /** Something wants the tunnel (why), or nothing any more. */
  readonly say: (name: string, why: string | undefined) => void;
}

/** What triggers want, of whatever kind: a tunnel is wanted as long as any of them wants it, and for the reason of one that does. */
export class TriggerWishes {
  readonly #options: TriggerWishesOptions;
  readonly #wishes = new Map<string, Map<TriggerKind, string>>();

  constructor(options: TriggerWishesOptions) {
    this.#options = options;
  }

  want(kind: TriggerKind, name: string, why: string): void {
    const wishes = this.#wishes.get(name) ?? new Map<TriggerKind, string>();
    this.#wishes.set(name, wishes);
    if (!wishes.has(kind)) wishes.set(kind, why);
    // A profile that went and came back has forgotten.
    if (this.#options.connection(name)?.triggered === undefined) this.#options.say(name, why);
  }

  /** Whether a trigger of another kind wants it. */
  isWantedElse(kind: TriggerKind, name: string): boolean {
    return [...(this.#wishes.get(name)?.keys() ?? [])].some((other) => other !== kind);
  }

  release(kind: TriggerKind, name: string): void {
    const wishes = this.#wishes.get(name);
    if (!wishes?.delete(kind)) return;
    if (wishes.size === 0) this.#wishes.delete(name);
    const [left] = wishes.values();
    this.#options.say(name, left);
  }
}
