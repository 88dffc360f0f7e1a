import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddress } from '@aovpn/bytes';
import { problem } from '../src/problem-catalogue.ts';
import { problemOfHost } from '../src/problem-of.ts';
import { supervisorTimes } from '../src/turn.ts';
import { address, here, hold, nowhere, Script, spec } from './script.ts';

const silent = problem('noAnswerInit');

suite('connecting', () => {
  test('an AlwaysOn profile connects by itself as soon as there is a network', () => {
    const script = new Script();
    script.say({ kind: 'profile', spec: spec() });
    assert.equal(script.view().state, 'waiting');
    assert.match(script.view().reason, /no network/);
    script.none('resolve');
    script.say({ kind: 'network', network: here });
    assert.deepEqual(script.only('resolve').servers, ['vpn.example']);
    assert.equal(script.view().state, 'connecting');
    const attempt = script.resolve('192.0.2.1');
    script.say({ kind: 'established', name: 'corp', attempt });
    assert.equal(script.view().state, 'up');
    assert.equal(script.view().connectedAt, script.now);
    assert.equal(script.view().problem, undefined);
  });

  test('a profile that is not AlwaysOn waits for a person and says so', () => {
    const script = new Script();
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec({ automatic: false }) });
    assert.equal(script.view().state, 'down');
    assert.match(script.view().reason, /aovpn up corp/);
    script.say({ kind: 'up', name: 'corp' });
    assert.equal(script.view().state, 'connecting');
  });

  test('IPv6 and IPv4 addresses take turns, servers keep their order, families without a route go last', () => {
    const script = new Script();
    script.say({ kind: 'network', network: { v4: true, v6: true, fingerprint: 'both' } });
    script.say({ kind: 'profile', spec: spec({ servers: ['a.example', 'b.example'] }) });
    const tried: string[] = [];
    script.say({
      kind: 'resolved',
      name: 'corp',
      attempt: script.only('resolve').attempt,
      answers: [
        { server: 'a.example', addresses: ['192.0.2.1', '192.0.2.2', '2001:db8::1'].map(address) },
        { server: 'b.example', addresses: ['192.0.2.9'].map(address) },
      ],
    });
    for (;;) {
      const open = script.actions.find(({ kind }) => kind === 'open');
      if (open?.kind !== 'open') break;
      tried.push(formatAddress(open.candidate.address));
      script.say({ kind: 'ended', name: 'corp', attempt: open.attempt, problem: silent });
    }
    assert.deepEqual(tried, ['2001:db8::1', '192.0.2.1', '192.0.2.2', '192.0.2.9']);
    assert.equal(script.view().state, 'waiting');
  });

  test('a wrong password is not tried again on the next server', () => {
    const script = new Script();
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec() });
    const attempt = script.resolve('192.0.2.1', '192.0.2.2');
    script.say({ kind: 'ended', name: 'corp', attempt, problem: problem('eapWrongPassword') });
    script.none('open');
    assert.equal(script.view().state, 'blocked');
    assert.equal(script.view().problem?.windows, 691);
  });

  test('what this machine cannot do is not tried at the next gateway, which would authenticate us in vain', () => {
    const script = new Script();
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec() });
    const attempt = script.resolve('192.0.2.1', '192.0.2.2');
    const full = problemOfHost({ code: 'AOV-HOST-312', what: 'the journal cannot be written: ENOSPC', cure: 'Make room.' });
    script.say({ kind: 'ended', name: 'corp', attempt, problem: full });
    script.none('open');
    assert.equal(script.view().state, 'waiting');
    assert.equal(script.view().problem?.code, 'AOV-HOST-312');
    assert.notEqual(script.view().nextTryAt, undefined);
  });

  test('a socket that cannot be made for one address is tried for the next', () => {
    const script = new Script();
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec() });
    const attempt = script.resolve('192.0.2.1', '192.0.2.2');
    script.say({
      kind: 'ended',
      name: 'corp',
      attempt,
      problem: problemOfHost({ code: 'AOV-HOST-206', what: 'EAFNOSUPPORT', cure: '' }),
    });
    script.only('open');
  });

  test('a name without address is a problem of the network with Windows number 868', () => {
    const script = new Script();
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec() });
    script.say({
      kind: 'resolved',
      name: 'corp',
      attempt: script.only('resolve').attempt,
      answers: [{ server: 'vpn.example', addresses: [], why: 'NXDOMAIN' }],
    });
    assert.equal(script.view().problem?.windows, 868);
    assert.match(script.view().problem?.message ?? '', /vpn\.example: NXDOMAIN/);
    assert.equal(script.view().state, 'waiting');
  });
});

