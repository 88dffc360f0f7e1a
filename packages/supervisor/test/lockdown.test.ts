import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { hold, here, nowhere, Script, spec } from './script.ts';

const locked = { lockdown: true } as const;

/** The view of every connection as `state problem-code`. */
function states(script: Script): Readonly<Record<string, string>> {
  const names = [...script.state.connections.keys()];
  return Object.fromEntries(
    names.map((name) => {
      const { state, problem } = script.view(name);
      return [name, `${state}${problem ? ` ${problem.code}` : ''}`];
    }),
  );
}

suite('LockDown', () => {
  test('a person cannot put it down, and an earlier down does not count', () => {
    const script = new Script();
    script.bringUp(locked);
    script.say({ kind: 'down', name: 'corp', hold });
    assert.equal(script.view().state, 'up');
    script.none('close');
    script.none('keep-held');

    const held = new Script();
    held.say({ kind: 'network', network: here });
    held.say({ kind: 'profile', spec: spec() });
    held.say({ kind: 'down', name: 'corp', hold });
    assert.equal(held.view().state, 'held');
    held.say({ kind: 'profile', spec: spec({ ...locked, tunnelKey: 'locked', retryKey: 'locked' }) });
    assert.equal(held.view().state, 'connecting');
    assert.deepEqual([...held.only('keep-held').holds.keys()], []);
    const restarted = new Script(new Map([['corp', hold]]));
    restarted.say({ kind: 'network', network: here });
    restarted.say({ kind: 'profile', spec: spec(locked) });
    assert.equal(restarted.view().state, 'connecting');
  });

  test('says in every state whether traffic is held back, and nothing where there is no LockDown', () => {
    const script = new Script();
    script.say({ kind: 'profile', spec: spec(locked) });
    assert.equal(script.view().trafficBlocked, true, 'without a network');
    script.say({ kind: 'network', network: here });
    assert.equal(script.view().trafficBlocked, true, 'connecting');
    const attempt = script.resolve('192.0.2.1');
    assert.equal(script.view().trafficBlocked, true, 'negotiating');
    script.say({ kind: 'established', name: 'corp', attempt });
    assert.equal(script.view().trafficBlocked, false, 'up: through the tunnel');
    script.say({ kind: 'unresponsive', name: 'corp', attempt, silent: true });
    assert.equal(script.view().trafficBlocked, true, 'the gateway is silent');
    script.say({ kind: 'network', network: nowhere });
    assert.equal(script.view().trafficBlocked, true, 'the network is gone');
    const open = new Script();
    open.bringUp();
    assert.equal(open.view().trafficBlocked, undefined);
  });

  test('other profiles make room for it, say why, and come back by themselves when it ends', () => {
    const script = new Script();
    const attempt = script.bringUp();
    script.say({ kind: 'profile', spec: spec({ name: 'idle', automatic: false }) });
    script.say({ kind: 'profile', spec: spec({ name: 'lock', ...locked }) });
    assert.deepEqual(states(script), { corp: 'disconnecting', idle: 'down', lock: 'connecting' });
    assert.equal(script.only('close').name, 'corp');
    script.say({ kind: 'ended', name: 'corp', attempt });
    script.say({ kind: 'up', name: 'idle' });
    script.say({ kind: 'up', name: 'corp' });
    script.say({ kind: 'network', network: nowhere });
    script.say({ kind: 'network', network: here });
    const out = 'blocked AOV-SUPERVISOR-331';
    assert.deepEqual(states(script), { corp: out, idle: out, lock: 'connecting' });
    assert.match(script.view('corp').problem!.message, /: lock$/);
    script.say({ kind: 'profile', spec: spec({ name: 'second', ...locked }) });
    assert.deepEqual(states(script), { corp: out, idle: out, lock: 'connecting', second: 'connecting' });
    script.say({ kind: 'profile-removed', name: 'lock' });
    assert.deepEqual(states(script), { corp: out, idle: out, second: 'connecting' });
    script.say({ kind: 'profile', spec: spec({ name: 'second' }) });
    assert.deepEqual(states(script), { corp: 'connecting', idle: 'connecting', second: 'connecting' });
  });

  test('the end of LockDown while another profile is still saying goodbye is not missed', () => {
    const script = new Script();
    const attempt = script.bringUp();
    script.say({ kind: 'profile', spec: spec({ name: 'lock', ...locked }) });
    script.say({ kind: 'profile', spec: spec({ name: 'lock' }) });
    script.say({ kind: 'ended', name: 'corp', attempt });
    assert.equal(states(script)['corp'], 'connecting');
  });
});
