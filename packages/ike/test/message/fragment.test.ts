import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { concat, toHex, Writer } from '@aovpn/bytes';
import {
  emptyReassembly,
  encodePayloadBody,
  openDatagram,
  PayloadType,
  sealMessage,
  type Message,
  type OpenOutcome,
  type Payload,
  type Reassembly,
} from '@aovpn/ike';
import { allSuites, cbc, crypto, gcm, header, keysFor, vendorId } from './sample.ts';

const keys = keysFor(gcm);
const certificate: Payload = { kind: 'CERT', encoding: 4, data: crypto.random(1500) };
const message: Message = { header, payloads: [certificate, vendorId(30, 5)] };

function open(datagram: Uint8Array, reassembly: Reassembly): OpenOutcome {
  return openDatagram(crypto, datagram, { suite: gcm, keys, reassembly });
}

/** Gives the datagrams one after the other and keeps what state they leave. */
function openAll(
  datagrams: readonly Uint8Array[],
  start: Reassembly = emptyReassembly,
): { outcomes: OpenOutcome[]; reassembly: Reassembly } {
  let reassembly = start;
  const outcomes = datagrams.map((datagram) => {
    const outcome = open(datagram, reassembly);
    if ('reassembly' in outcome) reassembly = outcome.reassembly;
    return outcome;
  });
  return { outcomes, reassembly };
}

const kinds = (outcomes: readonly OpenOutcome[]): string => outcomes.map(({ kind }) => kind).join(' ');

/** One fragment by hand, so that its numbers can be anything. */
function fragment(
  number: number,
  total: number,
  part: Uint8Array,
  options: { first?: number; messageId?: number; exchange?: number; response?: boolean } = {},
): Uint8Array {
  const { first = number === 1 ? PayloadType.V : 0, messageId = 1, exchange = 35, response = true } = options;
  const length = 28 + 8 + 8 + part.length + 1 + 16;
  const prefix = new Writer()
    .bytes(header.spiI)
    .bytes(header.spiR)
    .u8(PayloadType.SKF)
    .u8(0x20)
    .u8(exchange)
    .u8(response ? 0x20 : 0)
    .u32(messageId)
    .u32(length)
    .u8(first)
    .u8(0)
    .u16(length - 28)
    .u16(number)
    .u16(total)
    .finish();
  const iv = crypto.random(8);
  return concat(prefix, iv, crypto.encrypt(gcm.encr, keys.encryptionKey, iv, concat(part, Uint8Array.of(0)), prefix));
}

/** The generic header and body of a Vendor ID payload, cut in two. */
const vendor = concat(Uint8Array.of(0, 0, 0, 24), encodePayloadBody(vendorId(24, 7)));
const halves = [vendor.subarray(0, 9), vendor.subarray(9)] as const;

suite('sealing in fragments', () => {
  for (const suite of [gcm, cbc, allSuites[0]!]) {
    test(`no fragment is larger than wanted, encr ${suite.encr}`, () => {
      const own = keysFor(suite);
      for (let size = 150; size < 1700; size += 37) {
        const sealed = sealMessage(crypto, suite, own, message, size);
        // The non-ESP marker takes 4 octets more.
        for (const datagram of sealed) assert.ok(datagram.length + 4 <= size, `${datagram.length} of ${size}`);
        let reassembly = emptyReassembly;
        for (const [i, datagram] of sealed.entries()) {
          const outcome = openDatagram(crypto, datagram, { suite, keys: own, reassembly });
          assert.equal(outcome.kind, i < sealed.length - 1 ? 'partial' : 'message');
          if ('reassembly' in outcome) reassembly = outcome.reassembly;
          if (outcome.kind === 'message') assert.deepEqual(outcome.message, message);
        }
      }
    });
  }

  test('only when it must', () => {
    const [whole] = sealMessage(crypto, gcm, keys, message);
    assert.equal(sealMessage(crypto, gcm, keys, message, whole!.length + 4).length, 1);
    assert.equal(sealMessage(crypto, gcm, keys, message, whole!.length + 3).length, 2);
  });

  test('only the first fragment names a payload (RFC 7383 §2.5)', () => {
    const sealed = sealMessage(crypto, gcm, keys, message, 600);
    assert.deepEqual(
      sealed.map((datagram) => datagram[28]),
      [PayloadType.CERT, 0, 0],
    );
    assert.deepEqual(
      sealed.map((datagram) => toHex(datagram.subarray(32, 36))),
      ['00010003', '00020003', '00030003'],
    );
  });

  test('what cannot be sent is our own mistake', () => {
    assert.throws(() => sealMessage(crypto, gcm, keys, message, 60), RangeError);
    const huge: Message = {
      header,
      payloads: Array.from({ length: 3 }, (): Payload => ({ kind: 'CERT', encoding: 4, data: new Uint8Array(30000) })),
    };
    assert.throws(() => sealMessage(crypto, gcm, keys, huge), RangeError);
    assert.ok(sealMessage(crypto, gcm, keys, huge, 1200).length > 70);
  });
});