suite('healing', () => {
  test('tries grow apart, with jitter from outside, and never past the cap', () => {
    const script = new Script();
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec() });
    const delays: number[] = [];
    for (let i = 0; i < 9; i++) {
      const attempt = script.resolve('192.0.2.1');
      script.say({ kind: 'ended', name: 'corp', attempt, problem: silent });
      const { at } = script.only('arm');
      delays.push(at - script.now);
      assert.equal(script.view().nextTryAt, at);
      script.now = at;
      script.say({ kind: 'timer', name: 'corp' });
    }
    assert.deepEqual(delays, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    script.random = 0;
    const attempt = script.resolve('192.0.2.1');
    script.say({ kind: 'ended', name: 'corp', attempt, problem: silent });
    assert.equal(script.only('arm').at - script.now, 30_000);
  });

  test('a tunnel that worked and is lost comes back at once', () => {
    const script = new Script();
    const attempt = script.bringUp();
    script.say({ kind: 'ended', name: 'corp', attempt, problem: problem('peerClosed') });
    assert.equal(script.view().state, 'waiting');
    assert.ok(script.only('arm').at - script.now <= 500);
    script.say({ kind: 'timer', name: 'corp' });
    assert.equal(script.view().state, 'connecting');
    assert.equal(script.view().problem?.code, 'AOV-IKE-190', 'the reason stays visible while it connects');
  });

  test('a tunnel that breaks as soon as it is up does not reset the back-off', () => {
    const script = new Script();
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec() });
    let last = 0;
    for (let i = 0; i < 4; i++) {
      const attempt = script.resolve('192.0.2.1');
      script.say({ kind: 'established', name: 'corp', attempt });
      script.now += 1_000;
      script.say({ kind: 'ended', name: 'corp', attempt, problem: problem('peerClosed') });
      const delay = script.only('arm').at - script.now;
      assert.ok(delay > last);
      last = delay;
      script.now += delay;
      script.say({ kind: 'timer', name: 'corp' });
    }
  });

  test('without network nothing is tried; its return connects at once', () => {
    const script = new Script();
    script.bringUp();
    script.say({ kind: 'network', network: nowhere });
    assert.equal(script.view().state, 'recovering');
    assert.match(script.view().reason, /network is gone/);
    script.say({ kind: 'ended', name: 'corp', attempt: 2, problem: problem('noAnswerEstablished') });
    script.none('resolve');
    assert.equal(script.view().state, 'waiting');
    script.say({ kind: 'network', network: here });
    assert.equal(script.view().state, 'connecting');
  });

  test('no network for longer than NetworkOutageTime ends the tunnel', () => {
    const script = new Script();
    const attempt = script.bringUp({ outageMs: 5_000 });
    script.say({ kind: 'network', network: nowhere });
    assert.equal(script.only('arm').at, script.now + 5_000);
    script.now += 5_000;
    script.say({ kind: 'timer', name: 'corp' });
    assert.deepEqual(script.only('close').attempt, attempt);
    script.say({ kind: 'ended', name: 'corp', attempt });
    assert.equal(script.view().state, 'waiting');
    assert.equal(script.view().problem?.code, 'AOV-SUPERVISOR-303');
  });

  test('an address change moves the tunnel; a gateway without MOBIKE makes it anew', () => {
    const script = new Script();
    const attempt = script.bringUp();
    script.say({ kind: 'network', network: { ...here, fingerprint: 'café' } });
    assert.equal(script.only('move').attempt, attempt);
    assert.equal(script.view().state, 'recovering');
    script.say({ kind: 'moved', name: 'corp', attempt });
    assert.equal(script.view().state, 'up');
    script.say({ kind: 'network', network: { ...here, fingerprint: 'train' } });
    script.say({ kind: 'cannot-move', name: 'corp', attempt });
    assert.equal(script.only('close').orderly, false);
    script.say({ kind: 'ended', name: 'corp', attempt });
    assert.equal(script.view().state, 'connecting');
    assert.equal(script.only('resolve').attempt > attempt, true);
  });

  test('the same network told twice changes nothing', () => {
    const script = new Script();
    script.bringUp();
    script.say({ kind: 'network', network: { ...here } });
    assert.deepEqual(script.actions, []);
  });

  test('after sleep the gateway is asked whether it is still there', () => {
    const script = new Script();
    const attempt = script.bringUp();
    script.say({ kind: 'clock-jump' });
    assert.equal(script.only('check-liveness').attempt, attempt);
  });

  test('a network without the family by which the tunnel goes is given time, then the tunnel is made anew by the other', () => {
    const six = { v4: false, v6: true, fingerprint: 'six' };
    const script = new Script();
    const attempt = script.bringUp();
    script.say({ kind: 'network', network: six });
    script.only('move');
    script.none('close');
    // DHCP was only late.
    script.say({ kind: 'network', network: { v4: true, v6: true, fingerprint: 'both' } });
    script.only('move');
    script.only('disarm');
    script.none('arm');
    script.say({ kind: 'moved', name: 'corp', attempt });

    script.say({ kind: 'network', network: six });
    const { at } = script.only('arm');
    script.now = at;
    script.say({ kind: 'timer', name: 'corp' });
    assert.equal(script.only('close').orderly, false);
    script.say({ kind: 'ended', name: 'corp', attempt });
    script.resolve('192.0.2.1', '2001:db8::1');
    assert.equal(script.only('open').candidate.address.family, 6);
  });

  test('a wrong clock that was set right lets a blocked connection try at once', () => {
    const script = new Script();
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec() });
    const attempt = script.resolve('192.0.2.1');
    script.say({ kind: 'ended', name: 'corp', attempt, problem: problem('gatewayExpired') });
    assert.equal(script.view().state, 'blocked');
    script.say({ kind: 'clock-jump' });
    assert.equal(script.view().state, 'connecting');
  });

  test('authentication failure is retried slowly, and at once when the credentials change', () => {
    const script = new Script();
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec() });
    const attempt = script.resolve('192.0.2.1');
    script.say({ kind: 'ended', name: 'corp', attempt, problem: problem('refusedCertificate') });
    assert.ok(script.only('arm').at - script.now >= 60_000);
    script.say({ kind: 'profile', spec: spec({ retryKey: 'retry-2' }) });
    assert.equal(script.view().state, 'connecting');
  });

  test('credentials that change during a try that then fails are tried at once', () => {
    const script = new Script();
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec() });
    const attempt = script.resolve('192.0.2.1');
    script.say({ kind: 'profile', spec: spec({ retryKey: 'retry-2' }) });
    script.none('close');
    script.say({ kind: 'ended', name: 'corp', attempt, problem: problem('eapWrongPassword') });
    assert.equal(script.view().state, 'connecting');
  });

  test('the gateway that said no outranks the one that said nothing in what people see', () => {
    const script = new Script();
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec() });
    const first = script.resolve('192.0.2.1', '192.0.2.2');
    script.say({ kind: 'ended', name: 'corp', attempt: first, problem: problem('gatewayWrongName') });
    script.say({ kind: 'ended', name: 'corp', attempt: script.only('open').attempt, problem: silent });
    assert.equal(script.view().problem?.code, 'AOV-IKE-134');
    assert.equal(script.view().state, 'waiting', 'the silent one may come back');
  });
});

