import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, suite, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Connection } from '@aovpn/supervisor';
import { NameTriggers } from '../src/name-triggers.ts';
import { TriggerWishes } from '../src/trigger-wishes.ts';

suite('names that bring a tunnel up', () => {
  const spec = { name: 'corp', nameTriggers: ['.corp.example'] } as unknown as Connection['spec'];
  let connection: Partial<Connection> | undefined;
  let packets: number;
  let idleMs: number;
  let said: string[];
  let triggers: NameTriggers;
  let wishes: TriggerWishes;
  beforeEach(() => {
    mock.timers.enable({ apis: ['setInterval'] });
    let now = 0;
    mock.method(performance, 'now', () => now);
    later = async (seconds) => {
      for (let i = 0; i < seconds; i++) {
        now += 1000;
        mock.timers.tick(1000);
        await turn();
      }
    };
    connection = { spec, phase: { kind: 'idle' } };
    packets = 0;
    idleMs = 100_000;
    said = [];
    const of = (): Connection | undefined => connection as Connection | undefined;
    wishes = new TriggerWishes({
      connection: of,
      say: (name, why) => {
        said.push(`${name}: ${why ?? 'over'}`);
        const { triggered: _, ...rest } = connection ?? {};
        connection = { ...rest, ...(why !== undefined && { triggered: why }) };
      },
    });
    triggers = new NameTriggers({
      connections: () => new Map(connection && [['corp', connection as Connection]]),
      settings: () => ({ triggerIdleMs: idleMs }),
      packets: async () => packets,
      want: (name, why) => wishes.want('name', name, why),
      release: (name) => wishes.release('name', name),
      isWantedElse: (name) => wishes.isWantedElse('name', name),
    });
  });
  afterEach(() => {
    triggers.close();
    mock.restoreAll();
    mock.timers.reset();
  });
  let later: (seconds: number) => Promise<void>;
  const phase = (kind: Connection['phase']['kind']): void => void (connection = { ...connection, phase: { kind } as never });
  const asked = 'corp: a name of .corp.example was asked for';

  test('however many questions there are, the tunnel is wanted once, and no longer when it has carried nothing for the idle time', async () => {
    for (let i = 0; i < 1000; i++) triggers.asked('corp', '.corp.example');
    assert.deepEqual(said.splice(0), [asked]);
    phase('opening');
    await later(600);
    assert.deepEqual(said, [], 'a person may be asked meanwhile');
    phase('up');
    for (let i = 0; i < 10; i++) {
      packets += 3;
      await later(60);
    }
    assert.deepEqual(said, [], 'it is used');
    await later(30);
    assert.deepEqual(said, [], 'it was used a moment ago');
    await later(90);
    assert.deepEqual(said.splice(0), ['corp: over']);
    triggers.asked('corp', '.corp.example');
    assert.deepEqual(said, [asked]);
  });

  test('a short idle time leaves room for the answer to be used', async () => {
    idleMs = 0;
    triggers.asked('corp', '.corp.example');
    phase('up');
    await later(9);
    assert.deepEqual(said.splice(0), [asked]);
    await later(6);
    assert.deepEqual(said, ['corp: over']);
  });

  test('while it does not come up, questions keep it wanted; without any it rests', async () => {
    triggers.asked('corp', '.corp.example');
    phase('waiting');
    for (let i = 0; i < 5; i++) {
      await later(90);
      triggers.asked('corp', '.corp.example');
    }
    assert.deepEqual(said.splice(0), [asked]);
    await later(130);
    assert.deepEqual(said, ['corp: over']);
  });

  test('held by a person or on a trusted network nothing is wanted, nor afterwards', () => {
    triggers.asked('corp', '.corp.example');
    connection = { ...connection, held: { by: 'root', since: '', ends: 'up' } };
    triggers.settle();
    assert.deepEqual(said.splice(0), [asked, 'corp: over']);
    triggers.asked('corp', '.corp.example');
    connection = { spec, phase: { kind: 'idle' }, trust: { kind: 'trusted', why: '' } as never };
    triggers.asked('corp', '.corp.example');
    assert.deepEqual(said, []);
    connection = { spec, phase: { kind: 'idle' } };
    triggers.settle();
    assert.deepEqual(said, []);
  });

  test('an application that wants the tunnel as well keeps it, and then names do while there is traffic', async () => {
    triggers.asked('corp', '.corp.example');
    wishes.want('application', 'corp', 'OFFICE was started');
    phase('up');
    await later(300);
    assert.deepEqual(said.splice(0), [asked], 'nothing is carried, but the application is there');
    wishes.release('application', 'corp');
    assert.deepEqual(said.splice(0), [asked], 'that is the reason that is left');
    await later(30);
    assert.deepEqual(said, ['corp: over']);
  });

  test('a tunnel that an application has brought up is not cut off with it while it carries something', async () => {
    wishes.want('application', 'corp', 'OFFICE was started');
    phase('up');
    triggers.settle();
    packets = 10;
    await later(30);
    wishes.release('application', 'corp');
    assert.deepEqual(said.splice(0), ['corp: OFFICE was started', 'corp: names of .corp.example may be in use']);
    await later(130);
    assert.deepEqual(said, ['corp: over']);
  });

  test('a profile that went and came back is asked for anew', () => {
    triggers.asked('corp', '.corp.example');
    connection = undefined;
    triggers.settle();
    triggers.asked('corp', '.corp.example');
    said = [];
    connection = { spec, phase: { kind: 'idle' } };
    triggers.asked('corp', '.corp.example');
    assert.deepEqual(said, [asked]);
  });
});
