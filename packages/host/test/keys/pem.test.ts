import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { suite, test } from 'node:test';
import { readPrivateKey } from '../../src/keys/certificate-file.ts';
import { readPemBlocks } from '../../src/keys/pem.ts';

suite('a private key in PEM', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const der = privateKey.export({ type: 'pkcs8', format: 'der' });

  test('leaves nothing in the memory that all small Buffers share', () => {
    const pools = [Buffer.from('before').buffer];
    assert.equal(Buffer.compare(readPemBlocks(pem)[0]!.der, der), 0);
    readPrivateKey(new TextEncoder().encode(pem), 'key.pem');
    pools.push(Buffer.from('after').buffer);
    for (const pool of pools) assert.ok(!Buffer.from(pool).includes(der.subarray(40)));
  });
});