suite('what a person says', () => {
  test('down holds until up, survives a restart, and says so', () => {
    const script = new Script();
    const attempt = script.bringUp();
    script.say({ kind: 'down', name: 'corp', hold });
    assert.deepEqual([...script.only('keep-held').holds.keys()], ['corp']);
    assert.equal(script.only('close').orderly, true);
    assert.equal(script.view().state, 'disconnecting');
    script.say({ kind: 'ended', name: 'corp', attempt });
    assert.equal(script.view().state, 'held');
    script.say({ kind: 'network', network: { ...here, fingerprint: 'other' } });
    assert.equal(script.view().state, 'held');

    const restarted = new Script(new Map([['corp', hold]]));
    restarted.say({ kind: 'network', network: here });
    restarted.say({ kind: 'profile', spec: spec() });
    restarted.none('resolve');
    assert.equal(restarted.view().state, 'held');
    assert.match(restarted.view().reason, /aovpn up corp/);
    restarted.say({ kind: 'up', name: 'corp' });
    assert.deepEqual([...restarted.only('keep-held').holds.keys()], []);
    assert.equal(restarted.view().state, 'connecting');
  });

  test('up during the goodbye of a down connects again, never twice at a time', () => {
    const script = new Script();
    const attempt = script.bringUp();
    script.say({ kind: 'down', name: 'corp', hold });
    script.say({ kind: 'up', name: 'corp' });
    script.none('open');
    script.none('resolve');
    script.say({ kind: 'ended', name: 'corp', attempt });
    assert.equal(script.view().state, 'connecting');
  });

  test('an unanswered goodbye is cut short', () => {
    const script = new Script();
    script.bringUp();
    script.say({ kind: 'down', name: 'corp', hold });
    assert.equal(script.only('arm').at, script.now + supervisorTimes.close);
    script.say({ kind: 'timer', name: 'corp' });
    assert.equal(script.only('close').orderly, false);
  });

  test('up when a try is blocked tries at once', () => {
    const script = new Script();
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec({ problem: problem('noCertificate') }) });
    assert.equal(script.view().state, 'blocked');
    assert.equal(script.view().nextTryAt, undefined);
    script.none('resolve');
    script.say({ kind: 'up', name: 'corp' });
    assert.equal(script.view().state, 'blocked');
    script.say({ kind: 'profile', spec: spec({ retryKey: 'with certificate' }) });
    assert.equal(script.view().state, 'connecting');
  });
});

