import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeUtf8 } from '@aovpn/bytes';
import { notify } from '../../src/machine/pick.ts';
import { encodeMessage } from '../../src/message/encode.ts';
import type { Payload } from '../../src/message/payload.ts';
import { established, talk, type Pair } from '../../testkit/conversation.ts';
import { crashAnswer } from '../../testkit/responder-memory.ts';
import { certificateConfig } from '../../testkit/world.ts';

const crashSecret = encodeUtf8('what the gateway keeps across restarts');

/** What a gateway that knows nothing of the SA answers, in the clear. */
function show({ client, responder }: Pair, payloads: readonly Payload[], messageId = 7): void {
  const { spiI, spiR } = responder.current;
  const header = { spiI, spiR, exchange: 37, fromInitiator: false, response: true, messageId };
  client.receive(encodeMessage({ header, payloads }));
}

suite('quick crash detection, taking tokens (RFC 6290)', () => {
  /*
   *                     <-- IKE_AUTH SK { IDr, …, N(QUICK_CRASH_DETECTION) }
   * anything -->        <-- HDR { N(INVALID_IKE_SPI), N(QUICK_CRASH_DETECTION) }
   */
  test('the token of the SA: it is to be replaced at once, and once', () => {
    const pair = established(certificateConfig, { crashSecret });
    const proof = crashAnswer(pair.responderCrypto, pair.responder.current, crashSecret);
    show(pair, proof);
    assert.deepEqual(
      pair.client.actions.filter(({ kind }) => kind === 'replace'),
      [{ kind: 'replace', why: 'crash' }],
    );
    show(pair, proof);
    assert.equal(pair.client.count('replace'), 1);
    assert.equal(pair.client.phase, 'open', 'the old one stays until the new one is there');
  });

  test('another token, a shorter one, or none, is the hint that it always was', () => {
    const pair = established(certificateConfig, { crashSecret });
    const wrong = crashAnswer(pair.responderCrypto, pair.responder.current, encodeUtf8('somebody else'));
    for (const payloads of [wrong, [notify(4), notify(16419, new Uint8Array(16))], [notify(4), notify(16419)], [notify(4)]])
      show(pair, payloads);
    assert.equal(pair.client.count('replace'), 0);
  });

  test('a gateway that hands out no token cannot be played by anybody', () => {
    const pair = established();
    show(pair, [notify(4), notify(16419)]);
    show(pair, crashAnswer(pair.responderCrypto, pair.responder.current, crashSecret));
    assert.equal(pair.client.count('replace'), 0);
  });

  test('tokens of no allowed length are not kept (RFC 6290 §4.1)', () => {
    for (const length of [15, 129]) {
      const token = notify(16419, new Uint8Array(length));
      const pair = established(certificateConfig, {
        impair: (payloads, { header }) => (header.exchange === 35 ? [...payloads, token] : payloads),
      });
      show(pair, [notify(4), token]);
      assert.equal(pair.client.count('replace'), 0);
    }
  });

  test('after a rekey of the IKE SA the new one has a token of its own', () => {
    const pair = established(certificateConfig, { crashSecret });
    const before = pair.responder.current;
    pair.client.step({ kind: 'rekey-ike' });
    talk(pair);
    assert.notDeepEqual(pair.responder.current.spiI, before.spiI);
    show(pair, crashAnswer(pair.responderCrypto, before, crashSecret));
    assert.equal(pair.client.count('replace'), 0, 'the token of the old one');
    show(pair, crashAnswer(pair.responderCrypto, pair.responder.current, crashSecret));
    assert.equal(pair.client.count('replace'), 1);
  });
});
