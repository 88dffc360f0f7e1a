import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddress } from '@aovpn/bytes';
import type { SupervisorAction } from '../src/contract.ts';
import { problem } from '../src/problem-catalogue.ts';
import { supervisorTimes } from '../src/turn.ts';
import { address, Script, spec } from './script.ts';

const silent = problem('noAnswerInit');
const both = { v4: true, v6: true, fingerprint: 'both' };
const armedAt = ({ actions, now }: Script): number | undefined => {
  const arm = actions.findLast(({ kind }) => kind === 'arm');
  return arm?.kind === 'arm' ? arm.at - now : undefined;
};
const where = (action: Extract<SupervisorAction, { readonly kind: 'open' | 'probe' }>): string =>
  formatAddress(action.candidate.address);

function begin(...addresses: readonly string[]): { readonly script: Script; readonly attempt: number } {
  const script = new Script();
  script.say({ kind: 'network', network: both });
  script.say({ kind: 'profile', spec: spec() });
  return { script, attempt: script.resolve(...addresses) };
}

function tick(script: Script): void {
  script.now += armedAt(script)!;
  script.say({ kind: 'timer', name: 'corp' });
}

// After RFC 8305 §5: attempts begin one after the other, 250 ms apart, and the first to answer is taken.
suite('gateways raced', () => {
  test('while the first is silent the others are asked, one every 250 ms, as strangers', () => {
    const { script } = begin('192.0.2.1', '2001:db8::1', '192.0.2.2');
    assert.equal(where(script.only('open')), '2001:db8::1');
    assert.equal(armedAt(script), supervisorTimes.race);
    tick(script);
    assert.equal(where(script.only('probe')), '192.0.2.1');
    assert.equal(armedAt(script), supervisorTimes.race);
    tick(script);
    assert.equal(where(script.only('probe')), '192.0.2.2');
    tick(script);
    script.none('probe');
    script.none('open');
    assert.equal(script.view().state, 'connecting');
  });

  test('the first of the others that answers is tried at once, and the silent one is told nothing', () => {
    const { script, attempt } = begin('192.0.2.1', '2001:db8::1', '192.0.2.2');
    tick(script);
    const { candidate } = script.only('probe');
    script.say({ kind: 'probed', name: 'corp', attempt, candidate });
    assert.deepEqual(
      script.done().map((action) => ('orderly' in action ? [action.kind, action.orderly] : action.kind)),
      [['close', false]],
    );
    script.say({ kind: 'ended', name: 'corp', attempt });
    assert.equal(where(script.only('open')), '192.0.2.1');
    // The loser is not lost.
    const tried = ['192.0.2.1'];
    for (let open: SupervisorAction | undefined = script.only('open'); open?.kind === 'open';) {
      script.say({ kind: 'ended', name: 'corp', attempt: open.attempt, problem: problem('noAnswerInit') });
      open = script.actions.find(({ kind }) => kind === 'open');
      if (open?.kind === 'open') tried.push(where(open));
    }
    assert.deepEqual(tried, ['192.0.2.1', '192.0.2.2', '2001:db8::1']);
  });

  test('once the first has answered nobody else is asked, and late answers change nothing', () => {
    const { script, attempt } = begin('192.0.2.1', '2001:db8::1');
    tick(script);
    const { candidate } = script.only('probe');
    script.say({ kind: 'answered', name: 'corp', attempt });
    assert.ok(armedAt(script)! > supervisorTimes.open - 1000);
    script.say({ kind: 'probed', name: 'corp', attempt, candidate });
    assert.deepEqual(script.actions, []);
  });

  test('a round is raced once: who answers strangers only cannot send us to and fro', () => {
    const { script, attempt } = begin('192.0.2.1', '2001:db8::1');
    tick(script);
    const { candidate } = script.only('probe');
    script.say({ kind: 'probed', name: 'corp', attempt, candidate });
    script.say({ kind: 'ended', name: 'corp', attempt });
    const second = script.only('open').attempt;
    assert.equal(armedAt(script), supervisorTimes.open);
    script.say({ kind: 'probed', name: 'corp', attempt: second, candidate });
    assert.deepEqual(script.actions, []);
  });

  test('with one place only there is nothing to race', () => {
    const { script } = begin('192.0.2.1');
    assert.equal(armedAt(script), supervisorTimes.open);
  });

  test('an attempt that takes too long ends all the same', () => {
    const { script, attempt } = begin('192.0.2.1', '2001:db8::1');
    tick(script);
    tick(script);
    tick(script);
    assert.equal(script.only('close').attempt, attempt);
    assert.ok(script.now >= supervisorTimes.open);
  });

  test('another network while the loser is closed: from the beginning', () => {
    const { script, attempt } = begin('192.0.2.1', '2001:db8::1');
    tick(script);
    script.say({ kind: 'probed', name: 'corp', attempt, candidate: script.only('probe').candidate });
    script.say({ kind: 'network', network: { ...both, fingerprint: 'elsewhere' } });
    script.say({ kind: 'ended', name: 'corp', attempt });
    script.only('resolve');
    script.none('open');
  });
});

