// TrustedNetworkDetection in the supervisor: down on arrival, up on leaving, held back while it is being asked.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { TrustVerdict } from '@aovpn/policy';
import { unwantedConnections } from '../src/view.ts';
import { here, hold, Script, spec } from './script.ts';

const verdict = (kind: TrustVerdict['kind'], why = kind): TrustVerdict => ({ kind, why, spoofable: false, trace: [why] });
const say = (script: Script, kind: TrustVerdict['kind']): void =>
  void script.say({ kind: 'trust', verdicts: new Map([['corp', verdict(kind)]]) });

/** The tunnel said goodbye and is gone. */
function end(script: Script): void {
  const { attempt, orderly } = script.only('close');
  assert.equal(orderly, true);
  script.say({ kind: 'ended', name: 'corp', attempt });
}

suite('trusted networks', () => {
  test('a profile that comes into force on a trusted network does not connect, and says why', () => {
    const script = new Script();
    say(script, 'trusted');
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec() });
    script.none('resolve');
    assert.equal(script.view().state, 'trusted');
    assert.match(script.view().reason, /network is trusted.*aovpn up corp/);
    assert.deepEqual([...unwantedConnections(script.state)], ['corp'], 'forced apps are free');
  });

  test('down on arrival with a goodbye, up on leaving', () => {
    const script = new Script();
    script.bringUp();
    say(script, 'trusted');
    end(script);
    assert.equal(script.view().state, 'trusted');
    script.say({ kind: 'network', network: { ...here, fingerprint: 'elsewhere' } });
    script.none('resolve');
    say(script, 'untrusted');
    script.only('resolve');
    assert.equal(script.view().state, 'connecting');
  });

  test('while the beacon is asked a new connection waits, and a tunnel that is up stays', () => {
    const script = new Script();
    say(script, 'asking');
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec() });
    script.none('resolve');
    assert.equal(script.view().state, 'waiting');
    assert.deepEqual([...unwantedConnections(script.state)], [], 'forced apps stay held back');
    say(script, 'untrusted');
    const attempt = script.resolve('192.0.2.1');
    script.say({ kind: 'established', name: 'corp', attempt });
    say(script, 'asking');
    script.none('close');
    assert.equal(script.view().state, 'up');
    say(script, 'trusted');
    end(script);
  });

  test('it leaves while it closes: connected anew', () => {
    const script = new Script();
    script.bringUp();
    say(script, 'trusted');
    const { attempt } = script.only('close');
    say(script, 'untrusted');
    script.say({ kind: 'ended', name: 'corp', attempt });
    script.only('resolve');
  });

  test('a person may connect on a trusted network; that is over on leaving it, and down is down', () => {
    const script = new Script();
    say(script, 'trusted');
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec() });
    script.say({ kind: 'up', name: 'corp' });
    const attempt = script.resolve('192.0.2.1');
    script.say({ kind: 'established', name: 'corp', attempt });
    say(script, 'untrusted');
    assert.equal(script.view().state, 'up');
    say(script, 'trusted');
    end(script);
    assert.equal(script.view().state, 'trusted');
    script.say({ kind: 'down', name: 'corp', hold });
    assert.equal(script.view().state, 'held');
    say(script, 'untrusted');
    script.none('resolve');
  });

  test('a connection that a person asked for does not care', () => {
    const script = new Script();
    script.bringUp({ automatic: false });
    say(script, 'trusted');
    script.none('close');
    assert.equal(script.view().state, 'up');
  });
});

suite('a tunnel that ends by itself', () => {
  test('is no longer up before its routes go, whatever the network does meanwhile', () => {
    const script = new Script();
    const attempt = script.bringUp();
    script.say({ kind: 'ending', name: 'corp', attempt });
    assert.equal(script.view().state, 'disconnecting');
    script.say({ kind: 'network', network: { ...here, fingerprint: 'elsewhere' } });
    script.none('move');
    script.say({ kind: 'moved', name: 'corp', attempt });
    assert.equal(script.view().state, 'disconnecting');
    script.say({ kind: 'ended', name: 'corp', attempt });
    assert.notEqual(script.view().state, 'disconnecting');
  });
});

suite('a person’s down', () => {
  test('says who, since when and until when, and ends by itself', () => {
    const script = new Script();
    script.bringUp();
    const alice = { by: 'user 1000 (alice)', since: '2026-11-29T09:00:00.000Z', ends: 'sign-in' };
    script.say({ kind: 'down', name: 'corp', hold: alice });
    assert.equal(script.only('keep-held').holds.get('corp'), alice);
    end(script);
    assert.equal(
      script.view().reason,
      'User 1000 (alice) said down at 2026-11-29T09:00:00.000Z; it stays so until the next sign-in or "aovpn up corp".',
    );
    script.say({ kind: 'hold-over', name: 'corp', why: 'somebody signed in' });
    assert.equal(script.only('keep-held').holds.size, 0);
    script.only('resolve');
    script.say({ kind: 'hold-over', name: 'corp', why: 'its time is over' });
    assert.deepEqual(script.actions, [], 'nothing is held any more');
  });
});

suite('triggers', () => {
  const app = 'Office was started (process 7)';
  const trigger = (script: Script, why?: string): void =>
    void script.say({ kind: 'trigger', name: 'corp', ...(why !== undefined && { why }) });
  const idle = (): Script => {
    const script = new Script();
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec({ automatic: false, triggers: ['Office'] }) });
    script.none('resolve');
    return script;
  };

  test('bring the tunnel up and let it go, with the reason', () => {
    const script = idle();
    assert.match(script.view().reason, /when an application of AppTrigger starts: Office/);
    trigger(script, app);
    const attempt = script.resolve('192.0.2.1');
    script.say({ kind: 'established', name: 'corp', attempt });
    assert.match(script.view().reason, /because Office was started/);
    trigger(script);
    end(script);
    assert.equal(script.view().state, 'down');
  });

  test('do nothing against a person’s down, nor on a trusted network', () => {
    const script = idle();
    script.say({ kind: 'down', name: 'corp', hold });
    trigger(script, app);
    script.none('resolve');
    assert.equal(script.view().state, 'held');
    trigger(script);
    script.say({ kind: 'up', name: 'corp' });
    script.say({ kind: 'down', name: 'corp', hold });
    const other = idle();
    say(other, 'trusted');
    trigger(other, app);
    other.none('resolve');
    assert.equal(other.view().state, 'trusted');
    say(other, 'untrusted');
    other.only('resolve');
  });

  test('a tunnel that a person asked for stays when the trigger is over', () => {
    const script = idle();
    script.say({ kind: 'up', name: 'corp' });
    const attempt = script.resolve('192.0.2.1');
    script.say({ kind: 'established', name: 'corp', attempt });
    trigger(script, app);
    trigger(script);
    script.none('close');
    assert.equal(script.view().state, 'up');
  });
});
