import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Attendance } from '../src/attendance.ts';

suite('who could answer a question', () => {
  const make = (configured = false) => {
    const arrived: number[] = [];
    const owners = new Map([
      ['alice/Corp', 1001],
      ['bob/Corp', 1002],
    ]);
    const attendance = new Attendance(
      () => configured,
      () => arrived.push(attendance.arrivals),
      (name) => owners.get(name),
    );
    return { attendance, arrived };
  };
  const names = ['Corp', 'alice/Corp', 'bob/Corp'] as const;

  test('a user who watches counts for their own connections, and no longer than they watch', () => {
    const { attendance, arrived } = make();
    const leave = attendance.watch(1001);
    const again = attendance.watch(1001);
    assert.deepEqual(
      names.map((name) => attendance.isAttended(name)),
      [false, true, false],
    );
    assert.deepEqual(arrived, [1], 'the second one changes nothing');
    leave();
    leave();
    assert.ok(attendance.isAttended('alice/Corp'));
    again();
    assert.ok(!attendance.isAttended('alice/Corp'));
    attendance.watch(1001);
    assert.deepEqual(arrived, [1, 2]);
  });

  test('whoever may answer everything counts for all, and so do people whom the settings name', () => {
    const { attendance, arrived } = make();
    attendance.watch(1001);
    const leave = attendance.watch();
    assert.ok(names.every((name) => attendance.isAttended(name)));
    assert.equal(arrived.length, 2);
    leave();
    assert.ok(!attendance.isAttended('bob/Corp'));
    const named = make(true);
    assert.ok(names.every((name) => named.attendance.isAttended(name)));
    named.attendance.watch();
    assert.deepEqual(named.arrived, []);
  });
});
