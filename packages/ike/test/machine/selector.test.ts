import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { formatSelector, isNarrowed, narrow } from '../../src/machine/selector.ts';
import type { TrafficSelector } from '../../src/message/payload.ts';
import { everything, selector } from '../../testkit/world.ts';

const arbitrary = fc.tuple(fc.constantFrom(0, 6, 17), fc.nat(9), fc.nat(9), fc.nat(9), fc.nat(9)).map(([protocol, a, b, c, d]) =>
  selector(`10.0.0.${Math.min(a, b)}`, `10.0.0.${Math.max(a, b)}`, {
    protocol,
    fromPort: Math.min(c, d),
    toPort: Math.max(c, d),
  }),
);
const several = fc.array(arbitrary, { maxLength: 4 });

/** Whether a packet (protocol, port, last octet of the address) is carried. */
function carries(selectors: readonly TrafficSelector[], protocol: number, port: number, host: number): boolean {
  return selectors.some(
    (each) =>
      (each.protocol === 0 || each.protocol === protocol) &&
      each.fromPort <= port &&
      port <= each.toPort &&
      each.from.bytes[3]! <= host &&
      host <= each.to.bytes[3]!,
  );
}

suite('traffic selectors', () => {
  test('narrow carries exactly what both carry', () => {
    fc.assert(
      fc.property(several, several, fc.constantFrom(6, 17, 1), fc.nat(9), fc.nat(9), (a, b, protocol, port, host) => {
        const expected = carries(a, protocol, port, host) && carries(b, protocol, port, host);
        assert.equal(carries(narrow(a, b), protocol, port, host), expected);
      }),
    );
  });

  test('what was narrowed is accepted, and carries nothing that was not offered', () => {
    fc.assert(
      fc.property(several, several, (offered, own) => {
        const answer = narrow(offered, own);
        assert.equal(isNarrowed(answer, offered), answer.length > 0);
      }),
    );
    fc.assert(
      fc.property(several, several, fc.constantFrom(6, 17, 1), fc.nat(9), fc.nat(9), (answer, offered, protocol, port, host) => {
        if (isNarrowed(answer, offered) && carries(answer, protocol, port, host))
          assert.ok(carries(offered, protocol, port, host));
      }),
    );
  });

  test('nothing, upside-down ranges, other families and wider ones are not narrowed', () => {
    assert.equal(isNarrowed([], everything), false);
    assert.equal(isNarrowed([selector('10.0.0.9', '10.0.0.1')], everything), false);
    assert.equal(isNarrowed([selector('::', '::1')], everything), false);
    assert.equal(isNarrowed([selector('10.0.0.0', '10.0.1.0')], [selector('10.0.0.0', '10.0.0.255')]), false);
    assert.equal(isNarrowed([selector('10.0.0.1', '10.0.0.1')], [selector('10.0.0.1', '10.0.0.1', { protocol: 6 })]), false);
    assert.equal(
      isNarrowed(
        [selector('10.0.0.1', '10.0.0.1', { fromPort: 65535, toPort: 0 })],
        [selector('10.0.0.1', '10.0.0.1', { fromPort: 1, toPort: 9 })],
      ),
      false,
    );
  });

  test('for people', () => {
    assert.equal(formatSelector(selector('10.0.0.1', '10.0.0.1')), '10.0.0.1');
    assert.equal(
      formatSelector(selector('10.0.0.0', '10.0.0.255', { protocol: 6, fromPort: 443, toPort: 443 })),
      '10.0.0.0-10.0.0.255 protocol 6 ports 443-443',
    );
    assert.equal(formatSelector(selector('10.0.0.1', '10.0.0.1', { fromPort: 65535, toPort: 0 })), '10.0.0.1 opaque ports');
  });
});
