import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { ExecTable, maxFiles, ringRows, slotFlag, type TableFile } from '../../src/apps/exec-table.ts';
import type { FileIdentity } from '../../src/sys/file-identity.ts';

const identity: fc.Arbitrary<FileIdentity> = fc.record({
  devMajor: fc.nat(0xfff),
  devMinor: fc.nat(0xfffff),
  ino: fc.oneof(fc.bigInt(1n, 2n ** 64n - 1n), fc.bigInt(1n, 1000n)),
});

function look(table: ExecTable, { devMajor, devMinor, ino }: FileIdentity): number {
  return table.look(devMajor, devMinor, Number(BigInt.asIntN(32, ino)), Number(BigInt.asIntN(32, ino >> 32n)));
}

const keyOf = ({ devMajor, devMinor, ino }: FileIdentity): string => `${devMajor} ${devMinor} ${ino}`;

suite('table of watched files', () => {
  test('finds what is in it, and nothing else', () => {
    const table = new ExecTable();
    fc.assert(
      fc.property(fc.array(identity, { maxLength: 200 }), fc.array(identity, { maxLength: 20 }), (inside, outside) => {
        const files = new Map(inside.map((file, slot) => [keyOf(file), { file, slot: slot % 500 }]));
        table.write([...files.values()]);
        for (const { file, slot } of files.values()) assert.equal(look(table, file), slot);
        for (const file of outside) assert.equal(look(table, file), files.get(keyOf(file))?.slot ?? -1);
      }),
      { numRuns: 50 },
    );
  });

  test('full, and no fuller', () => {
    const table = new ExecTable();
    const files = Array.from({ length: maxFiles }, (_, i): TableFile => ({
      file: { devMajor: 8, devMinor: 1, ino: BigInt(i + 1) },
      slot: i % 512,
    }));
    table.write(files);
    for (const { file, slot } of files) assert.equal(look(table, file), slot);
    assert.throws(() => table.write([...files, files[0]!]), RangeError);
    assert.equal(look(table, files[0]!.file), 0, 'what was there is still in force');
    table.write([]);
    assert.equal(look(table, files[0]!.file), -1);
  });

  test('a script knows its interpreter', () => {
    const table = new ExecTable();
    const script = { devMajor: 8, devMinor: 1, ino: 5n };
    const interpreter = { devMajor: 8, devMinor: 2, ino: 2n ** 40n + 7n };
    table.write([
      { file: script, slot: 1, interpreter },
      { file: interpreter, slot: 2 },
    ]);
    assert.equal(look(table, script), 1);
    assert.deepEqual(
      [0, 1, 2, 3].map((i) => table.nextAt(i)),
      [8, 2, 7, 256],
    );
    assert.equal(look(table, interpreter), 2);
    assert.deepEqual(
      [0, 1, 2, 3].map((i) => table.nextAt(i)),
      [0, 0, 0, 0],
    );
  });

  test('starts are told once, the oldest forgotten when there are too many', () => {
    const table = new ExecTable();
    table.record(7, 1, 0);
    table.record(8, 2, 19);
    const { starts, upTo } = table.startsSince(0);
    assert.deepEqual(starts, [
      { pid: 7, slot: 1, errno: 0 },
      { pid: 8, slot: 2, errno: 19 },
    ]);
    assert.deepEqual(table.startsSince(upTo).starts, []);
    for (let pid = 0; pid < ringRows + 10; pid++) table.record(pid, 0, 0);
    const late = table.startsSince(upTo).starts;
    assert.equal(late.length, ringRows);
    assert.deepEqual([late[0]!.pid, late.at(-1)!.pid], [10, ringRows + 9]);
  });

  test('flags of one app are its own', () => {
    const table = new ExecTable();
    table.setFlag(3, slotFlag.hold, true);
    table.setFlag(3, slotFlag.tell, true);
    table.setFlag(3, slotFlag.hold, false);
    assert.deepEqual(
      [2, 3, 4].map((slot) => table.flags(slot)),
      [0, slotFlag.tell, 0],
    );
  });
});