suite('memory of what worked', () => {
  test('the address that worked comes first next time, also after a restart, and each server has its own', () => {
    const { script } = begin('192.0.2.1', '2001:db8::1');
    let { attempt } = script.only('open');
    script.say({ kind: 'ended', name: 'corp', attempt, problem: problem('noAnswerInit') });
    ({ attempt } = script.only('open'));
    script.say({ kind: 'established', name: 'corp', attempt });
    const { places } = script.only('keep-places');
    assert.deepEqual(
      places.map(({ address }) => formatAddress(address)),
      ['192.0.2.1'],
    );

    const restarted = new Script(new Map(), new Map([['corp', places]]));
    restarted.say({ kind: 'network', network: both });
    restarted.say({ kind: 'profile', spec: spec() });
    ({ attempt } = { attempt: restarted.resolve('2001:db8::1', '192.0.2.1') });
    assert.equal(where(restarted.only('open')), '192.0.2.1');
    restarted.say({ kind: 'established', name: 'corp', attempt });
    restarted.none('keep-places');
  });

  test('an address that the name no longer has is not tried', () => {
    const { script, attempt } = begin('192.0.2.1');
    script.say({ kind: 'established', name: 'corp', attempt });
    script.say({ kind: 'ended', name: 'corp', attempt, problem: problem('noAnswerEstablished') });
    while (!script.actions.some(({ kind }) => kind === 'resolve')) tick(script);
    script.resolve('192.0.2.7');
    assert.equal(where(script.only('open')), '192.0.2.7');
  });

  test('while the name has no address at all, what worked last is tried; a name that never worked is a problem', () => {
    const { script, attempt } = begin('192.0.2.1');
    script.say({ kind: 'established', name: 'corp', attempt });
    script.say({ kind: 'ended', name: 'corp', attempt, problem: problem('noAnswerEstablished') });
    while (!script.actions.some(({ kind }) => kind === 'resolve')) tick(script);
    script.resolve();
    assert.equal(where(script.only('open')), '192.0.2.1');

    // Nor does it wait for an answer for ever.
    const silent = new Script(new Map(), new Map([['corp', script.state.places.get('corp')!]]));
    silent.say({ kind: 'network', network: both });
    silent.say({ kind: 'profile', spec: spec() });
    silent.only('resolve');
    tick(silent);
    assert.equal(where(silent.only('open')), '192.0.2.1');

    const fresh = new Script();
    fresh.say({ kind: 'network', network: both });
    fresh.say({ kind: 'profile', spec: spec() });
    const { attempt: first, servers } = fresh.only('resolve');
    fresh.say({ kind: 'resolved', name: 'corp', attempt: first, answers: servers.map((server) => ({ server, addresses: [] })) });
    fresh.none('open');
  });
});

