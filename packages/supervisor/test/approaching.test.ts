import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { approachingConnections } from '../src/view.ts';
import { here, Script, spec } from './script.ts';

suite('what may come up next', () => {
  test('a connection without network, then one that is coming up, then nothing while it is up', () => {
    const script = new Script();
    script.say({ kind: 'network', network: { v4: false, v6: false, fingerprint: '' } });
    script.say({ kind: 'profile', spec: spec() });
    assert.deepEqual(approachingConnections(script.state), { begun: [], next: ['corp'] });
    script.say({ kind: 'network', network: here });
    assert.deepEqual(approachingConnections(script.state), { begun: ['corp'], next: [] });
    const up = new Script();
    up.bringUp();
    up.say({ kind: 'profile', spec: { ...spec(), name: 'lab', automatic: false } });
    assert.deepEqual(approachingConnections(up.state), { begun: [], next: [] });
  });

  test('one that waits for its next try', () => {
    const script = new Script();
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec() });
    const { attempt } = script.only('resolve');
    script.say({ kind: 'resolved', name: 'corp', attempt, answers: [{ server: 'vpn.corp.example', addresses: [] }] });
    assert.deepEqual(approachingConnections(script.state), { begun: [], next: ['corp'] });
  });
});
