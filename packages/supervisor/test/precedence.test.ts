// Whether a connection is wanted: the table of docs/always-on.md, held against the supervisor in every combination of its causes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import type { TrustVerdict } from '@aovpn/policy';
import type { SupervisorState } from '../src/contract.ts';
import { unwantedConnections } from '../src/view.ts';
import { address, here, hold, Script, spec } from './script.ts';

interface Causes {
  readonly gone: boolean;
  readonly person: 'nothing' | 'up' | 'down';
  readonly trust: 'not asked' | TrustVerdict['kind'];
  readonly automatic: boolean;
  readonly triggered: boolean;
}

/** The first column of the table, as this test reads it. */
const fits: Readonly<Record<string, (causes: Causes) => boolean>> = {
  'the profile is gone, or the daemon ends': ({ gone }) => gone,
  'a person said down': ({ person }) => person === 'down',
  'a person said up, when nothing else wanted it': ({ person }) => person === 'up',
  'the network is trusted': ({ trust }) => trust === 'trusted',
  'the network may be trusted, and is being asked': ({ trust, automatic, triggered }) =>
    trust === 'asking' && (automatic || triggered),
  AlwaysOn: ({ automatic }) => automatic,
  'a trigger of the profile wants it': ({ triggered }) => triggered,
  'nobody asked': () => true,
};

const document = readFileSync(new URL('../../../docs/always-on.md', import.meta.url), 'utf8');
const table = document
  .slice(document.indexOf('| first that fits |'), document.indexOf('A profile with LockDown'))
  .trim()
  .split('\n')
  .slice(2)
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, first, outcome]) => ({ first: first!, outcome: outcome! }));

const every: readonly Causes[] = [false, true].flatMap((gone) =>
  (['nothing', 'up', 'down'] as const).flatMap((person) =>
    (['not asked', 'untrusted', 'asking', 'trusted'] as const).flatMap((trust) =>
      [false, true].flatMap((automatic) =>
        [false, true].map((triggered): Causes => ({ gone, person, trust, automatic, triggered })),
      ),
    ),
  ),
);

const name = 'corp';

/** The causes meet a connection that is down as yet. */
function meetDown({ gone, person, trust, automatic, triggered }: Causes): Script {
  const script = new Script();
  judge(script, trust);
  script.say({ kind: 'network', network: here });
  script.say({ kind: 'profile', spec: spec({ automatic }) });
  if (triggered) script.say({ kind: 'trigger', name, why: 'an app was started' });
  if (person === 'up') script.say({ kind: 'up', name });
  if (person === 'down') script.say({ kind: 'down', name, hold });
  if (gone) script.say({ kind: 'profile-removed', name });
  return script;
}

/** They meet a connection whose tunnel is up, by itself or because a person said so. */
function meetUp(causes: Causes): Script {
  const { gone, person, trust, automatic, triggered } = causes;
  const script = person === 'up' && !gone ? meetDown(causes) : new Script();
  if (!script.state.connections.has(name)) {
    script.say({ kind: 'network', network: here });
    script.say({ kind: 'profile', spec: spec({ automatic }) });
    if (!automatic) script.say({ kind: 'trigger', name, why: 'an app was started' });
  }
  const { phase } = script.state.connections.get(name)!;
  assert.ok(phase.kind === 'resolving');
  const answers = [{ server: 'vpn.example', addresses: [address('192.0.2.1')] }];
  script.say({ kind: 'resolved', name, attempt: phase.attempt, answers });
  script.say({ kind: 'established', name, attempt: script.only('open').attempt });
  judge(script, trust);
  script.say({ kind: 'trigger', name, ...(triggered && { why: 'an app runs' }) });
  if (person === 'down') script.say({ kind: 'down', name, hold });
  if (gone) script.say({ kind: 'profile-removed', name });
  return script;
}

function judge(script: Script, trust: Causes['trust']): void {
  script.say({ kind: 'trust', verdicts: new Map(trust === 'not asked' ? [] : [[name, verdict(trust)]]) });
}

function verdict(kind: TrustVerdict['kind']): TrustVerdict {
  return { kind, why: kind, spoofable: false, trace: [kind] };
}

suite('precedence of what wants a connection', () => {
  test('the document has the rows that are tested', () => {
    assert.deepEqual(
      table.map(({ first }) => first),
      Object.keys(fits),
    );
  });

  for (const causes of every) {
    const row = table.find(({ first }) => fits[first]!(causes))!;
    test(`${JSON.stringify(causes)}: ${row.first}, so ${row.outcome}`, () => {
      const fresh = meetDown(causes).state;
      const live = meetUp(causes).state;
      const phase = (state: SupervisorState): string | undefined => state.connections.get('corp')?.phase.kind;
      if (row.outcome === 'wanted') {
        assert.deepEqual([phase(fresh), phase(live)], ['resolving', 'up']);
      } else if (row.outcome === 'kept as it is') {
        assert.deepEqual([phase(fresh), phase(live)], ['idle', 'up']);
      } else {
        assert.equal(row.outcome, 'not wanted');
        assert.deepEqual([phase(fresh), phase(live)], [causes.gone ? undefined : 'idle', 'closing']);
        if (!causes.gone) assert.deepEqual([...unwantedConnections(fresh)], ['corp']);
      }
    });
  }
});
