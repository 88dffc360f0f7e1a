import assert from 'node:assert/strict';
import { parseAddress, type IpAddress } from '@aovpn/bytes';
import type { ConnectionSpec, Hold, SupervisorAction, SupervisorOccurrence, SupervisorState } from '../src/contract.ts';
import type { Places } from '../src/memory.ts';
import { startSupervisor, stepSupervisor } from '../src/step.ts';
import { viewConnection, type ConnectionView } from '../src/view.ts';

export function address(text: string): IpAddress {
  const parsed = parseAddress(text);
  assert.ok(parsed, text);
  return parsed;
}

export function spec(changes: Partial<ConnectionSpec> = {}): ConnectionSpec {
  return {
    name: 'corp',
    tunnel: 'device',
    automatic: true,
    triggers: [],
    nameTriggers: [],
    servers: ['vpn.example'],
    tunnelKey: 'tunnel-1',
    retryKey: 'retry-1',
    outageMs: 1_800_000,
    ...changes,
  };
}

/** A person's down that ends with up. */
export const hold: Hold = { by: 'root', since: '2026-11-29T09:00:00.000Z', ends: 'up' };
export const here = { v4: true, v6: false, fingerprint: 'home' };
export const nowhere = { v4: false, v6: false, fingerprint: 'none' };

/** A supervisor with a clock of its own, driven one event at a time. */
export class Script {
  state: SupervisorState;
  now = 1_000;
  random = 0.5;
  actions: readonly SupervisorAction[] = [];

  constructor(held: ReadonlyMap<string, Hold> = new Map(), places?: ReadonlyMap<string, Places>) {
    this.state = startSupervisor(held, places);
  }

  say(occurrence: SupervisorOccurrence): readonly SupervisorAction[] {
    const result = stepSupervisor(this.state, { ...occurrence, random: this.random }, this.now);
    this.state = result.state;
    this.actions = result.actions;
    return result.actions;
  }

  /** The actions of the last event that are not about telling people. */
  done(): readonly SupervisorAction[] {
    return this.actions.filter(({ kind }) => !['changed', 'log', 'arm', 'disarm'].includes(kind));
  }

  only<K extends SupervisorAction['kind']>(kind: K): Extract<SupervisorAction, { readonly kind: K }> {
    const found = this.actions.filter((action) => action.kind === kind);
    assert.equal(found.length, 1, `one ${kind} in ${JSON.stringify(this.actions)}`);
    return found[0] as Extract<SupervisorAction, { readonly kind: K }>;
  }

  none(kind: SupervisorAction['kind']): void {
    assert.ok(!this.actions.some((action) => action.kind === kind), `no ${kind} in ${JSON.stringify(this.actions)}`);
  }

  view(name = 'corp'): ConnectionView {
    const connection = this.state.connections.get(name);
    assert.ok(connection, `connection ${name}`);
    return viewConnection(connection);
  }

  /** Answers the pending look-up; the answer is the attempt that was opened. */
  resolve(...addresses: readonly string[]): number {
    const { attempt, servers } = this.only('resolve');
    this.say({
      kind: 'resolved',
      name: 'corp',
      attempt,
      answers: servers.map((server, i) => ({ server, addresses: i === 0 ? addresses.map(address) : [] })),
    });
    return this.only('open').attempt;
  }

  /** From nothing to a tunnel that has carried traffic for two minutes; answers its attempt. */
  bringUp(changes: Partial<ConnectionSpec> = {}): number {
    this.say({ kind: 'network', network: here });
    this.say({ kind: 'profile', spec: spec(changes) });
    if (!this.actions.some(({ kind }) => kind === 'resolve')) this.say({ kind: 'up', name: 'corp' });
    const attempt = this.resolve('192.0.2.1');
    this.say({ kind: 'established', name: 'corp', attempt });
    assert.equal(this.view().state, 'up');
    this.now += 120_000;
    return attempt;
  }
}
