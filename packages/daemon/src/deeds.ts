import { formatAddress } from '@aovpn/bytes';
import { approachingConnections, unwantedConnections, wantsPortal, type SupervisorState } from '@aovpn/supervisor';
import type { Daemon } from './daemon.ts';
import type { Deed } from './supervisor-loop.ts';

/** Has done what the supervisor decides, and what follows from its state. */
export class Deeds {
  /** The daemon is on its way out: nothing new is prepared. */
  stopping = false;
  readonly #daemon: Daemon;
  readonly #stopped = Promise.withResolvers<void>();

  constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  /** Resolves when the supervisor has stopped. */
  get stopped(): Promise<void> {
    return this.#stopped.promise;
  }

  /** It has not stopped in time: nobody waits for it any more. */
  giveUp(): void {
    this.#stopped.resolve();
  }

  perform(deed: Deed): void {
    const { tunnels, places, holdEnds, held, board, log } = this.#daemon;
    switch (deed.kind) {
      case 'resolve':
        return void tunnels.resolve(deed);
      case 'open':
        return tunnels.open(deed);
      case 'probe':
        return void tunnels.probe(deed);
      case 'close':
        return void tunnels.close(deed);
      case 'move':
        return tunnels.move(deed);
      case 'check-liveness':
        return tunnels.checkLiveness(deed);
      case 'keep-places':
        return void places.keep(deed.name, deed.places);
      case 'keep-held':
        holdEnds.take(deed.holds);
        return void held.write(deed.holds);
      case 'forgotten':
        return board.forget(deed.name);
      case 'log':
        return log.write(deed.level, deed.text, deed.name);
      case 'stopped':
        return this.#stopped.resolve();
    }
  }

  stepped(before: SupervisorState, after: SupervisorState, changed: ReadonlySet<string>): void {
    const { triggers, plans, board, enrolments, files, tunnels } = this.#daemon;
    // What the apps of a connection may do without it, and what its names come to, changes with the wish.
    const planned = (state: SupervisorState): string =>
      JSON.stringify([[...unwantedConnections(state)], [...triggers.readiness(state)]]);
    if (!this.stopping && planned(after) !== planned(before)) plans.refreshSoon();
    for (const name of changed) board.publish(name);
    if ([...changed].some((name) => after.connections.get(name)?.phase.kind === 'up')) enrolments.wayFound();
    if (changed.size > 0) triggers.settle();
    files?.pace();
    const { begun, next } = approachingConnections(after);
    if (!this.stopping) tunnels.expect(triggers.expected(), next, begun);
    this.heedPortal();
  }

  heedPortal(): void {
    const ways = (this.#daemon.network.facts?.defaultRoutes ?? []).map(
      ({ family, device, gateway }) => `${family} ${device} ${gateway ? formatAddress(gateway) : ''}`,
    );
    const needed = wantsPortal(this.#daemon.loop.state, (name) => this.#daemon.store.get(name)?.intent);
    this.#daemon.portal.heed(needed, ways.join('\n'));
  }
}
