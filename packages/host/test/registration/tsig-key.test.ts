import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseTsigKey, signMessage, verifyAnswer } from '../../src/registration/tsig.ts';
import { encodeQuery } from '../../src/registration/update-message.ts';

suite('TSIG keys', () => {
  test('what tsig-keygen writes, comments, and secrets that look like comments', () => {
    const secret = 'AA//BBBB/ACC//DDDDEE+FFFF///GGGG';
    const key = parseTsigKey(
      `# made on Monday\nkey "Laptop.Corp.Example." { // ours\n\talgorithm HMAC-SHA512; /* strong */\n\tsecret "${secret}";\n};\n`,
    );
    assert.ok(typeof key !== 'string', 'a key');
    assert.deepEqual(
      [key.name, key.algorithm, Buffer.from(key.secret).toString('base64')],
      ['laptop.corp.example', 'hmac-sha512', secret],
    );
    const bare = parseTsigKey('key laptop { secret AAAAAAAAAAAAAAAAAAAAAAAA; algorithm hmac-sha256; };');
    assert.ok(typeof bare !== 'string' && bare.secret.length === 18, 'a key');
  });

  test('what is wrong is said without the secret', () => {
    for (const text of [
      '',
      'secret',
      'key "a" { algorithm hmac-md5; secret "AAAAAAAAAAAAAAAAAAAAAAAA"; };',
      'key "a" { algorithm hmac-sha256; secret "geheim!geheim!geheim!"; };',
      'key "a" { algorithm hmac-sha256; secret "AAAA"; };',
      'key "a" { algorithm hmac-sha256; secret "AAAAAAAAAAAAAAAAAAAAAAAA"; }; key "b" { };',
    ]) {
      const said = parseTsigKey(text);
      assert.equal(typeof said, 'string', text);
      assert.doesNotMatch(said as string, /geheim|AAAA/);
    }
  });

  test('an answer signed with our own words, shifted by a bit anywhere, is not believed', () => {
    const key = parseTsigKey(`key "k" { algorithm hmac-sha256; secret "${'A'.repeat(44)}"; };`);
    assert.ok(typeof key !== 'string');
    const now = 1_700_000_000;
    const requestMac = new Uint8Array(32).fill(7);
    // What a server would send whose signature covers no request: refused, since ours has to be in it.
    const question = encodeQuery(0x1234, 'corp.example', 6);
    question[2] = 0xa8;
    const { message } = signMessage(question, key, now);
    assert.deepEqual(verifyAnswer(message, requestMac, key, now).ok, false);
    for (let i = 0; i < message.length; i++) {
      const verdict = verifyAnswer(message.with(i, message[i]! ^ 1), requestMac, key, now);
      assert.equal(verdict.ok, false, `octet ${i}`);
    }
  });
});
