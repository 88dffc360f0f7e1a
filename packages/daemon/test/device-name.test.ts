import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { deviceNameOf } from '../src/device-name.ts';

const namesOf = (all: readonly string[]): string[] => all.map((name) => deviceNameOf(name, all));

suite('the name of a tunnel’s device', () => {
  test('recognisable, and at most 15 characters of any name', () => {
    for (const name of ['Corp', 'Contoso Always On VPN', '会社', 'a', '-', 'ÄÖÜ', 'x'.repeat(100)])
      assert.match(deviceNameOf(name, [name]), /^aov-[a-z0-9-]{1,11}$/);
    assert.equal(deviceNameOf('Corp', ['Corp']), 'aov-corp');
    assert.match(deviceNameOf('Contoso Always On VPN', []), /^aov-contos-[0-9a-f]{4}$/);
  });

  test('names that differ in case, in what no device can be called, or late have devices of their own', () => {
    const all = [
      'Corp',
      'corp',
      'CORP',
      'corp!',
      'c.o',
      'c-o',
      'c o',
      '会社',
      '公司',
      `${'x'.repeat(20)}1`,
      `${'x'.repeat(20)}2`,
      'alice/corp',
    ];
    assert.equal(new Set(namesOf(all)).size, all.length);
  });

  test('whoever calls his profile like the device of another gets neither it nor in its way', () => {
    const [long] = namesOf(['Contoso Always On VPN']);
    const thief = long!.slice('aov-'.length);
    const all = ['Contoso Always On VPN', thief, thief.toUpperCase()];
    assert.equal(new Set(namesOf(all)).size, all.length);
  });

  test('hundreds of names with one beginning', () => {
    const all = Array.from({ length: 150 }, (_, i) => `Contoso Always On VPN ${i}`);
    assert.equal(new Set(namesOf(all)).size, all.length);
  });
});
