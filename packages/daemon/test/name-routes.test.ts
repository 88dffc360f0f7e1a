import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setImmediate as settle } from 'node:timers/promises';
import { formatAddress, parseAddress, parsePrefix } from '@aovpn/bytes';
import { emptyPlan, type DnsRule, type Plan } from '@aovpn/policy';
import type { QuestionAnswer } from '../src/dns-question.ts';
import { NameRoutes, type NameWishes } from '../src/name-routes.ts';

const because = { profile: 'corp', why: 'test' };
const rule: DnsRule = {
  name: '.corp.example',
  servers: [parseAddress('10.0.0.53')!],
  profile: 'corp',
  device: 'aov0',
  because,
  instead: [],
};
const tunnel: Plan['tunnels'][number] = {
  device: 'aov0',
  profile: 'corp',
  kind: 'user',
  mtu: 1380,
  addresses: [],
  metric: { v4: 1, v6: 1 },
  because,
};
const intoTunnel: Pick<Plan, 'routes' | 'rules'> = {
  routes: [{ kind: 'tunnel', prefix: parsePrefix('10.0.0.0/8')!, metric: 1, device: 'aov0', because }],
  rules: [{ family: 4, priority: 7220, action: { kind: 'lookup', table: 7296 }, because }],
};
const up: Plan = { ...emptyPlan, ...intoTunnel, tunnels: [tunnel], dns: { ...emptyPlan.dns, rules: [rule] } };
const found = (ttl: number, ...texts: string[]): QuestionAnswer => ({ addresses: texts.map((text) => parseAddress(text)!), ttl });

function make(wishes: Partial<NameWishes>, answers: Record<string, () => QuestionAnswer>) {
  const made = {
    asked: [] as string[],
    changes: 0,
    now: 0,
    wishes: { includeNames: [], excludeNames: [], nameRefreshSeconds: 5, ...wishes } as NameWishes,
    known: (): readonly string[] =>
      made.names
        .of('corp')
        .map(({ name, exclude, addresses, fromInside, problem }) =>
          `${exclude ? 'exclude' : 'include'} ${name} ${addresses.map(formatAddress).join()} ${fromInside ? 'inside' : 'outside'} ${problem ?? ''}`.trim(),
        ),
    names: undefined as unknown as NameRoutes,
  };
  made.names = new NameRoutes({
    wishes: () => made.wishes,
    ask: async (name, through) => {
      made.asked.push(`${name} ${through?.name ?? 'outside'}`);
      await settle();
      return answers[name]!();
    },
    onChange: () => void made.changes++,
    clock: () => made.now,
  });
  return made;
}

const turns = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await settle();
};

suite('routes of names', () => {
  test('are asked for where programs are answered, and told once they differ', async () => {
    const made = make(
      { includeNames: ['web.corp.example'], excludeNames: ['media.example'] },
      { 'web.corp.example': () => found(60, '10.0.0.80'), 'media.example': () => found(60, '198.51.100.7', '2001:db8::7') },
    );
    made.names.follow(up);
    assert.deepEqual(made.known(), ['include web.corp.example  outside', 'exclude media.example  outside']);
    await turns();
    assert.deepEqual(made.asked, ['web.corp.example .corp.example', 'media.example outside']);
    assert.deepEqual(made.known(), [
      'include web.corp.example 10.0.0.80 inside',
      'exclude media.example 198.51.100.7,2001:db8::7 outside',
    ]);
    assert.equal(made.changes, 2);
    made.names.follow(up);
    made.names.askAgain();
    await turns();
    assert.equal(made.changes, 2, 'the same again is no news');
    made.wishes = { ...made.wishes, excludeNames: [] };
    assert.deepEqual(
      made.known(),
      ['include web.corp.example 10.0.0.80 inside'],
      'what is no longer wished does not count at once',
    );
    made.names.follow({ ...up, tunnels: [] });
    assert.deepEqual(made.known(), []);
    made.names.close();
  });

  test('outlive an answer that fails, and an address that is no longer named, for a while', async () => {
    let answer = found(10, '198.51.100.7');
    const made = make({ excludeNames: ['media.example'] }, { 'media.example': () => answer });
    made.names.follow(up);
    await turns();
    answer = found(10, '198.51.100.8');
    made.names.askAgain();
    await turns();
    assert.deepEqual(made.known(), ['exclude media.example 198.51.100.7,198.51.100.8 outside']);
    made.now = 700_000;
    made.names.askAgain();
    await turns();
    assert.deepEqual(made.known(), ['exclude media.example 198.51.100.8 outside']);
    answer = { addresses: [], why: 'there is no such name (NXDOMAIN)' };
    made.names.askAgain();
    await turns();
    made.now += 2_000_000;
    assert.deepEqual(made.known(), [
      'exclude media.example 198.51.100.8 outside there is no such name (NXDOMAIN); the addresses known before stay',
    ]);
    made.names.close();
  });

  test('what outsiders said is forgotten when the company says something', async () => {
    const answer = found(10, '198.51.100.7');
    const made = make({ excludeNames: ['web.corp.example'] }, { 'web.corp.example': () => answer });
    made.names.follow({ ...up, dns: emptyPlan.dns });
    await turns();
    assert.deepEqual(made.known(), ['exclude web.corp.example 198.51.100.7 outside']);
    made.names.follow(up);
    made.names.askAgain();
    await turns();
    assert.deepEqual(made.known(), ['exclude web.corp.example 198.51.100.7 inside']);
    made.names.close();
  });

  test('a server of a rule that no tunnel leads to is somebody outside', async () => {
    const made = make({ excludeNames: ['web.corp.example'] }, { 'web.corp.example': () => found(10, '10.0.0.80') });
    made.names.follow({ ...up, routes: [{ ...up.routes[0]!, kind: 'throw' }] });
    await turns();
    assert.deepEqual(made.asked, ['web.corp.example .corp.example']);
    assert.deepEqual(made.known(), ['exclude web.corp.example 10.0.0.80 outside']);
    made.names.close();
  });

  test('keep to a limit, whatever the answer', async () => {
    const many = Array.from({ length: 400 }, (_, i) => `198.51.${i >> 8}.${i & 255}`);
    const made = make({ excludeNames: ['media.example'] }, { 'media.example': () => found(10, ...many) });
    made.names.follow(up);
    await turns();
    assert.equal(made.names.of('corp')[0]!.addresses.length, 32);
    made.names.close();
  });

  test('a name that never resolves is a problem and nothing else', async () => {
    const made = make(
      { includeNames: ['gone.example'] },
      { 'gone.example': () => ({ addresses: [], why: 'no DNS server answers' }) },
    );
    made.names.follow(up);
    await turns();
    assert.deepEqual(made.known(), ['include gone.example  outside no DNS server answers']);
    made.names.close();
  });
});
