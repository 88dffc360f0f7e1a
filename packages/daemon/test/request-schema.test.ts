import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { DaemonError } from '../src/daemon-error.ts';
import { readPutProfile } from '../src/request-schema.ts';

suite('body of PUT /v1/profiles/:name', () => {
  test('what the contract says is taken', () => {
    const body = { xmlBase64: 'PGE+', credentials: { userName: 'jo', password: 'secret' } };
    assert.deepEqual(readPutProfile(body), body);
    assert.deepEqual(readPutProfile({ xmlBase64: '' }), { xmlBase64: '' });
  });

  const wrong: readonly unknown[] = [
    undefined,
    null,
    [],
    'x',
    {},
    { xmlBase64: 5 },
    { xmlBase64: 'not base64!' },
    { xmlBase64: 'abc' },
    { xmlBase64: 'PGE+', more: 1 },
    { xmlBase64: 'PGE+', credentials: [] },
    { xmlBase64: 'PGE+', credentials: { unknown: 'x' } },
    { xmlBase64: 'PGE+', credentials: { password: '' } },
    { xmlBase64: 'PGE+', credentials: { password: 7 } },
    { xmlBase64: 'PGE+', credentials: { password: 'a\0b' } },
    { xmlBase64: 'PGE+', credentials: { userName: 'a\nb' } },
    { xmlBase64: 'PGE+', credentials: { pkcs12Base64: '*' } },
    JSON.parse('{"xmlBase64":"PGE+","__proto__":{"x":1}}'),
  ];
  for (const body of wrong) {
    test(`${JSON.stringify(body)} is refused`, () => {
      assert.throws(() => readPutProfile(body), { code: 'AOV-DAEMON-513' });
    });
  }

  test('no value whatever makes it do anything else than take or refuse', () => {
    fc.assert(
      fc.property(fc.anything(), (body) => {
        try {
          readPutProfile(body);
        } catch (error) {
          assert.ok(error instanceof DaemonError);
        }
      }),
    );
  });

  test('an error never repeats what was in a secret', () => {
    assert.throws(
      () => readPutProfile({ xmlBase64: 'PGE+', credentials: { password: 'hunter2\0' } }),
      (error: Error) => !error.message.includes('hunter2'),
    );
  });
});
