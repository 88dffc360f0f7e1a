import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, suite, test } from 'node:test';
import type { LockdownRepair } from '@aovpn/host';
import { parseAddress } from '@aovpn/bytes';
import type { Intent, LockdownPlan } from '@aovpn/policy';
import { LockdownControl, releaseFileName } from '../src/lockdown-control.ts';
import { Log } from '../src/log.ts';

const because = { profile: 'corp', at: { line: 5, column: 1 }, why: 'LockDown' };
const plan: LockdownPlan = { because: [because], devices: [], gateways: [], resolvers: [], mark: 7 };
const intent = { name: 'corp', lockdown: because } as unknown as Intent;
const open = { name: 'open' } as unknown as Intent;

suite('LockDown as the daemon knows it', () => {
  let root: string;
  let lines: string[];
  let applied: (LockdownPlan | undefined)[];
  let failWith: Error | undefined;
  let repaired: (repair: LockdownRepair) => void;
  let changes: number;
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'aovpn-lockdown-'));
    mkdirSync(path.join(root, 'run'));
    lines = [];
    applied = [];
    failWith = undefined;
    changes = 0;
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  function control(): LockdownControl {
    return new LockdownControl({
      platform: {
        open: (onRepair) => {
          repaired = onRepair;
          return {
            apply: (next) => (failWith ? Promise.reject(failWith) : Promise.resolve(void applied.push(next))),
            close: () => Promise.resolve(),
          };
        },
      },
      stateDir: root,
      runDir: path.join(root, 'run'),
      log: new Log({ level: 'debug', format: 'text', journal: false, write: (line) => lines.push(line), clock: () => 0 }),
      onChange: () => changes++,
    });
  }
  const marker = (): string => path.join(root, 'run/lockdown.json');

  test('says what is in force, to the log once, and in a file that everybody may read', async () => {
    const one = control();
    assert.equal(one.status([open], false), undefined);
    await one.apply(plan);
    await one.apply({ ...plan, devices: ['aov0'] });
    assert.equal(lines.filter((line) => line.includes('LockDown is in force')).length, 1);
    assert.deepEqual((JSON.parse(readFileSync(marker(), 'utf8')) as { because: unknown }).because, [
      'profile "corp" line 5: LockDown',
    ]);
    assert.equal(statSync(marker()).mode & 0o777, 0o644);
    const blocked = 'All traffic of this machine is blocked until the tunnel is up: profile "corp" line 5: LockDown.';
    assert.deepEqual(one.status([intent, open], false), {
      state: 'engaged',
      traffic: 'blocked',
      profiles: [{ name: 'corp', because: 'profile "corp" line 5: LockDown' }],
      text: blocked,
    });
    assert.equal(one.blockedText(false), blocked);
    assert.equal(one.status([intent], true)?.traffic, 'through-tunnel');
    assert.equal(one.blockedText(true), undefined);
    await one.apply(undefined);
    assert.equal(existsSync(marker()), false);
    assert.match(lines.at(-1)!, /LockDown has ended/);
  });

  test('a release holds until it is taken back, also across a restart', async () => {
    const one = control();
    await one.read();
    assert.equal(one.isLocking(intent), true);
    assert.equal(one.isLocking(open), false);
    await one.release('corp', 'user 0 (process 7)');
    assert.equal(one.isLocking(intent), false);
    assert.ok(lines.some((line) => /LockDown released by user 0 \(process 7\)/.test(line)));
    const two = control();
    await two.read();
    assert.deepEqual([...two.facts.unlocked], ['corp']);
    const status = two.status([intent], false)!;
    assert.deepEqual([status.state, status.traffic], ['released', 'open']);
    assert.equal(status.profiles[0]!.released!.by, 'user 0 (process 7)');
    await two.engage('corp', 'user 0 (process 8)');
    assert.equal(two.isLocking(intent), true);
    const three = control();
    await three.read();
    assert.equal(three.isLocking(intent), true);
  });

  test('what cannot be read was not released, and what cannot be written is not released either', async () => {
    for (const text of ['', 'null', '[]', '{"corp":true}', '{"corp":{"at":1,"by":2}}', '{"corp":']) {
      writeFileSync(path.join(root, releaseFileName), text);
      const one = control();
      await one.read();
      assert.equal(one.isLocking(intent), true, text);
    }
    rmSync(path.join(root, releaseFileName));
    // A directory in its place: root may write everywhere.
    mkdirSync(path.join(root, releaseFileName));
    chmodSync(path.join(root, releaseFileName), 0o700);
    const one = control();
    await one.read();
    await assert.rejects(one.release('corp', 'root'), /AOV-DAEMON-516/);
    assert.equal(one.isLocking(intent), true);
  });

  test('a failure is told in so many words, and the next success ends it', async () => {
    const one = control();
    failWith = Object.assign(new Error('no nft'), { code: 'AOV-HOST-605', cure: 'Install it.' });
    await assert.rejects(one.apply(plan), /no nft/);
    assert.ok(lines.some((line) => line.includes('traffic is NOT blocked')));
    const status = one.status([intent], false)!;
    assert.deepEqual([status.state, status.traffic, status.problem?.code], ['failed', 'open', 'AOV-HOST-605']);
    failWith = undefined;
    await one.apply(plan);
    assert.equal(one.status([intent], false)?.state, 'engaged');
    failWith = new Error('later');
    await assert.rejects(one.apply({ ...plan, devices: ['aov0'] }));
    assert.equal(one.status([intent], false)?.traffic, 'blocked', 'what was in force stays');
  });

  test('what an earlier run said about a lock that is gone is taken back', async () => {
    writeFileSync(marker(), '{}');
    const one = control();
    await one.apply(undefined);
    assert.equal(existsSync(marker()), false);
    assert.deepEqual(lines, []);
  });

  test('a foreign change shows in log and status', async () => {
    const one = control();
    await one.apply(plan);
    repaired({ what: 'delete table by nft (process 9)' });
    assert.ok(lines.some((line) => line.includes('put back what somebody else changed: delete table by nft (process 9)')));
    assert.equal(one.status([intent], false)?.lastRepair?.what, 'delete table by nft (process 9)');
    assert.ok(changes > 0);
  });

  test('remembers where a gateway was reached lately, and not more than that', () => {
    const one = control();
    const place = (i: number) => ({ address: parseAddress(`192.0.2.${i}`)!, port: 4500 });
    assert.equal(one.aim('corp', [place(1)]), true);
    assert.equal(one.aim('corp', [place(1)]), false);
    assert.equal(one.aim('corp', [{ ...place(1), port: 500 }]), true);
    for (let i = 2; i < 40; i++) one.aim('corp', [place(i)]);
    const known = one.facts.endpoints.get('corp')!;
    assert.equal(known.length, 16);
    assert.deepEqual(known[0], place(39));
  });
});
