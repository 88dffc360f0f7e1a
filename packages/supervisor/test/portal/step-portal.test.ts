import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import type { PortalVerdict } from '@aovpn/policy';
import { portalTimes, startPortal, stepPortal, type PortalAction, type PortalEvent } from '../../src/portal/step-portal.ts';

const captive: PortalVerdict = { kind: 'captive', portalUrl: 'https://portal.example.org:8443/login', trace: [] };
const internet: PortalVerdict = { kind: 'open', trace: [] };

/** One portal, by the names of what it does. */
class Script {
  state = startPortal;
  now = 0;

  say(event: PortalEvent): readonly PortalAction[] {
    const { state, actions } = stepPortal(this.state, event, this.now);
    this.state = state;
    return actions;
  }

  kinds(event: PortalEvent): string[] {
    return this.say(event).map(({ kind }) => kind);
  }

  /** In a network with a portal that was found. */
  static captive(): Script {
    const script = new Script();
    script.say({ kind: 'network', needed: true, network: 'hotel' });
    script.say({ kind: 'timer' });
    script.say({ kind: 'found', look: 1, verdict: captive });
    return script;
  }

  open(milliseconds = 600_000): readonly PortalAction[] {
    return this.say({ kind: 'open', by: 'alice', milliseconds, ports: [80, 443] });
  }
}

suite('the captive portal', () => {
  test('is looked for once it is needed, after a moment, and told', () => {
    const script = new Script();
    assert.deepEqual(script.say({ kind: 'network', needed: true, network: 'hotel' }), [{ kind: 'arm', at: portalTimes.first }]);
    assert.deepEqual(script.say({ kind: 'timer' }), [{ kind: 'look', look: 1 }]);
    assert.deepEqual(script.kinds({ kind: 'timer' }), [], 'one look at a time');
    assert.deepEqual(script.kinds({ kind: 'found', look: 1, verdict: captive }), ['changed', 'log', 'arm']);
    script.say({ kind: 'timer' });
    assert.deepEqual(script.kinds({ kind: 'found', look: 2, verdict: captive }), ['arm'], 'said once');
  });

  test('is not looked for where nobody needs it', () => {
    const script = new Script();
    script.say({ kind: 'network', needed: false, network: 'home' });
    assert.deepEqual(script.kinds({ kind: 'timer' }), []);
    assert.deepEqual(script.kinds({ kind: 'look' }), []);
  });

  test('what was found out about another network does not count', () => {
    const script = Script.captive();
    script.say({ kind: 'timer' });
    assert.deepEqual(script.kinds({ kind: 'network', needed: true, network: 'station' }), ['changed', 'arm']);
    assert.deepEqual(script.kinds({ kind: 'found', look: 2, verdict: captive }), []);
    assert.equal(script.state.verdict, undefined);
  });

  test('a person opens it, for a time, to the usual ports and its own', () => {
    const script = Script.captive();
    const letOut = script.open().find((action) => action.kind === 'let-out')!;
    assert.deepEqual(letOut.open, { by: 'alice', since: 0, until: 600_000, ports: [80, 443, 8443] });
  });

  for (const [what, event, at, why] of [
    ['time', { kind: 'timer' }, 600_000, /time is over/],
    ['a tunnel that is up', { kind: 'network', needed: false, network: 'hotel' }, 10, /tunnel is up/],
    ['another network', { kind: 'network', needed: true, network: 'street' }, 10, /another network/],
    ['the word that the internet is there', { kind: 'found', look: 2, verdict: internet }, 10, /internet is there/],
    ['a person', { kind: 'close', by: 'bob' }, 10, /closed by bob/],
  ] as const)
    test(`${what} shuts it`, () => {
      const script = Script.captive();
      script.open();
      if (event.kind === 'found') script.say({ kind: 'timer' });
      script.now = at;
      const actions = script.say(event);
      const shut = actions.find((action) => action.kind === 'shut');
      assert.match(shut?.why ?? '', why);
      assert.ok(
        actions.some((action) => action.kind === 'log'),
        'said in the log',
      );
      assert.equal(script.state.open, undefined);
    });

  test('whatever happens: only a person lets anything out, and nothing stays open past its time or without need', () => {
    const event = fc.oneof(
      fc.record({ kind: fc.constant('network' as const), needed: fc.boolean(), network: fc.constantFrom('a', 'b') }),
      fc.record({
        kind: fc.constant('found' as const),
        look: fc.integer({ min: 1, max: 5 }),
        verdict: fc.constantFrom(captive, internet),
      }),
      fc.record({
        kind: fc.constant('open' as const),
        by: fc.constant('x'),
        milliseconds: fc.integer({ min: 1, max: 5000 }),
        ports: fc.constant([80]),
      }),
      fc.record({ kind: fc.constant('close' as const), by: fc.constant('x') }),
      fc.constant({ kind: 'look' as const }),
      fc.constant({ kind: 'timer' as const }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(event, fc.integer({ min: 0, max: 3000 })), { maxLength: 60 }), (events) => {
        const script = new Script();
        let isOut = false;
        for (const [happens, later] of events) {
          script.now += later;
          const actions = script.say(happens);
          for (const action of actions) {
            if (action.kind === 'let-out') {
              assert.equal(happens.kind, 'open');
              isOut = true;
            }
            if (action.kind === 'shut') isOut = false;
          }
          assert.equal(isOut, script.state.open !== undefined);
          if (happens.kind === 'timer' && script.state.open) assert.ok(script.now < script.state.open.until);
          if (happens.kind === 'network' && !happens.needed) assert.equal(script.state.open, undefined);
          // While it is open somebody will look at the time again.
          if (script.state.open && happens.kind === 'open') assert.ok(actions.some((action) => action.kind === 'arm'));
        }
      }),
    );
  });
});
