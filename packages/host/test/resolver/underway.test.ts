import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Underway } from '../../src/resolver/underway.ts';

interface Question {
  readonly client: number;
  readonly name: string;
  giveUp(): void;
}

suite('questions under way', () => {
  let gone: string[] = [];
  let number = 0;
  const ask = (client: number, name = `name-${number++}`): Question => ({
    client,
    name,
    giveUp: () => void gone.push(`${client} ${name}`),
  });

  test('when it is full, the one who asks most waits least', () => {
    gone = [];
    const underway = new Underway<Question>(10, 100);
    const mine = ask(7);
    underway.add(mine);
    for (let i = 0; i < 9; i++) underway.add(ask(1, `flood-${i}`));
    assert.deepEqual(gone, []);
    underway.add(ask(8));
    underway.add(ask(1, 'flood-9'));
    underway.add(ask(1, 'flood-10'));
    assert.deepEqual(gone, ['1 flood-0', '1 flood-1', '1 flood-2']);
    assert.equal(underway.size, 10);
    assert.ok(underway.remove(mine));
    assert.ok(!underway.remove(mine));
  });

  test('among equals the oldest makes room', () => {
    gone = [];
    const underway = new Underway<Question>(3, 100);
    for (const client of [1, 2, 3, 4]) underway.add(ask(client, 'x'));
    assert.deepEqual(gone, ['1 x']);
    assert.deepEqual(
      underway.all().map(({ client }) => client),
      [2, 3, 4],
    );
  });

  test('one name over and over is a loop: refused, until its questions are over', () => {
    gone = [];
    const underway = new Underway<Question>(1000, 5);
    const questions = Array.from({ length: 6 }, (_, i) => ask(i, 'loop.example'));
    assert.deepEqual(
      questions.map((question) => underway.add(question)),
      [true, true, true, true, true, false],
    );
    assert.ok(underway.add(ask(1)));
    underway.remove(questions[0]!);
    assert.ok(underway.add(questions[5]!));
    assert.deepEqual(gone, []);
  });
});
