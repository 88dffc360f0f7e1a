import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Ecn, innerTrafficClass, outerTrafficClass, setTrafficClass, sumWords, trafficClassOf } from '@aovpn/esp';

const { NOT_ECT, ECT_0, ECT_1, CE } = Ecn;
const dscp = 46 << 2;

suite('ECN and DSCP of tunnels (RFC 6040, RFC 2983)', () => {
  // RFC 6040 §4.2, figure 4: rows are what arrives inside, columns what arrives outside; undefined is a drop.
  const columns = [NOT_ECT, ECT_0, ECT_1, CE];
  for (const [inner, ...row] of [
    [NOT_ECT, NOT_ECT, NOT_ECT, NOT_ECT, undefined],
    [ECT_0, ECT_0, ECT_0, ECT_1, CE],
    [ECT_1, ECT_1, ECT_1, ECT_1, CE],
    [CE, CE, CE, CE, CE],
  ] as const) {
    test(`decapsulation of ${inner}`, () => {
      assert.deepEqual(
        columns.map((outer) => innerTrafficClass(inner, outer)),
        row,
      );
      const marked = row.map((ecn) => (ecn === undefined ? undefined : ecn | dscp));
      assert.deepEqual(
        columns.map((outer) => innerTrafficClass(inner | dscp, outer | (10 << 2))),
        marked,
        'the inner DSCP stays',
      );
    });
  }

  test('encapsulation: ECN is copied, DSCP where it is wished for', () => {
    for (const ecn of columns) {
      assert.equal(outerTrafficClass(ecn | dscp, false), ecn);
      assert.equal(outerTrafficClass(ecn | dscp, true), ecn | dscp);
    }
  });

  test('written into a header of IPv4 its checksum is right, into one of IPv6 nothing else changes', () => {
    for (const word of [0x0000, 0xffff, 0x1234, 0xfffe]) {
      const v4 = new Uint8Array(20).fill(0x5a);
      v4.set([0x45, 0x02], 0);
      v4.set([word >> 8, word & 0xff], 4);
      v4.set([0, 0], 10);
      const sum = ~fold(sumWords(v4, 0, 20)) & 0xffff;
      v4.set([sum >> 8, sum & 0xff], 10);
      for (const value of [0, 1, 3, 0xb8, 0xff, 2]) {
        setTrafficClass(v4, 0, value);
        assert.equal(trafficClassOf(v4, 0), value);
        assert.equal(fold(sumWords(v4, 0, 20)), 0xffff);
      }
    }
    const v6 = Uint8Array.of(0x6b, 0x8c, 0xba, 0x98, 1);
    assert.equal(trafficClassOf(v6, 0), 0xb8);
    setTrafficClass(v6, 0, 0x03);
    assert.deepEqual(v6, Uint8Array.of(0x60, 0x3c, 0xba, 0x98, 1));
  });
});

function fold(sum: number): number {
  return (sum & 0xffff) + (sum >>> 16) > 0xffff ? fold((sum & 0xffff) + (sum >>> 16)) : (sum & 0xffff) + (sum >>> 16);
}
