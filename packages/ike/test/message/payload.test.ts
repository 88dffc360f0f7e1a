import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { concat, fromHex, toHex } from '@aovpn/bytes';
import { encodePayloadBody, NotifyType, PayloadType, payloadTypeRows, type Payload } from '@aovpn/ike';
import { decodePayloads } from '../../src/message/payload-chain.ts';
import { address, rawPayload } from './sample.ts';

interface Golden {
  readonly name: string;
  readonly type: number;
  readonly body: string;
  readonly payload: Payload;
  /** Set where a shorter or longer body may be one too, just with less or more in it. */
  readonly open?: true;
}

/** Bodies written by hand after the boxes of RFC 7296 §3; every kind at least once. */
const goldens: readonly Golden[] = [
  {
    name: 'SA: an AEAD and a classic proposal for IKE',
    type: PayloadType.SA,
    body:
      '02000024 01010003 0300000c 01000014 800e0100 03000008 02000005 00000008 0400001f' +
      '0000002c 02010004 0300000c 0100000c 800e0080 03000008 02000002 03000008 03000002 00000008 0400000e',
    payload: {
      kind: 'SA',
      proposals: [
        {
          number: 1,
          protocol: 1,
          spi: new Uint8Array(0),
          transforms: [
            { type: 1, id: 20, keyBits: 256 },
            { type: 2, id: 5 },
            { type: 4, id: 31 },
          ],
        },
        {
          number: 2,
          protocol: 1,
          spi: new Uint8Array(0),
          transforms: [
            { type: 1, id: 12, keyBits: 128 },
            { type: 2, id: 2 },
            { type: 3, id: 2 },
            { type: 4, id: 14 },
          ],
        },
      ],
    },
  },
  {
    name: 'SA: ESP with an SPI, and a cipher without key length',
    type: PayloadType.SA,
    body: '0000001c 01030402 c0ffee01 03000008 0100001c 00000008 05000000',
    payload: {
      kind: 'SA',
      proposals: [
        {
          number: 1,
          protocol: 3,
          spi: fromHex('c0ffee01'),
          transforms: [
            { type: 1, id: 28 },
            { type: 5, id: 0 },
          ],
        },
      ],
    },
  },
  {
    name: 'KE',
    type: PayloadType.KE,
    body: '001f0000 aabbcc',
    payload: { kind: 'KE', group: 31, data: fromHex('aabbcc') },
    open: true,
  },
  {
    name: 'IDi',
    type: PayloadType.IDi,
    body: '02000000 76706e',
    payload: { kind: 'IDi', identity: { type: 2, data: fromHex('76706e') } },
    open: true,
  },
  {
    name: 'IDr: an IPv4 address',
    type: PayloadType.IDr,
    body: '01000000 c0000201',
    payload: { kind: 'IDr', identity: { type: 1, data: fromHex('c0000201') } },
  },
  {
    name: 'IDr: an IPv6 address',
    type: PayloadType.IDr,
    body: '05000000 20010db8000000000000000000000001',
    payload: { kind: 'IDr', identity: { type: 5, data: fromHex('20010db8000000000000000000000001') } },
  },
  {
    name: 'CERT',
    type: PayloadType.CERT,
    body: '04 3003020101',
    payload: { kind: 'CERT', encoding: 4, data: fromHex('3003020101') },
    open: true,
  },
  {
    name: 'CERTREQ',
    type: PayloadType.CERTREQ,
    body: `04 ${'ab'.repeat(20)}`,
    payload: { kind: 'CERTREQ', encoding: 4, authorities: fromHex('ab'.repeat(20)) },
    open: true,
  },
  {
    name: 'AUTH',
    type: PayloadType.AUTH,
    body: '0e000000 0102',
    payload: { kind: 'AUTH', method: 14, data: fromHex('0102') },
    open: true,
  },
  {
    name: 'Nonce',
    type: PayloadType.NONCE,
    body: '07'.repeat(16),
    payload: { kind: 'NONCE', data: new Uint8Array(16).fill(7) },
    open: true,
  },
  {
    name: 'N: a cookie',
    type: PayloadType.N,
    body: '00004006 c00c1e',
    payload: { kind: 'N', protocol: 0, spi: new Uint8Array(0), type: NotifyType.COOKIE, data: fromHex('c00c1e') },
    open: true,
  },
  {
    name: 'N: REKEY_SA',
    type: PayloadType.N,
    body: '03044009 c0ffee01',
    payload: { kind: 'N', protocol: 3, spi: fromHex('c0ffee01'), type: NotifyType.REKEY_SA, data: new Uint8Array(0) },
    open: true,
  },
  { name: 'D: the IKE SA', type: PayloadType.D, body: '01000000', payload: { kind: 'D', protocol: 1, spis: [] } },
  {
    name: 'D: two CHILD_SAs',
    type: PayloadType.D,
    body: '03040002 c0ffee01 c0ffee02',
    payload: { kind: 'D', protocol: 3, spis: [fromHex('c0ffee01'), fromHex('c0ffee02')] },
  },
  {
    name: 'PS: the solution of a puzzle',
    type: PayloadType.PS,
    body: '01020304',
    payload: { kind: 'PS', solution: fromHex('01020304') },
    open: true,
  },
  { name: 'V', type: PayloadType.V, body: '4d53', payload: { kind: 'V', data: fromHex('4d53') }, open: true },
  {
    name: 'TSi: everything in IPv4, and one host in IPv6 with a port',
    type: PayloadType.TSi,
    body: `02000000 07000010 0000ffff 00000000 ffffffff 08060028 01bb01bb ${'20010db8000000000000000000000001'.repeat(2)}`,
    payload: {
      kind: 'TSi',
      selectors: [
        { protocol: 0, fromPort: 0, toPort: 65535, from: address('0.0.0.0'), to: address('255.255.255.255') },
        { protocol: 6, fromPort: 443, toPort: 443, from: address('2001:db8::1'), to: address('2001:db8::1') },
      ],
    },
  },
  {
    name: 'TSr: OPAQUE ports',
    type: PayloadType.TSr,
    body: '01000000 07000010 ffff0000 0a000000 0affffff',
    payload: {
      kind: 'TSr',
      selectors: [{ protocol: 0, fromPort: 65535, toPort: 0, from: address('10.0.0.0'), to: address('10.255.255.255') }],
    },
  },
  {
    name: 'CP: a reply with v4 and v6',
    type: PayloadType.CP,
    body: `02000000 00010004 0a010203 00030004 0a010101 00080011 20010db800000000000000000000000180 0019000b ${Buffer.from('corp.test.x').toString('hex')}`,
    payload: {
      kind: 'CP',
      type: 2,
      attributes: [
        { type: 1, value: fromHex('0a010203') },
        { type: 3, value: fromHex('0a010101') },
        { type: 8, value: fromHex('20010db800000000000000000000000180') },
        { type: 25, value: new Uint8Array(Buffer.from('corp.test.x')) },
      ],
    },
    open: true,
  },
  {
    name: 'EAP: Identity request',
    type: PayloadType.EAP,
    body: '01 01 0005 01',
    payload: { kind: 'EAP', packet: fromHex('0101000501') },
  },
  { name: 'EAP: Success', type: PayloadType.EAP, body: '03 02 0004', payload: { kind: 'EAP', packet: fromHex('03020004') } },
];

