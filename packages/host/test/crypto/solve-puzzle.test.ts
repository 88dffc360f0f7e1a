import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { suite, test } from 'node:test';
import { encodeUtf8 } from '@aovpn/bytes';
import { createIkeCrypto, solvePuzzle } from '@aovpn/host';

const crypto = createIkeCrypto();
const text = encodeUtf8('a cookie');

suite('puzzles of a gateway under attack (RFC 8019)', () => {
  test('four different keys, whose PRFs end in as many zero bits as were asked for', async () => {
    const solution = await solvePuzzle(crypto, { prf: 5, difficulty: 10 }, text, () => true);
    assert.ok(solution);
    assert.equal(solution.length, 32);
    const keys = [0, 8, 16, 24].map((at) => solution.subarray(at, at + 8));
    assert.equal(new Set(keys.map(String)).size, 4);
    for (const key of keys) {
      const end = createHmac('sha256', key).update(text).digest().readUInt32BE(28);
      assert.equal(end & 0x3ff, 0);
    }
  });

  test('other things go on meanwhile, and it ends when nobody wants it any more', async () => {
    let turns = 0;
    const ticking = setInterval(() => turns++, 1);
    const solution = await solvePuzzle(crypto, { prf: 7, difficulty: 18 }, text, () => turns < 5);
    clearInterval(ticking);
    assert.equal(solution, undefined);
    assert.ok(turns >= 5);
  });
});
