import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { concat } from '@aovpn/bytes';
import { unreachable } from '../../src/data-plane/icmp-error-socket.ts';

const ports = Uint8Array.of(0x30, 0x39, 0x11, 0x94, 0, 8, 0, 0);
const quoted4 = (protocol: number): Uint8Array =>
  concat(Uint8Array.of(0x45, 0, 0, 28, 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2), ports);
const icmp4 = (type: number, code: number, quoted = quoted4(17), mtu = 0): Uint8Array =>
  concat(
    Uint8Array.of(0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1),
    Uint8Array.of(type, code, 0, 0, 0, 0, mtu >> 8, mtu & 0xff),
    quoted,
  );
const icmp6 = (type: number, code: number, mtu = 0): Uint8Array => {
  const header = new Uint8Array(40);
  header.set([0x60, 0, 0, 0, 0, 8, 17, 64]);
  return concat(Uint8Array.of(type, code, 0, 0, 0, 0, mtu >> 8, mtu & 0xff), header, ports);
};
const flow = { family: 4, localPort: 0x3039, remotePort: 4500 } as const;

suite('ICMP errors about the outer flow', () => {
  test('are told by the errno that a socket would have shown (RFC 792, RFC 4443)', () => {
    assert.deepEqual(unreachable(icmp4(3, 3), flow), { code: 'ECONNREFUSED' });
    assert.deepEqual(unreachable(icmp4(3, 1), flow), { code: 'EHOSTUNREACH' });
    assert.deepEqual(unreachable(icmp4(3, 4, quoted4(17), 1300), flow), { code: 'EMSGSIZE', mtu: 1300 });
    assert.deepEqual(unreachable(icmp6(1, 4), { ...flow, family: 6 }), { code: 'ECONNREFUSED' });
    assert.deepEqual(unreachable(icmp6(2, 0, 1400), { ...flow, family: 6 }), { code: 'EMSGSIZE', mtu: 1400 });
  });

  test('that claim a path no sensible network has are not believed', () => {
    assert.equal(unreachable(icmp4(3, 4, quoted4(17), 68), flow), undefined);
    assert.equal(unreachable(icmp6(2, 0, 600), { ...flow, family: 6 }), undefined);
  });

  test('of other flows, protocols and types are nobody’s business', () => {
    assert.equal(unreachable(icmp4(3, 3), { ...flow, localPort: 1 }), undefined);
    assert.equal(unreachable(icmp4(3, 3), { ...flow, remotePort: 1 }), undefined);
    assert.equal(unreachable(icmp4(3, 3, quoted4(6)), flow), undefined);
    assert.equal(unreachable(icmp4(11, 0), flow), undefined);
    assert.equal(unreachable(icmp4(3, 99), flow), undefined);
  });

  test('that are cut anywhere are no trouble', () => {
    const whole = icmp4(3, 3);
    for (let length = 1; length < whole.length - 4; length++)
      assert.equal(unreachable(whole.subarray(0, length), flow), undefined);
    const long = icmp4(3, 3);
    long[28] = 0x4f;
    assert.equal(unreachable(long, flow), undefined);
  });
});
