import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, suite, test } from 'node:test';
import { markProgram } from '../../src/bpf/mark-program.ts';
import { openSocketMarks } from '../../src/bpf/socket-mark.ts';
import { HostError } from '../../src/host-error.ts';
import { loadSocketProgram } from '../../src/sys/bpf.ts';
import { SysError } from '../../src/sys/index.ts';
import { makeAppFixture, skipWithoutRoot, type AppFixture } from '../apps/app-fixture.ts';

suite('mark program', () => {
  test('six instructions, as the kernel’s assembler would write them', () => {
    const words = Buffer.from(markProgram(0x03000000, 0x0f000000)).toString('hex').match(/.{16}/g);
    // r2 = *(u32 *)(r1 + 16); w2 &= ~mask; w2 |= mark; *(u32 *)(r1 + 16) = r2; r0 = 1; exit. (RFC 9669, little-endian.)
    assert.deepEqual(words, [
      '6112100000000000',
      '54020000fffffff0',
      '4402000000000003',
      '6321100000000000',
      'b700000001000000',
      '9500000000000000',
    ]);
  });

  test('a mark beside its mask is refused', () => {
    for (const [mark, mask] of [
      [0x10, 0x0f],
      [-1, 0xff],
      [1.5, 0xff],
    ] as const)
      assert.throws(() => markProgram(mark, mask), TypeError);
  });
});

suite('socket marks', { skip: skipWithoutRoot, concurrency: 1 }, () => {
  let fixture: AppFixture;
  before(() => {
    fixture = makeAppFixture();
  });
  after(() => fixture?.remove());

  /** The mark of a fresh socket of a process in the app's cgroup; SOL_SOCKET 1, SO_MARK 36. */
  const markIn = (key: string, code = ''): number => {
    const join = `open F,">","${fixture.cgroups.path}/${key}/cgroup.procs" or die;print F $$;close F;`;
    const read = `socket(S,2,2,17);${code}print unpack("L",getsockopt(S,1,36))`;
    return Number(execFileSync('/usr/bin/perl', ['-e', join + read], { encoding: 'utf8' }));
  };

  test('attached without a bpf file system: set, changed, taken away', () => {
    const marks = openSocketMarks(fixture.cgroups, false);
    const cgroup = fixture.cgroups.ensure('marked');
    assert.equal(markIn('marked'), 0);
    marks.set(cgroup, { mark: 0x03000000, mask: 0x0f000000 });
    assert.equal(markIn('marked'), 0x03000000);
    marks.set(cgroup, { mark: 0x0f000000, mask: 0x0f000000 });
    assert.equal(markIn('marked'), 0x0f000000);
    assert.equal(marks.isSet(cgroup, { mark: 0x0f000000, mask: 0x0f000000 }), true);
    assert.equal(marks.isSet(cgroup, { mark: 0x03000000, mask: 0x0f000000 }), false);
    fixture.cgroups.ensure('unmarked');
    assert.equal(markIn('unmarked'), 0, 'another app');
    marks.remove('marked');
    assert.equal(markIn('marked'), 0);
    marks.remove('marked');
    marks.remove('never-there');
  });

  test('a program that the verifier does not take is an error with its reason', () => {
    assert.throws(() => loadSocketProgram(Uint8Array.of(0x95, 0, 0, 0, 0, 0, 0, 0), 'bad'), SysError);
    const marks = openSocketMarks(fixture.cgroups, false);
    const cgroup = fixture.cgroups.ensure('gone');
    fixture.cgroups.remove('gone');
    assert.throws(
      () => marks.set(cgroup, { mark: 1, mask: 1 }),
      (error) => error instanceof HostError && error.code === 'AOV-HOST-601',
    );
    assert.equal(marks.isSet(cgroup, { mark: 1, mask: 1 }), false);
  });
});
