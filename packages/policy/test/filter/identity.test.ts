import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { readSidMappings } from '../../src/index.ts';
import { allowedUsers, compileAccess } from '../../src/filter/compile-access.ts';

const range = (from: number, to = from) => ({ from, to });
const facts = new Map([
  ['S-1-5-21-1-1', { users: [range(1001)], groups: [] }],
  ['S-1-5-21-1-2', { users: [range(1000, 1999), range(2000)], groups: [range(100)] }],
]);

suite('SIDs as users and groups', () => {
  test('a mapping file: ids, ranges and names', () => {
    const { mappings, faults } = readSidMappings({
      sid: [
        { sid: 's-1-5-21-7-512', users: [0, '1000-1999', 'alice'], groups: ['vpn users', 27], comment: 'admins' },
        { sid: 'DU', groups: ['domain^users'] },
      ],
    });
    assert.deepEqual(faults, []);
    assert.deepEqual(mappings, [
      {
        sid: 'S-1-5-21-7-512',
        users: [range(0), range(1000, 1999)],
        userNames: ['alice'],
        groups: [range(27)],
        groupNames: ['vpn users'],
      },
      { sid: 'DU', users: [], userNames: [], groups: [], groupNames: ['domain^users'] },
    ]);
  });

  test('an entry with a fault leaves its SID unknown', () => {
    for (const entry of [
      7,
      { users: [1] },
      { sid: 'alice' },
      { sid: 'S-1-5-7', user: [1] },
      { sid: 'S-1-5-7', users: [-1] },
      { sid: 'S-1-5-7', users: [1.5] },
      { sid: 'S-1-5-7', users: ['9-1'] },
      { sid: 'S-1-5-7', users: [4294967295] },
      { sid: 'S-1-5-7', groups: 'all' },
    ])
      assert.deepEqual(
        [readSidMappings({ sid: [entry] }).mappings.length, readSidMappings({ sid: [entry] }).faults.length],
        [0, 1],
      );
  });

  test('what nobody knows grants nothing, and where it is denied nothing is granted', () => {
    const access = (...entries: [boolean, string][]) =>
      compileAccess(
        entries.map(([allow, sid]) => ({ allow, sid })),
        facts,
      );
    assert.deepEqual(access([true, 'S-1-5-21-9-9']), { entries: undefined, unknown: ['S-1-5-21-9-9'] });
    assert.equal(access([true, 'S-1-5-21-9-9'], [true, 'S-1-5-21-1-1']).entries?.length, 1);
    assert.equal(access([false, 'S-1-5-21-9-9'], [true, 'S-1-1-0']).entries, undefined);
    assert.equal(access([false, 'S-1-5-21-1-1']).entries, undefined);
  });

  test('users that a list allows: the first entry that fits decides', () => {
    const { entries } = compileAccess(
      [
        { allow: false, sid: 'S-1-5-21-1-1' },
        { allow: true, sid: 'S-1-5-21-1-2' },
      ],
      facts,
    );
    assert.deepEqual(allowedUsers(entries!), [range(1000), range(1002, 2000)]);
  });
});
