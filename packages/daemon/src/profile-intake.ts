import type { Daemon } from './daemon.ts';
import type { StoredProfile, StoreChange } from './profile-store.ts';

/** What follows from a profile, or what stands beside it, being another one: everybody who keeps something of it hears of it here. */
export class ProfileIntake {
  readonly #daemon: Daemon;

  constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  async take(change: StoreChange): Promise<void> {
    const { lockdown, candidates, tickets, trust, places, loop, board } = this.#daemon;
    switch (change.kind) {
      case 'in-force':
        if (!change.stored.intent.lockdown) await lockdown.forget(change.stored.name);
        await this.load(change.stored, true);
        board.publishProfile(change.stored.name);
        return;
      case 'refused':
        board.publishProfile(change.name);
        return;
      case 'left':
        // What was learnt (places, trust) is there when the user is.
        await candidates.remove(change.name);
        tickets.forget(change.name);
        loop.say({ kind: 'profile-removed', name: change.name });
        return;
      case 'removed':
        await candidates.remove(change.name);
        await trust.forget(change.name);
        await places.forget(change.name);
        await lockdown.forget(change.name);
        tickets.forget(change.name);
        loop.say({ kind: 'profile-removed', name: change.name });
        return;
    }
  }

  /** Tells the supervisor if profile, settings or credentials differ. */
  async load(stored: StoredProfile, force: boolean): Promise<void> {
    const spec = await this.#daemon.candidates.load(stored, force);
    if (!spec) return;
    const ppk = this.#daemon.candidates.get(stored.name)?.compiled?.config.ppk;
    if (ppk) this.#daemon.tunnels.get(stored.name)?.freshPpk(ppk);
    // Before the profile: it must not connect where it is not needed.
    this.#daemon.trusted.judge();
    this.#daemon.loop.say({ kind: 'profile', spec });
  }
}
