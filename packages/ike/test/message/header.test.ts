import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat, fromHex, toHex } from '@aovpn/bytes';
import { decodeHeader, encodeMessage, nameOfExchange, PayloadType } from '@aovpn/ike';

const golden = fromHex('0102030405060708 1112131415161718 2b 20 22 08 00000007 00000021 00 00 0005 4d'.replaceAll(' ', ''));

test('the fixed header, golden to value and back', () => {
  assert.deepEqual(decodeHeader(golden), {
    spiI: fromHex('0102030405060708'),
    spiR: fromHex('1112131415161718'),
    nextPayload: PayloadType.V,
    exchange: 34,
    fromInitiator: true,
    response: false,
    messageId: 7,
    length: 33,
  });
  const { nextPayload: _, length: __, ...header } = decodeHeader(golden)!;
  assert.equal(toHex(encodeMessage({ header, payloads: [{ kind: 'V', data: Uint8Array.of(0x4d) }] })), toHex(golden));
  assert.equal(nameOfExchange(34), 'IKE_SA_INIT');
});

test('no header: too short, a wrong length, another major version, no SPI of the initiator', () => {
  for (let length = 0; length < golden.length; length++) assert.equal(decodeHeader(golden.subarray(0, length)), undefined);
  assert.equal(decodeHeader(concat(golden, Uint8Array.of(0))), undefined);
  const changed = (at: number, value: number): Uint8Array => {
    const copy = Uint8Array.from(golden);
    copy[at] = value;
    return copy;
  };
  assert.equal(decodeHeader(changed(17, 0x10)), undefined, 'IKEv1');
  assert.equal(decodeHeader(changed(17, 0x30)), undefined, 'version 3');
  assert.equal(decodeHeader(changed(24, 0xff)), undefined, 'a length of 4 GB');
  assert.equal(decodeHeader(concat(new Uint8Array(8), golden.subarray(8))), undefined);
});

test('the minor version and reserved flags do not matter', () => {
  const copy = Uint8Array.from(golden);
  copy[17] = 0x2f;
  copy[19] = 0xd7 | 0x08;
  const header = decodeHeader(copy);
  assert.deepEqual([header?.fromInitiator, header?.response], [true, false]);
});

test('message IDs are unsigned', () => {
  const copy = Uint8Array.from(golden);
  copy.fill(0xff, 20, 24);
  assert.equal(decodeHeader(copy)?.messageId, 0xffffffff);
});

test('SPIs of other lengths are our own mistake', () => {
  const header = {
    spiI: new Uint8Array(4),
    spiR: new Uint8Array(8),
    exchange: 34,
    fromInitiator: true,
    response: false,
    messageId: 0,
  };
  assert.throws(() => encodeMessage({ header, payloads: [] }), RangeError);
});
