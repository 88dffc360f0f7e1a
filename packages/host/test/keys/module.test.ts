import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { openKeyRing, type KeyRing } from '../../src/keys/key-ring.ts';
import { CKR } from '../../src/keys/pkcs11/constant.ts';
import { acquireModule } from '../../src/keys/pkcs11/module.ts';
import { loadCryptoki } from '../../src/sys/pkcs11.ts';
import { addressOf } from '../../src/sys/libc.ts';
import { softModule, SoftTokens } from './soft-token.ts';

const tokens = new SoftTokens();
after(() => tokens[Symbol.dispose]());
tokens.create('card');

function ringOf(): KeyRing {
  return openKeyRing([{ kind: 'pkcs11', module: softModule, token: 'card' }]);
}

/** C_GetSlotList, which says whether the module is initialised. */
function state(): number {
  const count = new BigUint64Array(1);
  const result = loadCryptoki(softModule).call('C_GetSlotList', 1, 0, addressOf(count));
  return count[0]! >= 0n ? result : 0;
}

suite('a PKCS#11 module is shared by the whole process', () => {
  test('whoever wants it while it is being closed gets it open', async () => {
    const before = await acquireModule(softModule);
    // A card that still has much to do: C_Finalize comes after it.
    const [slot = 0] = await before.cryptoki.slots();
    const busy = Array.from({ length: 500 }, () => before.cryptoki.tokenInfo(slot));
    const closed = before.release();
    const next = await acquireModule(softModule);
    await Promise.all([closed, ...busy]);
    assert.equal(state(), CKR.OK);
    await next.cryptoki.slots();
    await next.release();
    assert.equal(state(), CKR.CRYPTOKI_NOT_INITIALIZED);
  });

  test('a ring that is closed while another opens', async () => {
    const first = ringOf();
    await first.candidates();
    const second = ringOf();
    await Promise.all([first.close(), second.candidates()]);
    assert.deepEqual(second.problems(), []);
    await second.close();
  });

  test('looking twice at once takes it once; closing lets go of it', async () => {
    const ring = ringOf();
    await Promise.all([ring.candidates(), ring.candidates()]);
    assert.equal(state(), CKR.OK);
    await ring.close();
    assert.equal(state(), CKR.CRYPTOKI_NOT_INITIALIZED);
  });
});