suite('profiles that come and go', () => {
  test('a new version that asks for another tunnel replaces the running one', () => {
    const script = new Script();
    const attempt = script.bringUp();
    script.say({ kind: 'profile', spec: spec({ tunnelKey: 'tunnel-2', retryKey: 'retry-2', servers: ['new.example'] }) });
    assert.equal(script.only('close').orderly, true);
    script.say({ kind: 'ended', name: 'corp', attempt });
    assert.deepEqual(script.only('resolve').servers, ['new.example']);
  });

  test('a new version that differs in routes or credentials only leaves the tunnel alone', () => {
    const script = new Script();
    script.bringUp();
    script.say({ kind: 'profile', spec: spec({ retryKey: 'retry-2' }) });
    assert.deepEqual(script.done(), []);
    assert.equal(script.view().state, 'up');
  });

  test('a removed profile says goodbye and is forgotten', () => {
    const script = new Script();
    const attempt = script.bringUp();
    script.say({ kind: 'profile-removed', name: 'corp' });
    assert.equal(script.only('close').orderly, true);
    script.say({ kind: 'ended', name: 'corp', attempt });
    assert.equal(script.only('forgotten').name, 'corp');
    assert.equal(script.state.connections.size, 0);
  });

  test('a profile that comes back during its goodbye lives on', () => {
    const script = new Script();
    const attempt = script.bringUp();
    script.say({ kind: 'profile-removed', name: 'corp' });
    script.say({ kind: 'profile', spec: spec() });
    script.say({ kind: 'ended', name: 'corp', attempt });
    assert.equal(script.view().state, 'connecting');
  });

  test('a profile that stops being AlwaysOn does not cut off who is using it', () => {
    const script = new Script();
    script.bringUp();
    script.say({ kind: 'profile', spec: spec({ automatic: false, retryKey: 'retry-2' }) });
    assert.equal(script.view().state, 'up');
  });

  test('connections do not touch each other', () => {
    const script = new Script();
    script.bringUp();
    script.say({ kind: 'profile', spec: spec({ name: 'other' }) });
    script.say({ kind: 'down', name: 'other', hold });
    assert.equal(script.view().state, 'up');
    assert.equal(script.view('other').state, 'held');
  });
});

suite('the end', () => {
  test('stop says goodbye to every gateway and then reports', () => {
    const script = new Script();
    const attempt = script.bringUp();
    script.say({ kind: 'stop' });
    script.none('stopped');
    assert.equal(script.only('close').orderly, true);
    script.say({ kind: 'ended', name: 'corp', attempt });
    script.only('stopped');
  });

  test('stop with nothing running is over at once', () => {
    const script = new Script();
    script.say({ kind: 'stop' });
    script.only('stopped');
  });

  test('answers of an attempt long over are ignored', () => {
    const script = new Script();
    const attempt = script.bringUp();
    script.say({ kind: 'ended', name: 'corp', attempt: attempt - 1, problem: silent });
    script.say({ kind: 'established', name: 'corp', attempt: attempt + 7 });
    assert.deepEqual(script.actions, []);
    assert.equal(script.view().state, 'up');
  });
});
