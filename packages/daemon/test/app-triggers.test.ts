import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, suite, test } from 'node:test';
import { emptyPlan, type AppPlan, type Plan } from '@aovpn/policy';
import type { Connection } from '@aovpn/supervisor';
import { AppTriggers } from '../src/app-triggers.ts';
import { TriggerWishes } from '../src/trigger-wishes.ts';

const app = (key: string, ...triggers: readonly string[]): AppPlan => ({
  key,
  title: key.toUpperCase(),
  executables: [],
  units: [],
  desktop: [],
  flatpak: [],
  snap: [],
  tunnels: [],
  routing: 'SplitTunnel',
  perAppVpn: false,
  triggers,
  because: { profile: 'corp', why: 'AppTrigger' },
});

suite('application triggers', () => {
  let apps: readonly AppPlan[];
  let running: Map<string, readonly number[]>;
  let connections: Map<string, Partial<Connection>>;
  let said: string[];
  let idleMs: number;
  let triggers: AppTriggers;
  const changes = new Map<string, () => void>();
  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout'] });
    apps = [app('mail', 'corp'), app('office', 'corp', 'lab'), app('browser')];
    running = new Map();
    said = [];
    idleMs = 1000;
    connections = new Map(['corp', 'lab'].map((name) => [name, idle()]));
    const connection = (name: string): Connection | undefined => connections.get(name) as Connection | undefined;
    const wishes = new TriggerWishes({
      connection,
      say: (name, why) => {
        said.push(`${name}: ${why ?? 'over'}`);
        const { triggered: _, ...rest } = connections.get(name) ?? {};
        connections.set(name, { ...rest, ...(why !== undefined && { triggered: why }) });
      },
    });
    triggers = new AppTriggers({
      plan: (): Plan => ({ ...emptyPlan, apps }),
      traffic: {
        processes: (key) => running.get(key) ?? [],
        watchApp: (key, onChange) => {
          changes.set(key, onChange);
          return { close: () => void changes.delete(key) };
        },
        hold: (key, on) => void said.push(`${on ? 'hold' : 'let go'} ${key}`),
      },
      connection,
      settings: () => ({ triggerHold: true, triggerIdleMs: idleMs }),
      want: (name, why) => wishes.want('application', name, why),
      release: (name) => wishes.release('application', name),
    });
    triggers.planned();
  });
  afterEach(() => {
    triggers.close();
    mock.timers.reset();
  });
  const idle = (): Partial<Connection> => ({ phase: { kind: 'idle' }, spec: { problem: undefined } as never });

  test('starts of applications that have a trigger are held until the connection is beyond connecting; of no other', () => {
    assert.deepEqual(said.splice(0), ['hold mail', 'hold office']);
    assert.deepEqual([...changes.keys()], ['mail', 'office']);
    connections.set('corp', { ...idle(), phase: { kind: 'up' } as never });
    triggers.settle();
    assert.deepEqual(said.splice(0), ['let go mail'], 'office still waits for the other one');
    connections.set('corp', { ...idle(), held: { by: 'root', since: '', ends: 'up' } });
    triggers.settle();
    assert.deepEqual(said.splice(0), [], 'nobody waits for what a person holds down');
    triggers.forgetHolds();
    assert.deepEqual(said.splice(0), ['hold office']);
  });

  test('the first process wants the tunnel, the last one that ends lets it go after the idle time', () => {
    said = [];
    running.set('office', [7]);
    triggers.started('office', 7);
    assert.deepEqual(said.splice(0), ['corp: OFFICE was started (process 7)', 'lab: OFFICE was started (process 7)']);
    running.set('mail', [8]);
    triggers.started('mail', 8);
    running.set('office', []);
    changes.get('office')!();
    mock.timers.tick(999);
    assert.deepEqual(said, []);
    mock.timers.tick(1);
    assert.deepEqual(said.splice(0), ['lab: over'], 'mail still wants corp');
    running.set('mail', []);
    changes.get('mail')!();
    running.set('mail', [9]);
    changes.get('mail')!();
    mock.timers.tick(60_000);
    assert.deepEqual(said.splice(0), [], 'it was away for a moment only');
  });

  test('a profile that goes forgets, also during the idle time, and one that comes back under the same name starts anew', () => {
    idleMs = 60_000;
    running.set('mail', [7]);
    triggers.look();
    running.set('mail', []);
    triggers.look();
    said = [];
    connections.set('corp', idle());
    triggers.started('mail', 8);
    assert.deepEqual(said.splice(0), ['corp: MAIL was started (process 8)']);
    apps = [];
    triggers.planned();
    assert.deepEqual(said.splice(0), ['corp: over']);
    assert.equal(changes.size, 0);
  });
});
