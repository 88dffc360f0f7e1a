import fc from 'fast-check';
import { addressFromBytes, compareAddresses } from '@aovpn/bytes';
import type { ConfigAttribute, Identity, IkeHeader, Message, Payload, Proposal, TrafficSelector, Transform } from '@aovpn/ike';

const octets = (minLength: number, maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength, maxLength }).map((value) => Uint8Array.from(value));
const u8 = fc.integer({ min: 0, max: 0xff });
const u16 = fc.integer({ min: 0, max: 0xffff });

const transform: fc.Arbitrary<Transform> = fc.oneof(
  fc.record({ type: fc.constant(1), id: fc.constantFrom(12, 20), keyBits: fc.constantFrom(128, 192, 256) }),
  fc.record({ type: fc.integer({ min: 1, max: 5 }), id: u16 }),
);
const proposal = fc
  .constantFrom(
    ...([
      [1, 0],
      [1, 8],
      [2, 4],
      [3, 4],
    ] as const),
  )
  .chain(([protocol, size]): fc.Arbitrary<Omit<Proposal, 'number'>> =>
    fc.record({
      protocol: fc.constant(protocol),
      spi: octets(size, size),
      transforms: fc.array(transform, { minLength: 1, maxLength: 8 }),
    }),
  );
const proposals: fc.Arbitrary<Proposal[]> = fc
  .tuple(fc.integer({ min: 1, max: 200 }), fc.array(proposal, { minLength: 1, maxLength: 4 }))
  .map(([first, list]) => list.map((each, i) => ({ number: first + i, ...each })));

const identity: fc.Arbitrary<Identity> = fc.oneof(
  fc.record({ type: fc.constant(1), data: octets(4, 4) }),
  fc.record({ type: fc.constant(5), data: octets(16, 16) }),
  fc.record({ type: fc.constantFrom(2, 3, 9, 11), data: octets(0, 60) }),
);

const selector: fc.Arbitrary<TrafficSelector> = fc.tuple(fc.constantFrom(4, 16), u8, u16, u16).chain(([size, protocol, a, b]) =>
  fc.tuple(octets(size, size), octets(size, size)).map(([x, y]) => {
    const [from, to] = [addressFromBytes(x), addressFromBytes(y)].sort(compareAddresses);
    return { protocol, fromPort: Math.min(a, b), toPort: Math.max(a, b), from: from!, to: to! };
  }),
);

const attribute: fc.Arbitrary<ConfigAttribute> = fc.oneof(
  fc.record({ type: fc.constantFrom(1, 2, 3), value: fc.oneof(octets(0, 0), octets(4, 4)) }),
  fc.record({ type: fc.constantFrom(8, 15), value: octets(17, 17) }),
  fc.record({ type: fc.constantFrom(25, 23456), value: octets(0, 40) }),
);

const payload: fc.Arbitrary<Payload> = fc.oneof(
  proposals.map((value): Payload => ({ kind: 'SA', proposals: value })),
  fc.record({ kind: fc.constant('KE'), group: u16, data: octets(1, 300) } as const),
  fc.record({ kind: fc.constantFrom('IDi', 'IDr'), identity } as const),
  fc.record({ kind: fc.constant('CERT'), encoding: u8, data: octets(1, 400) } as const),
  fc.record({ kind: fc.constant('CERTREQ'), encoding: u8, authorities: octets(0, 60) } as const),
  fc.record({ kind: fc.constant('AUTH'), method: u8, data: octets(1, 300) } as const),
  fc.record({ kind: fc.constant('NONCE'), data: octets(16, 256) } as const),
  fc.record({
    kind: fc.constant('N'),
    protocol: fc.constantFrom(0, 1),
    spi: octets(0, 8),
    type: u16,
    data: octets(0, 40),
  } as const),
  fc.record({ kind: fc.constant('D'), protocol: fc.constantFrom(2, 3), spis: fc.array(octets(4, 4), { maxLength: 5 }) } as const),
  fc.constant<Payload>({ kind: 'D', protocol: 1, spis: [] }),
  fc.record({ kind: fc.constant('V'), data: octets(0, 40) } as const),
  fc.record({ kind: fc.constant('PS'), solution: octets(1, 64) } as const),
  fc.record({ kind: fc.constantFrom('TSi', 'TSr'), selectors: fc.array(selector, { minLength: 1, maxLength: 5 }) } as const),
  fc.record({ kind: fc.constant('CP'), type: u8, attributes: fc.array(attribute, { maxLength: 6 }) } as const),
  octets(0, 60).map((data): Payload => ({ kind: 'EAP', packet: Uint8Array.of(1, 7, 0, data.length + 4, ...data) })),
  fc.record({
    kind: fc.constant('unknown'),
    type: fc.integer({ min: 55, max: 255 }),
    critical: fc.constant(false),
    data: octets(0, 30),
  } as const),
);

const header: fc.Arbitrary<IkeHeader> = fc.record({
  spiI: octets(8, 8).filter((spi) => spi.some((octet) => octet !== 0)),
  spiR: octets(8, 8),
  exchange: fc.constantFrom(35, 36, 37),
  fromInitiator: fc.boolean(),
  response: fc.boolean(),
  messageId: fc.nat(0xffffffff),
});

/** Cloned, because the records of fast-check may lack the prototype that a decoder's objects have. */
export const message: fc.Arbitrary<Message> = fc
  .record({ header, payloads: fc.array(payload, { maxLength: 8 }) })
  .map((value) => structuredClone(value));