for (const { name, type, body, payload, open } of goldens) {
  const octets = fromHex(body);

  test(`${name}: golden octets to value and back`, () => {
    const outcome = decodePayloads(type, rawPayload(0, octets));
    assert.ok('payloads' in outcome, JSON.stringify(outcome));
    assert.deepEqual(outcome.payloads, [payload]);
    assert.equal(toHex(encodePayloadBody(payload)), toHex(octets));
  });

  test(`${name}: cut anywhere it is refused`, () => {
    const whole = rawPayload(0, octets);
    for (let length = 0; length < whole.length; length++)
      assert.ok('error' in decodePayloads(type, whole.subarray(0, length)), `${length}`);
    assert.ok('error' in decodePayloads(type, concat(whole, Uint8Array.of(0))), 'octets left over');
  });

  test(`${name}: with a header that says it is shorter, it is refused or simply shorter`, () => {
    for (let length = 0; length < octets.length; length++) {
      const outcome = decodePayloads(type, rawPayload(0, octets.subarray(0, length)));
      if (!open) assert.ok('error' in outcome, `${length}`);
      else if ('payloads' in outcome)
        assert.equal(toHex(encodePayloadBody(outcome.payloads[0]!)), toHex(octets.subarray(0, length)));
    }
    if (!open) assert.ok('error' in decodePayloads(type, rawPayload(0, concat(octets, Uint8Array.of(0)))), 'octets left over');
  });
}

