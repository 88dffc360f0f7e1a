import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { TrustVerdict } from '@aovpn/policy';
import fc from 'fast-check';
import type { SupervisorAction, SupervisorOccurrence, SupervisorState } from '../src/contract.ts';
import { problem, type ProblemName } from '../src/problem-catalogue.ts';
import { startSupervisor, stepSupervisor } from '../src/step.ts';
import { stateOf } from '../src/view.ts';
import { address, hold, spec } from './script.ts';

/** What may happen next; the world below turns it into an event that fits (answers only go to questions that were asked). */
type Move =
  | {
      readonly kind: 'profile';
      readonly automatic: boolean;
      readonly tunnelKey: number;
      readonly retryKey: number;
      readonly broken: boolean;
    }
  | { readonly kind: 'remove' | 'up' | 'down' | 'hold-over' | 'clock-jump' | 'tick' }
  | { readonly kind: 'network'; readonly v4: boolean; readonly fingerprint: number }
  | { readonly kind: 'trust'; readonly verdict: TrustVerdict['kind'] }
  | { readonly kind: 'trigger'; readonly on: boolean }
  | { readonly kind: 'resolve'; readonly addresses: number }
  | { readonly kind: 'answered' | 'probed' | 'establish' | 'silent' | 'answers' | 'moved' | 'cannot-move' }
  | { readonly kind: 'end'; readonly problem: ProblemName | undefined };

const names = ['a', 'b'] as const;

const move: fc.Arbitrary<Move> = fc.oneof(
  fc.record({
    kind: fc.constant('profile' as const),
    automatic: fc.boolean(),
    tunnelKey: fc.nat(1),
    retryKey: fc.nat(2),
    broken: fc.boolean(),
  }),
  fc.record({
    kind: fc.constantFrom('remove' as const, 'up' as const, 'down' as const, 'hold-over' as const, 'clock-jump' as const),
  }),
  fc.record({ kind: fc.constant('tick' as const) }),
  fc.record({ kind: fc.constant('network' as const), v4: fc.boolean(), fingerprint: fc.nat(2) }),
  fc.record({ kind: fc.constant('trigger' as const), on: fc.boolean() }),
  fc.record({
    kind: fc.constant('trust' as const),
    verdict: fc.constantFrom<TrustVerdict['kind']>('trusted', 'untrusted', 'asking'),
  }),
  fc.record({ kind: fc.constant('resolve' as const), addresses: fc.nat(3) }),
  fc.record({
    kind: fc.constantFrom(
      'answered' as const,
      'probed' as const,
      'establish' as const,
      'establish' as const,
      'silent' as const,
      'answers' as const,
      'moved' as const,
      'cannot-move' as const,
    ),
  }),
  fc.record({
    kind: fc.constant('end' as const),
    problem: fc.constantFrom<ProblemName | undefined>(
      undefined,
      'noAnswerInit',
      'peerClosed',
      'eapWrongPassword',
      'gatewayWrongName',
      'noCertificate',
    ),
  }),
);

/** The world around the supervisor: which tunnels exist, which timers are armed, what was asked. */
class World {
  state: SupervisorState = startSupervisor();
  now = 0;
  readonly tunnels = new Map<string, number>();
  readonly established = new Set<string>();
  readonly questions = new Map<string, number>();
  readonly asked = new Map<string, Extract<SupervisorAction, { readonly kind: 'probe' }>>();
  readonly timers = new Map<string, number>();
  held: readonly string[] = [];
  readonly trust = new Map<string, TrustVerdict['kind']>();
  stopped = false;

  say(occurrence: SupervisorOccurrence, random: number): void {
    const { state, actions } = stepSupervisor(this.state, { ...occurrence, random }, this.now);
    this.state = state;
    for (const action of actions) this.#perform(action);
    this.#check();
  }

