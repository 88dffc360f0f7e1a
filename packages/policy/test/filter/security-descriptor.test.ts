import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseSecurityDescriptor } from '../../src/filter/security-descriptor.ts';

const sid = 'S-1-5-21-1004336348-1177238915-682003330-512';

suite('security descriptors of Claims', () => {
  test('owner, group and list, in the order written', () => {
    assert.deepEqual(parseSecurityDescriptor(`O:SYG:SYD:(D;;CC;;;BG)(A;;CC;;;${sid})`), [
      { allow: false, sid: 'S-1-5-32-546' },
      { allow: true, sid },
    ]);
    assert.deepEqual(parseSecurityDescriptor(`O:LSD:(A;;CC;;;${sid.toLowerCase()})`), [{ allow: true, sid }]);
    assert.deepEqual(parseSecurityDescriptor(`D:PAI(A;;CC;;;DU)`), [{ allow: true, sid: 'DU' }]);
  });

  test('only entries about the right to match count', () => {
    assert.deepEqual(parseSecurityDescriptor(`D:(A;;WP;;;WD)(A;;LCCC;;;${sid})`), [{ allow: true, sid }]);
    assert.deepEqual(parseSecurityDescriptor(`D:(A;;0x1;;;WD)`), [{ allow: true, sid: 'S-1-1-0' }]);
    assert.deepEqual(parseSecurityDescriptor(`D:(A;;GA;;;WD)`), [{ allow: true, sid: 'S-1-1-0' }]);
    assert.deepEqual(parseSecurityDescriptor(`D:(D;CIIO;CC;;;WD)(A;;CC;;;${sid})`), [{ allow: true, sid }], 'inherit only');
  });

  for (const [text, wrong] of [
    ['', 'there is no D: part'],
    ['O:SYG:SY', 'there is no D: part'],
    ['nonsense', 'there is no O:, G: or D:'],
    ['D:', 'no entry allows CC'],
    ['D:(D;;CC;;;WD)', 'no entry allows CC'],
    ['D:(A;;WP;;;WD)', 'no entry allows CC'],
    ['D:(A;;0x2;;;WD)', 'no entry allows CC'],
    ['D:NO_ACCESS_CONTROL', 'names nobody'],
    ['D:(A;;CC;;WD)', '5 fields'],
    ['D:(A;;CC;;;WD', 'no end'],
    ['D:(A;;CC;;;S-1)', 'is not a SID'],
    ['D:(A;;CC;;;QQ)', 'is not a SID'],
    ['D:(A;;CQ;;;WD)', 'rights'],
    ['D:(A;;;;;WD)', 'rights'],
    ['D:(A;XX;CC;;;WD)', 'flags'],
    ['D:(OA;;CC;bf967aba-0de6-11d0-a285-00aa003049e2;;WD)', 'type'],
    ['D:(XA;;CC;;;WD;(@User.Title=="PM"))', 'conditions'],
    ['D:(A;;CC;;;WD)D:(A;;CC;;;WD)', 'twice'],
    ['D:(A;;CC;;;WD)S:(AU;SA;CC;;;WD)', 'auditing'],
    ['D:(A;;CC;;;WD)rest', 'no O:, G: or D:'],
    [`D:${'(A;;CC;;;WD)'.repeat(1001)}`, 'more than 1000 entries'],
    ['D:'.padEnd(70_000, '('), 'characters'],
  ] as const) {
    test(`refused: ${text.slice(0, 50)}`, () => {
      const read = parseSecurityDescriptor(text);
      assert.ok('wrong' in read, JSON.stringify(read).slice(0, 200));
      assert.ok(read.wrong.includes(wrong), read.wrong);
    });
  }
});