test('every kind of payload that the registry knows has a golden', () => {
  const kinds = new Set<string>(goldens.map(({ payload }) => payload.kind));
  const missing = payloadTypeRows.filter(({ kind }) => kind !== 'SK' && kind !== 'SKF' && !kinds.has(kind));
  assert.deepEqual(missing, []);
});

suite('refused: lengths, counts and numbers that RFC 7296 rules out', () => {
  const refused: readonly (readonly [what: string, type: number, body: string])[] = [
    ['SA without proposals', PayloadType.SA, ''],
    ['proposal number 0', PayloadType.SA, '00000010 00010001 00000008 02000005'],
    [
      'proposal numbers that do not count up',
      PayloadType.SA,
      '02000010 01010001 00000008 02000005 00000010 03010001 00000008 02000005',
    ],
    ['proposal without transforms', PayloadType.SA, '00000008 01010000'],
    ['proposal shorter than its header', PayloadType.SA, '00000007 01010000'],
    ['more transforms counted than there are', PayloadType.SA, '00000010 01010002 03000008 02000005'],
    ['fewer transforms counted than there are', PayloadType.SA, '00000018 01010001 00000008 02000005 00000008 02000006'],
    ['"last transform" in the middle', PayloadType.SA, '00000018 01010002 00000008 02000005 00000008 02000006'],
    ['"more transforms" at the end', PayloadType.SA, '00000010 01010001 03000008 02000005'],
    ['"more proposals" at the end', PayloadType.SA, '02000010 01010001 00000008 02000005'],
    ['transform of length 0', PayloadType.SA, '00000010 01010001 00000000 02000005'],
    ['SPI of 5 octets for ESP', PayloadType.SA, '00000015 01030501 0102030405 00000008 01000014'],
    ['two key lengths', PayloadType.SA, '00000018 01010001 00000010 0100000c 800e0080 800e0100'],
    ['attribute longer than its transform', PayloadType.SA, '00000014 01010001 0000000c 0100000c 000e00ff'],
    ['KE without data', PayloadType.KE, '001f0000'],
    ['identity that is an IPv4 address of 5 octets', PayloadType.IDi, '01000000 0102030405'],
    ['identity that is an IPv6 address of 4 octets', PayloadType.IDi, '05000000 01020304'],
    ['nonce of 15 octets', PayloadType.NONCE, '00'.repeat(15)],
    ['nonce of 257 octets', PayloadType.NONCE, '00'.repeat(257)],
    ['Notify for ESP with an SPI of 8 octets', PayloadType.N, '03084009 0102030405060708'],
    ['Delete of the IKE SA with SPIs', PayloadType.D, '01080001 0102030405060708'],
    ['Delete of the IKE SA that counts what is not there', PayloadType.D, '01000001'],
    ['Delete of protocol 0', PayloadType.D, '00000000'],
    ['Delete that counts 65535 SPIs', PayloadType.D, '0304ffff 01020304'],
    ['Delete with SPIs of 2 octets', PayloadType.D, '03020001 0102'],
    ['TS without selectors', PayloadType.TSi, '00000000'],
    ['TS that counts more selectors than there are', PayloadType.TSi, '02000000 07000010 0000ffff 00000000 ffffffff'],
    ['selector of length 0', PayloadType.TSi, '01000000 07000000 0000ffff 00000000 ffffffff'],
    ['selector of the wrong length for its type', PayloadType.TSi, '01000000 08000010 0000ffff 00000000 ffffffff'],
    ['selector that ends before it starts (CVE-2023-23009)', PayloadType.TSi, '01000000 07000010 0000ffff 0a000002 0a000001'],
    ['ports that end before they start', PayloadType.TSi, '01000000 07000010 00020001 0a000001 0a000002'],
    ['IPv4 address attribute of 3 octets', PayloadType.CP, '02000000 00010003 0a0102'],
    ['IPv6 address attribute of 16 octets', PayloadType.CP, `02000000 00080010 ${'00'.repeat(16)}`],
    ['attribute longer than its payload', PayloadType.CP, '02000000 0001ffff 0a010203'],
    ['EAP packet shorter than its header', PayloadType.EAP, '030200'],
    ['EAP packet that says it is longer', PayloadType.EAP, '03020005'],
    ['EAP packet that says it is shorter', PayloadType.EAP, '0302000400'],
  ];
  for (const [what, type, body] of refused) {
    test(what, () => {
      const outcome = decodePayloads(type, rawPayload(0, fromHex(body)));
      assert.ok('error' in outcome);
      assert.equal(outcome.error.kind, 'INVALID_SYNTAX');
    });
  }

  test('more proposals, transforms, attributes and payloads than we take', () => {
    const transform = (last: number): string => `${last === 0 ? '00' : '03'}000008 02000005`;
    const manyTransforms = `0000 ${(8 + 65 * 8).toString(16).padStart(4, '0')} 01010041 ${transform(1).repeat(64)}${transform(0)}`;
    const manyProposals = Array.from(
      { length: 33 },
      (_, i) => `${i < 32 ? '02' : '00'}000010 ${(i + 1).toString(16).padStart(2, '0')}010001 ${transform(0)}`,
    ).join('');
    assert.ok('error' in decodePayloads(PayloadType.SA, rawPayload(0, fromHex(manyTransforms))));
    assert.ok('error' in decodePayloads(PayloadType.SA, rawPayload(0, fromHex(manyProposals))));
    assert.ok('error' in decodePayloads(PayloadType.CP, rawPayload(0, fromHex(`02000000${'00010000'.repeat(257)}`))));
    const vendors = (count: number): Uint8Array =>
      concat(...Array.from({ length: count }, (_, i) => rawPayload(i < count - 1 ? PayloadType.V : 0, new Uint8Array(1))));
    assert.ok('payloads' in decodePayloads(PayloadType.V, vendors(64)));
    assert.ok('error' in decodePayloads(PayloadType.V, vendors(65)));
  });
});

