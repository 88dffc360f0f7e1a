import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddress, parseAddress } from '@aovpn/bytes';
import { espTransform } from '@aovpn/esp';
import { encodeMessage } from '../../src/network/rtnetlink.ts';
import { algorithmAttributes } from '../../src/xfrm/xfrm-algorithm.ts';
import {
  decodeEndedState,
  decodeExpire,
  decodeState,
  deletePolicy,
  deleteState,
  newState,
  type NewState,
  replayState,
  sequencesOf,
} from '../../src/xfrm/xfrm-message.ts';
import { isOurTag, readTag } from '../../src/xfrm/tunnel-tag.ts';
import { ourNumbers } from '../../src/xfrm/xfrm-number.ts';

const tag = { by: 'interface', id: ourNumbers.first } as const;
const wanted: NewState = {
  source: parseAddress('192.0.2.1')!,
  sourcePort: 4500,
  destination: parseAddress('192.0.2.2')!,
  destinationPort: 4501,
  spi: 0xc0ffee01,
  tag,
  mark: 7,
  copyDscp: false,
  esn: true,
  softBytes: 1000,
  softPackets: undefined,
  algorithms: [],
  replay: replayState(),
};
const request = newState(wanted);
const body = encodeMessage(request.type, 0, 1, request.fixed, request.attributes).subarray(16);

// The kernel itself is asked in the kernel lane; this holds the layout of <linux/xfrm.h>.
suite('messages of the kernel’s IPsec', () => {
  test('an SA is read as it was written', () => {
    assert.deepEqual(
      [request.fixed.length, deleteState({ destination: parseAddress('fd00::1')!, spi: 1, tag }).fixed.length],
      [224, 24],
    );
    const state = decodeState(body)!;
    assert.equal(formatAddress(state.destination), '192.0.2.2');
    assert.deepEqual([state.spi, state.tag, state.bytes, state.packets], [0xc0ffee01, tag, 0, 0]);
    assert.ok(isOurTag(state.tag) && !isOurTag({ ...tag, id: 4 }) && !isOurTag(undefined));
  });

  test('by a mark: the kernel is asked with it, all its bits count, and it is ours only then', () => {
    const byMark = { by: 'mark', id: ourNumbers.first } as const;
    const mark = Uint8Array.of(1, 0, 0x76, 0x61, 0xff, 0xff, 0xff, 0xff);
    const state = { destination: parseAddress('192.0.2.2')!, spi: 1 };
    assert.deepEqual(deleteState({ ...state, tag: byMark }).attributes, [[21, mark]]);
    assert.deepEqual(deleteState({ ...state, tag }).attributes, []);
    const policy = { direction: 'in', family: 4, inner: undefined } as const;
    assert.deepEqual(deletePolicy({ ...policy, tag: byMark }).attributes, [[21, mark]]);
    const marked = newState({ ...wanted, tag: byMark });
    const octets = encodeMessage(marked.type, 0, 1, marked.fixed, marked.attributes).subarray(16);
    assert.deepEqual(decodeState(octets)!.tag, byMark);
    assert.ok(isOurTag(byMark));
    // Somebody else's, which happens to have our number in some of its bits.
    mark[7] = 0;
    assert.equal(readTag(new Map([[21, mark]])), undefined);
  });

  test('the DSCP of inner packets stays inside, unless the setting says otherwise', () => {
    const flags = ({ attributes }: typeof request) => attributes.find(([type]) => type === 24)?.[1];
    assert.deepEqual(flags(request), Uint8Array.of(1, 0, 0, 0));
    assert.equal(flags(newState({ ...wanted, copyDscp: true })), undefined);
  });

  test('an expiry says which SA, and whether it is gone', () => {
    const expire = new Uint8Array(232);
    expire.set(request.fixed);
    assert.equal(decodeExpire(expire)!.hard, false);
    expire[224] = 1;
    assert.deepEqual([decodeExpire(expire)!.hard, decodeExpire(expire)!.state.spi], [true, 0xc0ffee01]);
    assert.equal(decodeExpire(expire.subarray(0, 100)), undefined);
  });

  test('the last words of an SA say where its numbers ended, in both halves', () => {
    const replay = replayState();
    const view = new DataView(replay.buffer);
    view.setUint32(4, 0xffff_ff00, true);
    view.setUint32(12, 2, true);
    // As the kernel tells it: who it was, then the state as an attribute beside the others.
    const { fixed } = deleteState({ destination: parseAddress('192.0.2.2')!, spi: 0xc0ffee01, tag });
    const told = encodeMessage(17, 0, 1, fixed, [
      ...request.attributes.filter(([type]) => type !== 23),
      [23, replay],
      [6, request.fixed],
    ]);
    const ended = decodeEndedState(told.subarray(16))!;
    assert.deepEqual([ended.spi, ended.tag], [0xc0ffee01, tag]);
    assert.equal(sequencesOf(ended.attributes.get(23)).sent, 2 * 2 ** 32 + 0xffff_ff00);
    assert.equal(decodeEndedState(encodeMessage(17, 0, 1, fixed, []).subarray(16)), undefined);
    assert.deepEqual(sequencesOf(undefined), { sent: 0, received: 0 });
  });

  test('algorithms have the kernel’s names, with lengths in bits: an AEAD with its salt, an HMAC with its truncation', () => {
    const keys = { encryptionKey: new Uint8Array(36).fill(1), integrityKey: new Uint8Array(32).fill(2) };
    const text = (octets: Uint8Array): string => new TextDecoder().decode(octets.subarray(0, 64)).replace(/\0.*/s, '');
    const bits = (octets: Uint8Array, at: number): number => new DataView(octets.buffer).getUint32(at, true);
    const [aead] = algorithmAttributes(espTransform({ encr: 20, keyBits: 256, integ: 0 })!, keys);
    assert.deepEqual([aead![0], text(aead![1]), bits(aead![1], 64), bits(aead![1], 68)], [18, 'rfc4106(gcm(aes))', 288, 128]);
    const [crypt, auth] = algorithmAttributes(espTransform({ encr: 12, keyBits: 256, integ: 12 })!, {
      ...keys,
      encryptionKey: new Uint8Array(32),
    });
    assert.deepEqual([crypt![0], text(crypt![1]), bits(crypt![1], 64)], [2, 'cbc(aes)', 256]);
    assert.deepEqual([auth![0], text(auth![1]), bits(auth![1], 64), bits(auth![1], 68)], [20, 'hmac(sha256)', 256, 128]);
  });
});
