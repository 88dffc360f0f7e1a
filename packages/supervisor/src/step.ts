import type { TrustVerdict } from '@aovpn/policy';
import { formatAddress } from '@aovpn/bytes';
import { backoffLimits } from './backoff.ts';
import { orderCandidates, sameCandidate, type Candidate } from './candidate.ts';
import type {
  Afterwards,
  Connection,
  ConnectionSpec,
  Hold,
  NetworkState,
  Phase,
  Race,
  Redirect,
  SupervisorAction,
  SupervisorEvent,
  SupervisorState,
} from './contract.ts';
import { remember, type Places } from './memory.ts';
import { problem } from './problem-catalogue.ts';
import type { Problem } from './problem.ts';
import { usable, hasTunnel, describe, describeCandidate, supervisorTimes, Turn } from './turn.ts';
import { awaitsTrust, endOf, wantsItself } from './view.ts';

/** The state at start: names that a person had put down before the daemon was restarted, and where connections had worked. */
export function startSupervisor(
  held: ReadonlyMap<string, Hold> = new Map(),
  places: ReadonlyMap<string, Places> = new Map(),
): SupervisorState {
  return {
    connections: new Map(),
    network: { v4: false, v6: false, fingerprint: '' },
    trust: new Map(),
    held,
    places,
    stopping: false,
  };
}

/**
 * Always on: one event in, the new state and what is to be done out. Pure; `now` is milliseconds of the monotonic clock.
 * Answers that belong to an attempt long over are ignored.
 */
export function stepSupervisor(
  state: SupervisorState,
  event: SupervisorEvent,
  now: number,
): { state: SupervisorState; actions: readonly SupervisorAction[] } {
  const turn = new Step(state, now, event.random);
  turn.take(event);
  return { state: turn.result(), actions: turn.actions };
}

type Opening = Extract<Phase, { readonly kind: 'opening' }>;
type Up = Extract<Phase, { readonly kind: 'up' }>;

/** What each event comes to. */
class Step extends Turn {
  take(event: SupervisorEvent): void {
    const before = this.lockers();
    this.#take(event);
    if (this.lockers() !== before && !this.stopping)
      for (const connection of this.connections.values()) this.#lockChanged(connection);
  }

