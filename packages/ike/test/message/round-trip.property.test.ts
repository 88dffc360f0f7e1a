import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { emptyReassembly, encodeMessage, openDatagram, sealMessage } from '@aovpn/ike';
import * as arbitrary from './arbitrary.ts';
import { allSuites, crypto, keysFor } from './sample.ts';

test('any message: sealed, perhaps in fragments, and opened again it is the same', () => {
  const size = fc.option(fc.integer({ min: 150, max: 1500 }), { nil: undefined });
  fc.assert(
    fc.property(arbitrary.message, fc.constantFrom(...allSuites), size, (message, suite, fragmentSize) => {
      const keys = keysFor(suite);
      let reassembly = emptyReassembly;
      const sealed = sealMessage(crypto, suite, keys, message, fragmentSize);
      for (const [i, datagram] of sealed.entries()) {
        const outcome = openDatagram(crypto, datagram, { suite, keys, reassembly });
        if (i < sealed.length - 1) {
          assert.ok(outcome.kind === 'partial');
          reassembly = outcome.reassembly;
        } else assert.deepEqual(outcome, { kind: 'message', message, protected: true, reassembly: emptyReassembly });
      }
    }),
    { numRuns: 300 },
  );
});

test('any IKE_SA_INIT: written and read again it is the same; cut anywhere it is ignored', () => {
  fc.assert(
    fc.property(arbitrary.message, fc.nat(), (message, at) => {
      const init = { ...message, header: { ...message.header, exchange: 34 } };
      const datagram = encodeMessage(init);
      const buffer = Buffer.from(datagram);
      const outcome = openDatagram(crypto, buffer, { reassembly: emptyReassembly });
      // The host may use its buffer again.
      buffer.fill(0);
      assert.deepEqual(outcome.kind === 'message' && outcome.message, init);
      const cut = openDatagram(crypto, datagram.subarray(0, at % datagram.length), { reassembly: emptyReassembly });
      assert.equal(cut.kind, 'ignore');
    }),
    { numRuns: 300 },
  );
});