  #perform(action: SupervisorAction): void {
    switch (action.kind) {
      case 'resolve':
        this.questions.set(action.name, action.attempt);
        return;
      case 'open':
        assert.ok(!this.tunnels.has(action.name), 'never two tunnels for one profile');
        this.tunnels.set(action.name, action.attempt);
        return;
      case 'close':
      case 'move':
      case 'check-liveness':
      case 'probe':
        if (action.kind === 'probe') this.asked.set(action.name, action);
        assert.equal(this.tunnels.get(action.name), action.attempt, `${action.kind} for the tunnel that exists`);
        return;
      case 'arm':
        assert.ok(action.at >= this.now, 'no timer in the past');
        this.timers.set(action.name, action.at);
        return;
      case 'disarm':
        this.timers.delete(action.name);
        return;
      case 'keep-held':
        this.held = [...action.holds.keys()];
        return;
      case 'stopped':
        assert.equal(this.tunnels.size, 0, 'stopped means that no tunnel is left');
        this.stopped = true;
        return;
      case 'forgotten':
        assert.ok(!this.tunnels.has(action.name), 'nothing is forgotten while its tunnel exists');
        return;
      case 'keep-places':
      case 'changed':
      case 'log':
        return;
    }
  }

  #check(): void {
    for (const [name, connection] of this.state.connections) {
      const { phase } = connection;
      const state = stateOf(connection);
      const hasTunnel = this.tunnels.has(name);
      // The visible word and the tunnel belong together.
      assert.equal(['opening', 'up', 'closing'].includes(phase.kind), hasTunnel, `${name}: ${phase.kind}`);
      if (state === 'up' || state === 'recovering') assert.ok(this.established.has(name), `${name} is ${state} without traffic`);
      // Never stuck: rest, a live tunnel, a block that only a change lifts, or an armed timer.
      const stable = phase.kind === 'idle' || phase.kind === 'up' || (phase.kind === 'blocked' && phase.until === undefined);
      if (!stable) assert.ok(this.timers.has(name), `${name} is ${phase.kind} without a timer`);
      // A person's word.
      if (connection.held) assert.ok(['held', 'disconnecting'].includes(state), `held, but ${state}`);
      assert.equal(connection.held !== undefined, this.held.includes(name));
      // Something that is wanted never just rests; what is not needed on a trusted network does.
      const trust = this.trust.get(name);
      assert.equal(connection.trust?.kind, trust);
      if (!(connection.spec.automatic || connection.triggered !== undefined) || connection.held || this.state.stopping) continue;
      if (trust === 'trusted' && !connection.demanded) assert.ok(['idle', 'closing'].includes(phase.kind), phase.kind);
      else if (trust === 'asking') assert.notEqual(state, 'trusted');
      else assert.notEqual(phase.kind, 'idle');
    }
  }

  play(name: string, next: Move, random: number): void {
    const tunnel = this.tunnels.get(name);
    switch (next.kind) {
      case 'profile':
        return this.say(
          {
            kind: 'profile',
            spec: spec({
              name,
              automatic: next.automatic,
              tunnelKey: `t${next.tunnelKey}`,
              retryKey: `r${next.tunnelKey}${next.retryKey}${next.broken}`,
              ...(next.broken && { problem: problem('noCertificate') }),
            }),
          },
          random,
        );
      case 'remove':
        return this.say({ kind: 'profile-removed', name }, random);
      case 'up':
        return this.say({ kind: 'up', name }, random);
      case 'down':
        return this.say({ kind: 'down', name, hold }, random);
      case 'hold-over':
        return this.say({ kind: 'hold-over', name, why: 'its time is over' }, random);
      case 'clock-jump':
        return this.say({ kind: 'clock-jump' }, random);
      case 'network':
        return this.say({ kind: 'network', network: { v4: next.v4, v6: false, fingerprint: `n${next.fingerprint}` } }, random);
      case 'trigger':
        return this.say({ kind: 'trigger', name, ...(next.on && { why: 'an application runs' }) }, random);
      case 'trust': {
        this.trust.set(name, next.verdict);
        const verdicts = [...this.trust].map(([profile, kind]): [string, TrustVerdict] => [
          profile,
          { kind, why: kind, spoofable: false, trace: [] },
        ]);
        return this.say({ kind: 'trust', verdicts: new Map(verdicts) }, random);
      }
      case 'tick': {
        const at = this.timers.get(name);
        if (at === undefined) return;
        this.now = Math.max(this.now, at);
        this.timers.delete(name);
        return this.say({ kind: 'timer', name }, random);
      }
      case 'resolve': {
        const attempt = this.questions.get(name);
        if (attempt === undefined) return;
        this.questions.delete(name);
        const addresses = ['192.0.2.1', '2001:db8::1', '192.0.2.2'].slice(0, next.addresses).map(address);
        return this.say({ kind: 'resolved', name, attempt, answers: [{ server: 'vpn.example', addresses }] }, random);
      }
      case 'answered':
        if (tunnel !== undefined) this.say({ kind: 'answered', name, attempt: tunnel }, random);
        return;
      case 'probed': {
        // Late answers to questions of long ago included.
        const asked = this.asked.get(name);
        if (asked) this.say({ kind: 'probed', name, attempt: asked.attempt, candidate: asked.candidate }, random);
        return;
      }
      case 'establish':
        if (tunnel === undefined) return;
        this.established.add(name);
        return this.say({ kind: 'established', name, attempt: tunnel }, random);
      case 'silent':
      case 'answers':
        if (tunnel === undefined || !this.established.has(name)) return;
        return this.say({ kind: 'unresponsive', name, attempt: tunnel, silent: next.kind === 'silent' }, random);
      case 'moved':
      case 'cannot-move':
        if (tunnel === undefined || !this.established.has(name)) return;
        return this.say({ kind: next.kind, name, attempt: tunnel }, random);
      case 'end':
        if (tunnel === undefined) return;
        this.tunnels.delete(name);
        this.established.delete(name);
        return this.say(
          { kind: 'ended', name, attempt: tunnel, ...(next.problem && { problem: problem(next.problem) }) },
          random,
        );
    }
  }
}

suite('supervisor under random events', () => {
  test('one tunnel a profile, never stuck, a hold holds, and stop ends everything', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(...names), move, fc.double({ min: 0, max: 0.999, noNaN: true })), {
          minLength: 5,
          maxLength: 80,
        }),
        (moves) => {
          const world = new World();
          for (const [name, next, random] of moves) {
            world.now += 700;
            world.play(name, next, random);
          }
          world.say({ kind: 'stop' }, 0.5);
          for (const name of names) world.play(name, { kind: 'end', problem: undefined }, 0.5);
          assert.ok(world.stopped);
        },
      ),
      { numRuns: 1500 },
    );
  });
});
