import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { concat, fromHex, toHex } from '@aovpn/bytes';
import { emptyReassembly, openDatagram, sealMessage, type Payload } from '@aovpn/ike';
import { intermediateOctetsOf } from '../../src/message/intermediate-octets.ts';
import { allSuites, crypto, keysFor } from './sample.ts';

const header = {
  spiI: fromHex('0102030405060708'),
  spiR: fromHex('1112131415161718'),
  exchange: 43,
  fromInitiator: true,
  response: false,
  messageId: 1,
};
const payloads: readonly Payload[] = [{ kind: 'KE', group: 36, data: new Uint8Array(1184).fill(7) }];

// RFC 9242 §3.3.2
suite('what AUTH covers of IKE_INTERMEDIATE', () => {
  test('lengths and next payload are as if nothing were encrypted', () => {
    // 28 octets of header, 4 of the SK payload's, 1192 of KE: 0x4c8 in all, 0x4ac of the payload.
    const expected = concat(
      fromHex('010203040506070811121314151617182e202b0800000001000004c8'),
      fromHex('220004ac'),
      fromHex('000004a800240000'),
      new Uint8Array(1184).fill(7),
    );
    assert.equal(toHex(intermediateOctetsOf({ header, payloads })), toHex(expected));
  });

  for (const suite of allSuites) {
    test(`encr ${suite.encr}, ${suite.keyBits} bits: whole or in fragments, the receiver comes to the same octets`, () => {
      const keys = keysFor(suite);
      for (const fragmentSize of [undefined, 600]) {
        let reassembly = emptyReassembly;
        let authenticated: Uint8Array | undefined;
        for (const datagram of sealMessage(crypto, suite, keys, { header, payloads }, fragmentSize)) {
          const outcome = openDatagram(crypto, datagram, { suite, keys, reassembly });
          assert.ok(outcome.kind === 'message' || outcome.kind === 'partial');
          ({ reassembly } = outcome);
          if (outcome.kind === 'message') ({ authenticated } = outcome);
        }
        assert.equal(toHex(authenticated!), toHex(intermediateOctetsOf({ header, payloads })));
      }
    });
  }
});