suite('putting together', () => {
  const sealed = sealMessage(crypto, gcm, keys, message, 600);

  test('in any order, with any duplicates, the message comes exactly once it is complete', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(sealed.length - 1), { maxLength: 12 }),
        fc.shuffledSubarray([0, 1, 2], { minLength: 3 }),
        (noise, order) => {
          const seen = new Set<number>();
          let reassembly = emptyReassembly;
          for (const index of [...noise, ...order]) {
            const outcome = open(sealed[index]!, reassembly);
            if (seen.has(index)) assert.equal(outcome.kind, 'ignore');
            seen.add(index);
            if ('reassembly' in outcome) reassembly = outcome.reassembly;
            if (seen.size < sealed.length) continue;
            assert.deepEqual(outcome.kind === 'message' && outcome.message, message);
            assert.deepEqual(reassembly, emptyReassembly);
            return;
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test('an older state stays as it was', () => {
    const { outcomes } = openAll([sealed[0]!]);
    const state = outcomes[0]!.kind === 'partial' ? outcomes[0]!.reassembly : assert.fail();
    const before = structuredClone(state);
    openAll([sealed[1]!, sealed[2]!], state);
    assert.deepEqual(state, before);
  });

  test('a changed fragment does not count', () => {
    const bad = Uint8Array.from(sealed[1]!);
    bad[60]! ^= 1;
    const { outcomes } = openAll([sealed[0]!, bad, sealed[2]!, sealed[1]!]);
    assert.equal(kinds(outcomes), 'partial ignore partial message');
  });

  test('a fragment whose numbers were changed does not count', () => {
    const renumbered = Uint8Array.from(sealed[1]!);
    renumbered[33] = 3;
    assert.equal(kinds(openAll([sealed[0]!, renumbered]).outcomes), 'partial ignore');
  });

  test('number 0, beyond the total, total 0, total 65535 (CVE-2026-12413)', () => {
    for (const [number, total] of [
      [0, 2],
      [0, 0],
      [1, 0],
      [3, 2],
      [65535, 2],
      [1, 65535],
      [65535, 65535],
      [65, 65],
      [1, 65],
    ] as const) {
      const { outcomes, reassembly } = openAll([fragment(number, total, halves[0])]);
      assert.equal(kinds(outcomes), 'ignore', `${number} of ${total}`);
      assert.equal(reassembly, emptyReassembly);
    }
    assert.equal(kinds(openAll([fragment(64, 64, halves[0])]).outcomes), 'partial');
  });

  test('a fragment that cannot hold its own header', () => {
    for (const datagram of [fragment(1, 2, halves[0]), sealed[0]!]) {
      for (let length = 28; length < 60; length++) {
        const cut = datagram.slice(0, length);
        cut.set([0, 0, 0, length], 24);
        if (length >= 32) cut.set([0, length - 28], 30);
        assert.equal(open(cut, emptyReassembly).kind, 'ignore');
      }
    }
  });

  test('a later fragment that names a first payload', () => {
    assert.equal(
      kinds(openAll([fragment(1, 2, halves[0]), fragment(2, 2, halves[1], { first: PayloadType.V })]).outcomes),
      'partial ignore',
    );
  });

  test('duplicates with other content do not replace what is there (CVE-2026-33824)', () => {
    const { outcomes } = openAll([fragment(1, 2, halves[0]), fragment(1, 2, new Uint8Array(9)), fragment(2, 2, halves[1])]);
    assert.equal(kinds(outcomes), 'partial ignore message');
    const [, , last] = outcomes;
    assert.deepEqual(last?.kind === 'message' && last.message.payloads, [vendorId(24, 7)]);
  });

  test('more fragments than before start anew, fewer are ignored (RFC 7383 §2.6)', () => {
    const [a, b, c] = [vendor.subarray(0, 5), vendor.subarray(5, 9), vendor.subarray(9)];
    const { outcomes } = openAll([
      fragment(2, 2, new Uint8Array(9)),
      fragment(1, 3, a),
      fragment(1, 2, new Uint8Array(9)),
      fragment(2, 3, b),
      fragment(2, 2, new Uint8Array(9)),
      fragment(3, 3, c),
    ]);
    assert.equal(kinds(outcomes), 'partial partial ignore partial ignore message');
  });

  test('one fragment alone is a message', () => {
    assert.equal(kinds(openAll([fragment(1, 1, vendor)]).outcomes), 'message');
  });

  test('a message of empty fragments is an empty message or a broken one, nothing worse', () => {
    assert.equal(
      kinds(openAll([fragment(1, 2, new Uint8Array(0), { first: 0 }), fragment(2, 2, new Uint8Array(0))]).outcomes),
      'partial message',
    );
    assert.equal(
      kinds(openAll([fragment(1, 2, new Uint8Array(0)), fragment(2, 2, new Uint8Array(0))]).outcomes),
      'partial refuse',
    );
  });

  test('a request and a response can come in pieces at the same time', () => {
    const { outcomes, reassembly } = openAll([
      fragment(1, 2, halves[0]),
      fragment(1, 2, halves[0], { response: false, messageId: 0 }),
      fragment(2, 2, halves[1]),
      fragment(2, 2, halves[1], { response: false, messageId: 0 }),
    ]);
    assert.equal(kinds(outcomes), 'partial partial message message');
    assert.deepEqual(reassembly, emptyReassembly);
  });

  test('a later message takes the place of one that never got complete, an older one does not', () => {
    const { outcomes } = openAll([
      fragment(1, 2, halves[0], { messageId: 4 }),
      fragment(1, 2, halves[0], { messageId: 5 }),
      fragment(2, 2, halves[1], { messageId: 4 }),
      fragment(2, 2, halves[1], { messageId: 5 }),
    ]);
    assert.equal(kinds(outcomes), 'partial partial ignore message');
  });

  test('fragments of two exchanges with one message ID do not mix', () => {
    assert.equal(
      kinds(openAll([fragment(1, 2, halves[0]), fragment(2, 2, halves[1], { exchange: 37 })]).outcomes),
      'partial ignore',
    );
  });

  test('the whole message beside its fragments: both are read, and nothing is left over', () => {
    const [whole] = sealMessage(crypto, gcm, keys, message);
    const { outcomes, reassembly } = openAll([sealed[0]!, whole!]);
    assert.equal(kinds(outcomes), 'partial message');
    assert.deepEqual(reassembly, emptyReassembly);
  });

  test('no more octets than we take', () => {
    const big = new Uint8Array(40000);
    assert.equal(
      kinds(openAll([fragment(1, 3, big), fragment(2, 3, big), fragment(2, 3, new Uint8Array(100))]).outcomes),
      'partial ignore partial',
    );
  });

  test('what was put together and is malformed is refused, and forgotten', () => {
    const { outcomes, reassembly } = openAll([fragment(1, 2, new Uint8Array(2)), fragment(2, 2, new Uint8Array(1))]);
    assert.equal(kinds(outcomes), 'partial refuse');
    assert.deepEqual(reassembly, emptyReassembly);
  });

  test('unknown payloads inside: critical ones are refused, others kept (CVE-2013-6076)', () => {
    const inner = concat(Uint8Array.of(0, 0x80, 0, 6), new Uint8Array(2));
    const { outcomes } = openAll([fragment(1, 2, inner.subarray(0, 3), { first: 180 }), fragment(2, 2, inner.subarray(3))]);
    assert.equal(kinds(outcomes), 'partial refuse');
    const nested = openAll([
      fragment(1, 2, vendor.subarray(0, 9), { first: PayloadType.SKF }),
      fragment(2, 2, vendor.subarray(9)),
    ]);
    assert.equal(kinds(nested.outcomes), 'partial refuse');
  });
});