suite('tolerated', () => {
  test('reserved fields may have any value (RFC 7296 §2.5)', () => {
    const bodies = [
      [PayloadType.SA, '00ff0010 01010001 00ff0008 02ff0005'],
      [PayloadType.KE, '001fffff aa'],
      [PayloadType.IDr, '02ffffff 76706e'],
      [PayloadType.AUTH, '01ffffff aa'],
      [PayloadType.TSr, '01ffffff 07000010 0000ffff 00000000 ffffffff'],
      [PayloadType.CP, '02ffffff 80010004 0a010203'],
    ] as const;
    for (const [type, body] of bodies) {
      const outcome = decodePayloads(type, rawPayload(0, fromHex(body), 0x7f));
      assert.ok('payloads' in outcome, body);
      assert.equal(toHex(encodePayloadBody(outcome.payloads[0]!)).includes('ff'), type === PayloadType.TSr, 'we write zeros');
    }
  });

  test('selectors of other types are left out (RFC 7296 §3.13.1)', () => {
    const body = '02000000 0a000008 deadbeef 07000010 0000ffff 0a000001 0a000001';
    const outcome = decodePayloads(PayloadType.TSr, rawPayload(0, fromHex(body)));
    assert.ok('payloads' in outcome);
    assert.deepEqual(outcome.payloads[0]?.kind === 'TSr' && outcome.payloads[0].selectors.length, 1);
  });

  test('a transform with an attribute that it cannot have is marked, the rest stands (RFC 7296 §3.3.6)', () => {
    const body = '0000002c 01010003 0300000c 01000014 80630100 0300000e 0100000c 00630002 abcd 0000000c 0100001c 800e0100';
    const octets = fromHex(body);
    octets[3] = octets.length;
    const outcome = decodePayloads(PayloadType.SA, rawPayload(0, octets));
    assert.ok('payloads' in outcome, JSON.stringify(outcome));
    const [payload] = outcome.payloads;
    assert.deepEqual(payload?.kind === 'SA' && payload.proposals[0]!.transforms.map((each) => each.foreignAttribute), [
      true,
      true,
      true,
    ]);
  });

  test('unknown payloads: kept when not critical, an error when critical; a critical bit on known ones means nothing', () => {
    const known = rawPayload(200, fromHex('4d53'), 0x80);
    const outcome = decodePayloads(PayloadType.V, concat(known, rawPayload(0, fromHex('aa'))));
    assert.ok('payloads' in outcome);
    assert.deepEqual(outcome.payloads[1], { kind: 'unknown', type: 200, critical: false, data: fromHex('aa') });
    assert.deepEqual(decodePayloads(PayloadType.V, concat(known, rawPayload(0, fromHex('aa'), 0x80))), {
      error: { kind: 'UNSUPPORTED_CRITICAL_PAYLOAD', payloadType: 200 },
    });
  });

  test('payload types of IKEv1 are unknown ones (CVE-2015-3991)', () => {
    for (let type = 1; type < 33; type++) {
      const outcome = decodePayloads(type, rawPayload(0, fromHex('aa')));
      assert.equal('payloads' in outcome && outcome.payloads[0]?.kind, 'unknown');
      assert.ok('error' in decodePayloads(type, rawPayload(0, fromHex('aa'), 0x80)));
    }
  });

  test('an encrypted payload inside of a message is refused', () => {
    for (const type of [PayloadType.SK, PayloadType.SKF])
      assert.ok('error' in decodePayloads(type, rawPayload(0, new Uint8Array(60))));
  });
});

test('what is decoded does not share memory with the datagram', () => {
  const octets = Buffer.from(rawPayload(0, fromHex('001f0000 aabbcc')));
  const outcome = decodePayloads(PayloadType.KE, octets);
  octets.fill(0);
  assert.deepEqual('payloads' in outcome && outcome.payloads[0], { kind: 'KE', group: 31, data: fromHex('aabbcc') });
});

test('what cannot be written is our own mistake', () => {
  const selectors = Array.from({ length: 256 }, () => ({
    protocol: 0,
    fromPort: 0,
    toPort: 0,
    from: address('::'),
    to: address('::'),
  }));
  const impossible: readonly Payload[] = [
    { kind: 'NONCE', data: new Uint8Array(15) },
    { kind: 'TSi', selectors: [] },
    { kind: 'TSi', selectors },
    { kind: 'D', protocol: 1, spis: [new Uint8Array(8)] },
    { kind: 'D', protocol: 3, spis: [new Uint8Array(8)] },
  ];
  for (const payload of impossible) assert.throws(() => encodePayloadBody(payload), RangeError);
});
