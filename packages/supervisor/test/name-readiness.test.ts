import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { nameReadiness } from '../src/name-readiness.ts';
import { problem } from '../src/problem-catalogue.ts';
import { here, hold, nowhere, Script, spec } from './script.ts';

suite('what a question for a name of AutoTrigger can come to', () => {
  const triggered = { automatic: false, nameTriggers: ['.corp.example'] };
  const begin = (): Script => {
    const script = new Script();
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec(triggered) });
    return script;
  };
  const of = ({ state }: Script): string => {
    const readiness = nameReadiness(state).get('corp')!;
    return readiness.kind === 'ready' ? 'ready' : `${readiness.kind}: ${readiness.why}`;
  };
  const silent = problem('noAnswerInit', 'silence');

  test('ready from rest to the tunnel; the reason of the state names the trigger', () => {
    const script = begin();
    assert.equal(of(script), 'ready');
    assert.equal(script.view().reason, 'It connects when a name of AutoTrigger is asked for: .corp.example.');
    script.say({ kind: 'trigger', name: 'corp', why: 'a name of .corp.example was asked for' });
    assert.equal(of(script), 'ready');
    script.resolve('192.0.2.1');
    assert.equal(of(script), 'ready');
  });

  test('a failed round is trouble until it works or nobody wants it any more', () => {
    const script = begin();
    script.say({ kind: 'trigger', name: 'corp', why: 'x' });
    script.say({ kind: 'ended', name: 'corp', attempt: script.resolve('192.0.2.1'), problem: silent });
    assert.equal(script.view().state, 'waiting');
    assert.equal(of(script), `trouble: ${silent.message}`);
    script.now += 600_000;
    script.say({ kind: 'timer', name: 'corp' });
    assert.equal(script.view().state, 'connecting');
    assert.equal(of(script), `trouble: ${silent.message}`, 'nobody waits for what failed before');
    script.say({ kind: 'trigger', name: 'corp' });
    assert.equal(of(script), 'ready', 'the next question is the first one again');
  });

  test('within the first round another gateway may answer', () => {
    const script = begin();
    script.say({ kind: 'trigger', name: 'corp', why: 'x' });
    script.say({ kind: 'ended', name: 'corp', attempt: script.resolve('192.0.2.1', '192.0.2.2'), problem: silent });
    assert.equal(script.view().state, 'connecting');
    assert.equal(of(script), 'ready');
  });

  test('no network is trouble, a person and a trusted network are more than that', () => {
    const script = begin();
    script.say({ kind: 'network', network: nowhere });
    assert.equal(of(script), 'trouble: there is no network');
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'down', name: 'corp', hold });
    assert.equal(of(script), 'off: root said down');
    script.say({ kind: 'up', name: 'corp' });
    script.say({
      kind: 'trust',
      verdicts: new Map([['corp', { kind: 'trusted', why: 'corp.example on eth0', spoofable: true, trace: [] }]]),
    });
    assert.equal(of(script), 'ready', 'a person wants it here');
    script.say({ kind: 'down', name: 'corp', hold });
    script.say({ kind: 'hold-over', name: 'corp', why: 'sign-in' });
    assert.equal(of(script), 'off: this network is trusted: corp.example on eth0');
  });
});
