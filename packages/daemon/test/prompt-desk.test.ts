import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { DaemonEvent, PromptKind } from '@aovpn/api';
import type { DaemonError } from '../src/daemon-error.ts';
import { Log } from '../src/log.ts';
import { PromptDesk, type PromptQuestion } from '../src/prompt-desk.ts';

const octets = (text: string): Uint8Array => new TextEncoder().encode(text);

function make({ attended = true, lifetimeMs = 60_000 } = {}) {
  const events: DaemonEvent[] = [];
  const lines: string[] = [];
  const desk = new PromptDesk({
    log: new Log({ level: 'debug', format: 'text', journal: false, write: (line) => lines.push(line), clock: Date.now }),
    attended: () => attended,
    publish: (event) => events.push(event),
    lifetimeMs,
  });
  return { desk, events, lines };
}

const question = (kind: PromptKind = 'password', connection = 'corp'): PromptQuestion => ({
  connection,
  kind,
  text: 'Password of alice',
});

function codeOf(act: () => void): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return (error as DaemonError).code;
  }
}

suite('questions to people', () => {
  test('an answer reaches whoever asked, is told as an event, and is in neither event nor log', async () => {
    const { desk, events, lines } = make();
    const asked = desk.ask({ ...question(), message: 'from the server' });
    const [prompt] = desk.list();
    assert.equal(prompt?.message, 'from the server');
    assert.equal(Date.parse(prompt.expiresAt) - Date.parse(prompt.askedAt), 60_000);
    desk.answer(prompt.id, octets('hunter2'), 1000);
    const reply = await asked;
    assert.equal(reply.kind === 'secret' && new TextDecoder().decode(reply.secret), 'hunter2');
    assert.deepEqual(desk.list(), []);
    assert.deepEqual(
      events.map((event) => (event.kind === 'prompt-over' ? event.outcome : event.kind)),
      ['prompt', 'answered'],
    );
    assert.match(lines.join(''), /user 1000 answered/);
    assert.doesNotMatch(JSON.stringify(events) + lines.join(''), /hunter2/);
  });

  test('one answer wins: the second is refused and overwritten', async () => {
    const { desk } = make();
    const asked = desk.ask(question());
    const { id } = desk.list()[0]!;
    desk.answer(id, octets('first'), 0);
    const second = octets('second');
    assert.equal(
      codeOf(() => desk.answer(id, second, 1000)),
      'AOV-DAEMON-520',
    );
    assert.ok(second.every((octet) => octet === 0));
    const reply = await asked;
    assert.equal(reply.kind === 'secret' && new TextDecoder().decode(reply.secret), 'first');
  });

  test('an id cannot be guessed from another', () => {
    const { desk } = make();
    void desk.ask(question());
    void desk.ask(question());
    const ids = desk.list().map(({ id }) => id);
    assert.equal(new Set(ids).size, 2);
    assert.ok(ids.every((id) => /^[0-9a-f]{24}$/.test(id)));
    desk.close();
  });

  test('nobody there: refused at once, and nothing is asked', async () => {
    const { desk, events, lines } = make({ attended: false });
    assert.deepEqual(await desk.ask(question()), { kind: 'none', why: 'nobody' });
    assert.deepEqual(events, []);
    assert.match(lines.join(''), /nobody is there/);
  });

  test('refused, expired and withdrawn', async () => {
    const { desk, events } = make({ lifetimeMs: 20 });
    const refused = desk.ask(question());
    desk.answer(desk.list()[0]!.id, { answer: 'refuse' }, 0);
    assert.deepEqual(await refused, { kind: 'none', why: 'refused' });
    assert.deepEqual(await desk.ask(question()), { kind: 'none', why: 'expired' });
    const withdrawn = desk.ask(question());
    desk.withdraw('other');
    assert.equal(desk.list().length, 1);
    desk.withdraw('corp');
    assert.deepEqual(await withdrawn, { kind: 'none', why: 'withdrawn' });
    assert.deepEqual(
      events.flatMap((event) => (event.kind === 'prompt-over' ? [event.outcome] : [])),
      ['refused', 'expired', 'withdrawn'],
    );
  });

  test('a server that asks without end fills nothing: limits for one connection and for all', async () => {
    const { desk } = make();
    for (let i = 0; i < 4; i++) void desk.ask(question());
    assert.deepEqual(await desk.ask(question()), { kind: 'none', why: 'too-many' });
    for (let i = 0; i < 100; i++) void desk.ask(question('password', `c${i}`));
    assert.ok(desk.list().length <= 32);
    desk.close();
    assert.deepEqual(desk.list(), []);
  });

  test('a message of any length is shortened', () => {
    const { desk } = make();
    void desk.ask({ ...question(), message: 'x'.repeat(100_000) });
    assert.equal(desk.list()[0]?.message?.length, 500);
    desk.close();
  });

  const choices = [{ id: 'a', text: 'A' }];
  for (const [kind, answer, fits] of [
    ['password', octets('x'), true],
    ['token', octets('x'), true],
    ['pin', octets('x'), true],
    ['new-password', octets('x'), true],
    ['password', octets(''), false],
    ['password', octets('x'.repeat(1025)), false],
    ['password', { answer: 'accept' }, false],
    ['password', { answer: 'choose', choice: 'a' }, false],
    ['trust', octets('yes'), false],
    ['trust', { answer: 'accept' }, true],
    ['certificate', { answer: 'choose', choice: 'a' }, true],
    ['certificate', { answer: 'choose', choice: 'b' }, false],
    ['certificate', { answer: 'accept' }, false],
  ] as const) {
    const words = answer instanceof Uint8Array ? `${answer.length} octets` : JSON.stringify(answer);
    test(`${kind} answered by ${words}: ${fits ? 'taken' : 'refused, and the question stays'}`, () => {
      const { desk } = make();
      void desk.ask({ ...question(kind), ...(kind === 'certificate' && { choices }) });
      const { id } = desk.list()[0]!;
      assert.equal(
        codeOf(() => desk.answer(id, answer instanceof Uint8Array ? answer.slice() : answer, 0)),
        fits ? undefined : 'AOV-DAEMON-513',
      );
      assert.equal(desk.list().length, fits ? 0 : 1);
      desk.close();
    });
  }
});