  #take(event: SupervisorEvent): void {
    switch (event.kind) {
      case 'profile':
        return this.#profile(event.spec);
      case 'network':
        return this.#networkChanged(event.network);
      case 'trust':
        return this.#trustChanged(event.verdicts);
      case 'clock-jump':
        for (const connection of this.connections.values()) this.#clockJumped(connection);
        return;
      case 'stop':
        return this.#stop();
      case 'profile-removed':
      case 'up':
      case 'down':
      case 'hold-over':
      case 'trigger':
      case 'timer': {
        const connection = this.connections.get(event.name);
        if (!connection) return;
        if (event.kind === 'up') this.#up(connection);
        else if (event.kind === 'down') this.#down(connection, event.hold);
        else if (event.kind === 'hold-over') this.#holdOver(connection, event.why);
        else if (event.kind === 'timer') this.#timer(connection);
        else if (event.kind === 'trigger') this.#triggered(connection, event.why);
        else this.#removed(connection);
        return;
      }
      case 'resolved':
      case 'answered':
      case 'probed':
      case 'established':
      case 'unresponsive':
      case 'moved':
      case 'cannot-move':
      case 'ending':
      case 'ended': {
        const connection = this.connections.get(event.name);
        if (!connection || !('attempt' in connection.phase) || connection.phase.attempt !== event.attempt) return;
        this.#answered(connection, event);
      }
    }
  }

  // What people and files say

  #profile(spec: ConnectionSpec): void {
    const known = this.connections.get(spec.name);
    // What a person has said before LockDown came does not count any more, nor after it has ended.
    if (spec.lockdown) this.#hold(spec.name, undefined);
    if (!known) {
      const held = this.held.get(spec.name);
      const connection: Connection = {
        spec,
        phase: { kind: 'idle' },
        since: this.now,
        demanded: false,
        ...(held && { held }),
        removed: false,
        attempt: 0,
        tries: 0,
        failures: 0,
        places: this.places.get(spec.name) ?? [],
        redirects: [],
        triedWith: '',
        ...trustOf(this.trust, spec.name),
      };
      this.connections.set(spec.name, connection);
      this.log(spec.name, 'info', held ? `profile in force; held down by ${held.by}` : 'profile in force');
      this.actions.push({ kind: 'changed', name: spec.name });
      if (this.wanted(connection)) this.begin(connection);
      return;
    }
    const active = hasTunnel(known.phase) || known.phase.kind === 'resolving';
    // A profile that stops being automatic does not cut off the person who is using it.
    const demanded = known.demanded || (known.spec.automatic && !spec.automatic && active && known.held === undefined);
    const { held, ...free } = known;
    const connection = this.set({ ...free, ...(held && !spec.lockdown && { held }), spec, demanded, removed: false });
    this.actions.push({ kind: 'changed', name: spec.name });
    const phase = connection.phase;
    if (phase.kind === 'closing') return;
    if (active) {
      if (known.spec.tunnelKey !== spec.tunnelKey) {
        this.reset(connection.spec.name);
        this.close(this.get(spec.name), true, 'the profile was replaced by a new version');
      }
    } else if (!this.wanted(connection)) this.rest(connection);
    else if (known.spec.retryKey !== spec.retryKey || phase.kind === 'idle') this.begin(this.reset(spec.name));
  }

  #removed(connection: Connection): void {
    this.log(connection.spec.name, 'info', 'profile removed');
    const gone = this.set({ ...connection, removed: true, demanded: false });
    if (hasTunnel(gone.phase)) this.close(gone, true, 'the profile was removed');
    else this.forget(gone);
  }

  #up(connection: Connection): void {
    this.#hold(connection.spec.name, undefined);
    const { held: _, ...free } = connection;
    const { trust } = connection;
    const unwanted = !wantsItself(connection) || (trust !== undefined && trust.kind !== 'untrusted');
    const next = this.set({ ...free, demanded: unwanted || connection.demanded });
    this.actions.push({ kind: 'changed', name: next.spec.name });
    switch (next.phase.kind) {
      case 'idle':
      case 'waiting':
      case 'blocked':
      case 'offline':
        this.begin(this.reset(next.spec.name));
        return;
      case 'resolving':
      case 'opening':
      case 'up':
      case 'closing':
        return;
    }
  }

  #down(connection: Connection, hold: Hold): void {
    if (connection.spec.lockdown) return this.log(connection.spec.name, 'warn', 'LockDown: it cannot be put down');
    this.#hold(connection.spec.name, hold);
    const next = this.set({ ...connection, held: hold, demanded: false, failures: 0, tries: 0 });
    this.log(next.spec.name, 'info', `put down by ${hold.by}; stays down until ${endOf(hold)}`);
    this.actions.push({ kind: 'changed', name: next.spec.name });
    if (hasTunnel(next.phase)) this.close(next, true, `${hold.by} said down`);
    else this.rest(next);
  }

  #holdOver(connection: Connection, why: string): void {
    if (!connection.held) return;
    const { name } = connection.spec;
    this.#hold(name, undefined);
    const { held: _, ...free } = connection;
    const next = this.set(free);
    this.log(name, 'info', `no longer held down: ${why}`);
    this.actions.push({ kind: 'changed', name });
    if (next.phase.kind === 'idle' && this.wanted(next)) this.begin(this.reset(name));
  }

  /** LockDown of other profiles came or went: who has none makes room for it, and comes back afterwards. */
  #lockChanged(connection: Connection): void {
    const { spec, phase } = connection;
    const locker = this.lockedOutBy(connection);
    if (locker === undefined) {
      if (phase.kind === 'blocked' && connection.problem?.code === lockedOutCode) this.begin(this.reset(spec.name));
    } else if (hasTunnel(phase)) this.close(connection, true, 'another profile has LockDown');
    else if (phase.kind !== 'idle' && phase.kind !== 'blocked') this.failed(connection, problem('lockedOut', locker));
  }

  #triggered(connection: Connection, why: string | undefined): void {
    const { triggered: before, ...rest } = connection;
    if (before === why) return;
    const { spec, held } = connection;
    const next = this.set({ ...rest, ...(why !== undefined && { triggered: why }) });
    this.actions.push({ kind: 'changed', name: spec.name });
    if (why !== undefined && before === undefined && !spec.automatic)
      this.log(spec.name, 'info', held ? `${why}, but ${held.by} said down` : `wanted: ${why}`);
    if (!this.wanted(next)) {
      if (hasTunnel(next.phase)) this.close(next, true, 'nothing wants it any more');
      else this.rest(next);
    } else if (next.phase.kind === 'idle' && !awaitsTrust(next)) this.begin(this.reset(spec.name));
  }

  #hold(name: string, hold: Hold | undefined): void {
    if (!hold && !this.held.has(name)) return;
    const holds = new Map(this.held);
    if (hold) holds.set(name, hold);
    else holds.delete(name);
    this.held = holds;
    this.actions.push({ kind: 'keep-held', holds });
  }

  #stop(): void {
    this.stopping = true;
    for (const connection of this.connections.values()) {
      if (hasTunnel(connection.phase)) this.close(connection, true, 'the daemon ends');
      else this.rest(connection);
    }
    this.maybeStopped();
  }

  // What the machine and its network do

  #networkChanged(network: NetworkState): void {
    const before = this.network;
    if (before.fingerprint === network.fingerprint && before.v4 === network.v4 && before.v6 === network.v6) return;
    this.network = network;
    for (const connection of this.connections.values()) {
      if (usable(network)) this.#networkIsThere(connection);
      else this.#networkIsGone(connection);
    }
  }

  #trustChanged(verdicts: ReadonlyMap<string, TrustVerdict>): void {
    this.trust = verdicts;
    for (const connection of this.connections.values()) {
      const { trust: before, ...rest } = connection;
      const { name } = connection.spec;
      const itself = wantsItself(connection);
      const trust = verdicts.get(name);
      if (before?.kind === trust?.kind && before?.why === trust?.why) continue;
      // What a person asked for on a trusted network is wanted anyway outside of it.
      const asked = connection.demanded && !(itself && trust?.kind === 'untrusted');
      const next = this.set({ ...rest, demanded: asked, ...(trust && { trust }) });
      if (itself && trust && trust.kind !== before?.kind && (before || trust.kind === 'trusted'))
        this.log(name, 'info', `this network is ${trustWord[trust.kind]}: ${trust.why}`);
      this.actions.push({ kind: 'changed', name });
      if (!this.wanted(next)) {
        if (hasTunnel(next.phase)) this.close(next, true, 'the network is trusted');
        else this.rest(next);
      } else if (next.phase.kind === 'idle' && !awaitsTrust(next)) this.begin(this.reset(name));
    }
  }

  #networkIsThere(connection: Connection): void {
    const { phase, spec } = connection;
    switch (phase.kind) {
      case 'offline':
      case 'waiting':
        this.begin(this.reset(spec.name));
        return;
      case 'resolving':
        this.begin(connection);
        return;
      case 'opening':
        this.close(connection, false, 'the network changed while connecting');
        return;
      case 'up':
        if (phase.trouble === 'ending') return;
        this.phase(connection, { ...phase, trouble: 'moving' });
        this.actions.push({ kind: 'disarm', name: spec.name });
        this.#move(connection, phase.attempt, phase.candidate.transport);
        // The new network may let UDP pass.
        if (phase.candidate.transport === 'tcp') this.arm(spec.name, supervisorTimes.backToUdp.first);
        return;
      case 'idle':
      case 'closing':
      case 'blocked':
        return;
    }
  }

  #networkIsGone(connection: Connection): void {
    const { phase, spec } = connection;
    switch (phase.kind) {
      case 'resolving':
      case 'waiting':
        this.goOffline(connection);
        return;
      case 'opening':
        this.close(connection, false, 'the network is gone');
        return;
      case 'up':
        if (phase.trouble === 'ending') return;
        this.phase(connection, { ...phase, trouble: 'no-network' });
        if (spec.outageMs > 0) this.arm(spec.name, spec.outageMs);
        return;
      case 'idle':
      case 'offline':
      case 'closing':
      case 'blocked':
        return;
    }
  }

  #clockJumped(connection: Connection): void {
    const { phase, spec } = connection;
    switch (phase.kind) {
      case 'up':
        this.actions.push({ kind: 'check-liveness', name: spec.name, attempt: phase.attempt });
        return;
      case 'waiting':
        this.begin(this.reset(spec.name));
        return;
      case 'blocked':
        // A certificate that had "expired" may be good by the clock as it is now.
        if (phase.until !== undefined) this.begin(connection);
        return;
      case 'idle':
      case 'offline':
      case 'resolving':
      case 'opening':
      case 'closing':
        return;
    }
  }

  #timer(connection: Connection): void {
    const { phase, spec } = connection;
    switch (phase.kind) {
      case 'idle':
        return;
      case 'offline':
      case 'waiting':
      case 'blocked':
        this.begin(connection);
        return;
      case 'resolving':
        this.failed(connection, problem('nameNotResolved', `${spec.servers.join(', ')}: no answer in time`));
        return;
      case 'opening':
        if (phase.race && this.now < phase.race.deadline) this.#raceOn(connection, phase, phase.race);
        else this.close(connection, false, 'it took too long', problem('tookTooLong'));
        return;
      case 'up':
        if (phase.trouble === 'no-network')
          this.close(connection, false, 'no network for longer than NetworkOutageTime', problem('outage'));
        else if (phase.candidate.transport === 'tcp' && spec.tcp !== 'only') this.#lookForUdp(connection, phase);
        return;
      case 'closing':
        // The goodbye went unanswered; from now on insist.
        this.actions.push({ kind: 'close', name: spec.name, attempt: phase.attempt, orderly: false, why: phase.why });
        this.arm(spec.name, supervisorTimes.close);
        return;
    }
  }

  // What became of an attempt

  #answered(connection: Connection, event: Extract<SupervisorEvent, { readonly attempt: number }>): void {
    const { phase } = connection;
    switch (event.kind) {
      case 'resolved':
        if (phase.kind === 'resolving') this.#resolved(connection, event.answers);
        return;
      case 'answered':
        if (phase.kind === 'opening' && phase.race) this.#raceOver(connection, phase, phase.race);
        return;
      case 'probed':
        if (phase.kind === 'opening' && phase.race) this.#raceWon(connection, phase, event.candidate);
        else if (phase.kind === 'up' && !phase.trouble) this.#udpPasses(connection, phase, event.candidate);
        return;
      case 'established':
        if (phase.kind === 'opening') this.#established(connection, phase.candidate, phase.attempt);
        return;
      case 'unresponsive':
        if (phase.kind !== 'up' || phase.trouble === 'no-network' || phase.trouble === 'ending') return;
        this.phase(connection, event.silent ? { ...phase, trouble: 'silent' } : withoutTrouble(phase));
        return;
      case 'moved':
        if (phase.kind === 'up' && phase.trouble !== 'no-network' && phase.trouble !== 'ending')
          this.phase(connection, withoutTrouble(phase));
        return;
      case 'cannot-move':
        if (phase.kind !== 'up') return;
        this.log(connection.spec.name, 'info', problem('cannotMove').message);
        this.close(connection, false, 'the network changed and the gateway cannot follow');
        return;
      case 'ending':
        if (phase.kind === 'up') this.phase(connection, { ...phase, trouble: 'ending' });
        return;
      case 'ended':
        this.#ended(connection, event.problem, event.redirect);
    }
  }

  #resolved(connection: Connection, answers: Extract<SupervisorEvent, { readonly kind: 'resolved' }>['answers']): void {
    const { phase } = connection;
    const via = phase.kind === 'resolving' ? phase.via : undefined;
    const found = orderCandidates(answers, this.network, connection.places, connection.spec.tcp);
    const candidates = via ? found.map((candidate) => ({ ...candidate, via })) : found;
    if (candidates.length === 0) {
      const details = answers.map(({ server, why }) => `${server}: ${why ?? 'no address'}`).join('; ');
      this.failed(connection, problem('nameNotResolved', details));
    } else this.open(connection, candidates);
  }

  #established(connection: Connection, candidate: Candidate, attempt: number): void {
    const { problem: _, ...rest } = connection;
    this.log(connection.spec.name, 'info', `connected to ${describeCandidate(candidate)}`);
    if (candidate.transport === 'tcp') this.arm(connection.spec.name, supervisorTimes.backToUdp.first);
    else this.actions.push({ kind: 'disarm', name: connection.spec.name });
    // Where a gateway sends us is its affair, every time anew.
    const places = candidate.via ? connection.places : remember(connection.places, candidate);
    if (places !== connection.places) this.#keepPlaces(connection.spec.name, places);
    this.phase({ ...rest, connectedAt: this.now, places, tries: 0 }, { kind: 'up', attempt, candidate });
  }

  #move({ spec: { name } }: Connection, attempt: number, transport: Candidate['transport']): void {
    this.actions.push({ kind: 'move', name, attempt, transport });
  }

  /** A tunnel in TCP asks, as a stranger, whether UDP has become possible. */
  #lookForUdp(connection: Connection, { attempt, candidate }: Up): void {
    const { name } = connection.spec;
    this.actions.push({ kind: 'probe', name, attempt, candidate: { ...candidate, transport: 'udp' } });
    this.arm(name, supervisorTimes.backToUdp.every);
  }

  /** It has: the tunnel moves there, as to another network (RFC 9329 §8). */
  #udpPasses(connection: Connection, phase: Up, { transport }: Candidate): void {
    if (phase.candidate.transport !== 'tcp' || transport !== 'udp') return;
    const { name } = connection.spec;
    const candidate = { ...phase.candidate, transport };
    this.log(name, 'info', 'UDP passes now: moving from TCP to UDP');
    this.phase(connection, { ...phase, candidate, trouble: 'moving' });
    this.actions.push({ kind: 'disarm', name });
    this.#move(connection, phase.attempt, transport);
  }

  /** A gateway sends us on; in a circle nobody goes for ever. */
  #follow(connection: Connection, { to, proven }: Redirect, from: Candidate): void {
    const { most, within } = supervisorTimes.redirects;
    const { spec } = connection;
    const lately = connection.redirects.filter((at) => this.now - at < within);
    if (lately.length >= most) return this.failed(connection, problem('redirectLoop', `${most} within five minutes`));
    const attempt = connection.attempt + 1;
    const next = this.set({ ...connection, attempt, redirects: [...lately, this.now] });
    const via = { server: from.server, proven };
    const where = to.kind === 'name' ? to.name : formatAddress(to.address);
    this.log(spec.name, 'info', `${from.server} sends us to ${where}`);
    if (to.kind === 'address') return this.open(next, [{ server: where, address: to.address, transport: from.transport, via }]);
    this.phase(next, { kind: 'resolving', attempt, via });
    this.actions.push({ kind: 'resolve', name: spec.name, attempt, servers: [to.name] });
    this.arm(spec.name, supervisorTimes.resolve);
  }

  #keepPlaces(name: string, places: Places): void {
    this.places = new Map(this.places).set(name, places);
    this.actions.push({ kind: 'keep-places', name, places });
  }

  /** The first is still silent: the next of the others is asked as well. */
  #raceOn(connection: Connection, phase: Opening, race: Race): void {
    const { name } = connection.spec;
    const candidate = phase.rest[race.asked];
    if (!candidate) return this.arm(name, race.deadline - this.now);
    const patience = race.since + supervisorTimes.tcp - this.now;
    if (candidate.transport === 'tcp' && connection.places[0]?.transport !== 'tcp' && patience > 0)
      return this.arm(name, patience);
    this.phase(connection, { ...phase, race: { ...race, asked: race.asked + 1 } });
    this.actions.push({ kind: 'probe', name, attempt: phase.attempt, candidate });
    this.arm(name, Math.min(supervisorTimes.race, race.deadline - this.now));
  }

  /** The first has answered; what the others say does not matter any more. */
  #raceOver(connection: Connection, phase: Opening, race: Race): void {
    const { race: _, ...single } = phase;
    this.phase(connection, single);
    this.arm(connection.spec.name, race.deadline - this.now);
  }

  /** Another one answers while the first is silent: it is tried now, and the first one last. The silent one is told nothing. */
  #raceWon(connection: Connection, phase: Opening, winner: Candidate): void {
    const others = phase.rest.filter((other) => other !== winner && !sameCandidate(other, winner));
    const { fingerprint } = this.network;
    const candidates = [winner, ...others, phase.candidate];
    const then: Afterwards = { kind: 'next', candidates, fingerprint, ...(phase.before && { before: phase.before }) };
    this.close(connection, false, `${describeCandidate(winner)} answers, ${describeCandidate(phase.candidate)} does not`, then);
  }

  #ended(connection: Connection, ending: Problem | undefined, redirect?: Redirect): void {
    const { phase, spec } = connection;
    const worked = connection.connectedAt !== undefined && this.now - connection.connectedAt >= supervisorTimes.worked;
    const { connectedAt: _, ...over } = connection;
    const next = this.set({ ...over, failures: worked ? 0 : connection.failures });
    if (next.removed) return this.forget(next);
    if (!this.wanted(next)) {
      this.rest(next);
      return this.maybeStopped();
    }
    if (redirect && (phase.kind === 'opening' || phase.kind === 'up')) return this.#follow(next, redirect, phase.candidate);
    switch (phase.kind) {
      case 'closing':
        if (phase.afterwards.kind === 'fail') this.failed(next, phase.afterwards.problem);
        else if (phase.afterwards.kind === 'next' && phase.afterwards.fingerprint === this.network.fingerprint)
          this.open(next, phase.afterwards.candidates, phase.afterwards.before, false);
        else this.begin(next);
        return;
      case 'opening': {
        const what = ending ?? problem('internal', 'the tunnel closed while it was being opened');
        const another = what.retry === 'soon' || what.side === 'gateway';
        if (next.spec.retryKey !== next.triedWith) this.begin(next);
        else if (another && phase.rest.length > 0) {
          this.log(spec.name, 'warn', `${describe(what)} Trying ${describeCandidate(phase.rest[0]!)} next.`);
          this.open(next, phase.rest, moreTelling(phase.before, what, phase.candidate), !phase.raced);
        } else this.failed(next, phase.rest.length === 0 ? moreTelling(phase.before, what, phase.candidate) : what);
        return;
      }
      case 'up': {
        const what = ending ?? problem('internal', 'the tunnel closed by itself');
        if (worked && what.retry === 'soon') {
          this.log(spec.name, 'warn', `${describe(what)} Connecting again.`);
          this.wait(this.set({ ...next, problem: what }), Math.round(backoffLimits.first * this.random));
        } else this.failed(next, what);
        return;
      }
      case 'idle':
      case 'offline':
      case 'resolving':
      case 'waiting':
      case 'blocked':
        return;
    }
  }
}

const trustWord = { trusted: 'trusted', untrusted: 'not trusted', asking: 'perhaps trusted' } as const;

function trustOf(trust: ReadonlyMap<string, TrustVerdict>, name: string): Pick<Connection, 'trust'> {
  const verdict = trust.get(name);
  return verdict ? { trust: verdict } : {};
}
const lockedOutCode = problem('lockedOut').code;

function withoutTrouble(phase: Extract<Phase, { readonly kind: 'up' }>): Phase {
  return { kind: 'up', attempt: phase.attempt, candidate: phase.candidate };
}

/** Of the problems of one round, a gateway that said no tells more than one that said nothing; that TCP does not help either tells least. */
function moreTelling(before: Problem | undefined, now: Problem, { transport }: Candidate): Problem {
  if (before && transport === 'tcp' && now.side === 'network') return before;
  return before && before.retry !== 'soon' && now.retry === 'soon' ? { ...before, retry: 'soon' } : now;
}