// RFC 9329 §5.1: UDP first, and TCP where it gets no answer.
suite('TCP where UDP is blocked', () => {
  const over = ({ candidate }: { readonly candidate: { readonly transport: string } }): string => candidate.transport;
  function start(tcp: 'fallback' | 'off' | 'only', ...addresses: readonly string[]): Script {
    const script = new Script();
    script.say({ kind: 'network', network: both });
    script.say({ kind: 'profile', spec: spec({ tcp }) });
    script.resolve(...addresses);
    return script;
  }
  /** A tunnel in TCP. */
  function inTcp(tcp: 'fallback' | 'only'): { readonly script: Script; readonly attempt: number } {
    const script = start(tcp, '192.0.2.1');
    if (tcp === 'fallback')
      script.say({ kind: 'ended', name: 'corp', attempt: script.only('open').attempt, problem: problem('noAnswerInit') });
    const open = script.only('open');
    assert.equal(over(open), 'tcp');
    script.say({ kind: 'established', name: 'corp', attempt: open.attempt });
    return { script, attempt: open.attempt };
  }

  test('UDP alone is asked for two seconds, then TCP too', () => {
    const script = start('fallback', '192.0.2.1', '2001:db8::1');
    const began = script.now;
    tick(script);
    assert.equal(over(script.only('probe')), 'udp');
    tick(script);
    script.none('probe');
    tick(script);
    assert.equal(over(script.only('probe')), 'tcp');
    assert.equal(script.now - began, supervisorTimes.tcp);
  });

  test('where TCP worked last it is asked at once, yet after UDP', () => {
    const { script, attempt } = inTcp('fallback');
    script.say({ kind: 'ended', name: 'corp', attempt, problem: problem('noAnswerEstablished') });
    while (!script.actions.some(({ kind }) => kind === 'resolve')) tick(script);
    script.resolve('192.0.2.1');
    assert.equal(over(script.only('open')), 'udp');
    tick(script);
    assert.equal(over(script.only('probe')), 'tcp');
  });

  test('off and only', () => {
    const off = start('off', '192.0.2.1');
    off.say({ kind: 'ended', name: 'corp', attempt: off.only('open').attempt, problem: problem('noAnswerInit') });
    off.none('open');
    assert.equal(over(start('only', '192.0.2.1').only('open')), 'tcp');
  });

  test('that TCP does not help either is not what people are told', () => {
    const script = start('fallback', '192.0.2.1');
    script.say({ kind: 'ended', name: 'corp', attempt: script.only('open').attempt, problem: silent });
    const refused = { ...problem('nameNotResolved'), code: 'AOV-HOST-212', message: 'no TCP connection' };
    script.say({ kind: 'ended', name: 'corp', attempt: script.only('open').attempt, problem: refused });
    assert.equal(script.view().problem?.code, silent.code);
  });

  test('a tunnel in TCP looks for UDP, and moves there when it passes', () => {
    const { script, attempt } = inTcp('fallback');
    assert.match(script.view().reason, /over TCP/);
    tick(script);
    const asked = script.only('probe');
    assert.equal(over(asked), 'udp');
    assert.equal(armedAt(script), supervisorTimes.backToUdp.every);
    script.say({ kind: 'probed', name: 'corp', attempt, candidate: asked.candidate });
    assert.equal(script.only('move').transport, 'udp');
    script.say({ kind: 'moved', name: 'corp', attempt });
    assert.equal(script.view().state, 'up');
    assert.equal(script.view().candidate?.transport, 'udp');
    script.say({ kind: 'probed', name: 'corp', attempt, candidate: asked.candidate });
    assert.deepEqual(script.actions, []);
  });

  test('with "only" nobody looks', () => {
    const { script } = inTcp('only');
    tick(script);
    script.none('probe');
  });

  test('sent on to another gateway: UDP is tried first there (RFC 9329 §7.2)', () => {
    const { script, attempt } = inTcp('fallback');
    script.say({
      kind: 'ended',
      name: 'corp',
      attempt,
      redirect: { to: { kind: 'address', address: address('192.0.2.2') }, proven: true },
    });
    const open = script.only('open');
    assert.equal(where(open), '192.0.2.2');
    assert.equal(over(open), 'udp');
  });

  test('another network: TCP moves along, and soon looks for UDP there', () => {
    const { script, attempt } = inTcp('fallback');
    script.say({ kind: 'network', network: { ...both, fingerprint: 'elsewhere' } });
    assert.equal(script.only('move').transport, 'tcp');
    script.say({ kind: 'moved', name: 'corp', attempt });
    tick(script);
    assert.equal(over(script.only('probe')), 'udp');
  });
});

// RFC 5685
suite('sent on by a gateway', () => {
  const to = { kind: 'name', name: 'vpn2.example' } as const;

  test('to an address: at once, with word of who has sent us', () => {
    const { script, attempt } = begin('192.0.2.1');
    script.say({
      kind: 'ended',
      name: 'corp',
      attempt,
      redirect: { to: { kind: 'address', address: address('192.0.2.2') }, proven: false },
    });
    const open = script.only('open');
    assert.equal(where(open), '192.0.2.2');
    assert.deepEqual(open.candidate.via, { server: 'vpn.example', proven: false });
    script.say({ kind: 'established', name: 'corp', attempt: open.attempt });
    script.none('keep-places');
  });

  test('to a name that cannot be looked up: a problem, and nothing that worked before is taken for it', () => {
    const { script, attempt } = begin('192.0.2.1');
    script.say({ kind: 'established', name: 'corp', attempt });
    script.say({ kind: 'ended', name: 'corp', attempt, redirect: { to, proven: true } });
    script.only('resolve');
    tick(script);
    script.none('open');
    assert.equal(script.view().problem?.code, problem('nameNotResolved').code);
  });

  test('to a name: looked up first', () => {
    const { script, attempt } = begin('192.0.2.1');
    script.say({ kind: 'established', name: 'corp', attempt });
    script.say({ kind: 'ended', name: 'corp', attempt, redirect: { to, proven: true } });
    assert.deepEqual(script.only('resolve').servers, ['vpn2.example']);
    script.resolve('192.0.2.7');
    const { candidate } = script.only('open');
    assert.equal(candidate.server, 'vpn2.example');
    assert.deepEqual(candidate.via, { server: 'vpn.example', proven: true });
  });

  test('in a circle: an end after five times in five minutes, and a new beginning later', () => {
    const { script } = begin('192.0.2.1');
    let { attempt } = script.only('open');
    for (let i = 0; i < 5; i++) {
      script.say({
        kind: 'ended',
        name: 'corp',
        attempt,
        redirect: { to: { kind: 'address', address: address(`192.0.2.${10 + i}`) }, proven: true },
      });
      ({ attempt } = script.only('open'));
    }
    script.say({ kind: 'ended', name: 'corp', attempt, redirect: { to, proven: true } });
    script.none('open');
    script.none('resolve');
    assert.equal(script.view().problem?.code, 'AOV-SUPERVISOR-305');
    script.now += supervisorTimes.redirects.within;
    script.say({ kind: 'timer', name: 'corp' });
    assert.deepEqual(script.only('resolve').servers, ['vpn.example']);
  });

  test('nobody goes who is not wanted any more', () => {
    const { script, attempt } = begin('192.0.2.1');
    script.say({ kind: 'down', name: 'corp', hold: { by: 'root', since: '2026-01-01T00:00:00.000Z', ends: 'up' } });
    script.say({ kind: 'ended', name: 'corp', attempt, redirect: { to, proven: true } });
    script.none('resolve');
    assert.equal(script.view().state, 'held');
  });
});
