import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { parseAddress } from '@aovpn/bytes';
import { encodeDhcpInform, readDhcpPortal } from '../../src/portal/dhcp-inform.ts';
import { encodeInformationRequest, readDhcpv6Portal } from '../../src/portal/dhcpv6-information.ts';
import { readAdvertisedPortal } from '../../src/portal/router-advertisement.ts';

const uri = 'https://portal.example.org/api';
const ascii = (text: string): number[] => [...new TextEncoder().encode(text)];
const hardware = Uint8Array.of(2, 0, 0, 0, 0, 1);

/** RFC 2131 §2: fixed part, then these options. */
function dhcpAnswer(transaction: number, options: readonly number[]): Uint8Array {
  const message = new Uint8Array(240 + options.length);
  message[0] = 2;
  new DataView(message.buffer).setUint32(4, transaction);
  message.set([99, 130, 83, 99], 236);
  message.set(options, 240);
  return message;
}

suite('what a network announces', () => {
  test('DHCP: our question, and the answer to it only', () => {
    const inform = encodeDhcpInform(0xdeadbeef, parseAddress('192.0.2.10')!, hardware);
    assert.equal(inform[0], 1);
    assert.deepEqual([...inform.subarray(12, 16)], [192, 0, 2, 10]);
    assert.deepEqual([...inform.subarray(240, 248)], [53, 1, 8, 55, 1, 114, 255, 0]);
    const option = [114, uri.length, ...ascii(uri)];
    const ack = [53, 1, 5, 0, ...option, 255];
    assert.equal(readDhcpPortal(dhcpAnswer(7, ack), 7), uri);
    assert.equal(readDhcpPortal(dhcpAnswer(7, ack), 8), undefined, 'another transaction');
    assert.equal(readDhcpPortal(dhcpAnswer(7, [53, 1, 2, ...option, 255]), 7), undefined, 'an offer');
    assert.equal(readDhcpPortal(dhcpAnswer(7, [53, 1, 5, 255]), 7), undefined);
    // RFC 3396: cut in two.
    const halves = [114, 10, ...ascii(uri.slice(0, 10)), 114, uri.length - 10, ...ascii(uri.slice(10))];
    assert.equal(readDhcpPortal(dhcpAnswer(7, [53, 1, 5, ...halves, 255]), 7), uri);
    assert.equal(readDhcpPortal(dhcpAnswer(7, [53, 1, 5, 114, 200, 1]), 7), undefined, 'longer than the message');
  });

  test('DHCPv6: our question, and the answer to it only', () => {
    const request = encodeInformationRequest(0x123456, hardware);
    assert.deepEqual([...request.subarray(0, 4)], [11, 0x12, 0x34, 0x56]);
    const reply = (transaction: number): Uint8Array =>
      Uint8Array.from([
        7,
        transaction >> 16,
        (transaction >> 8) & 255,
        transaction & 255,
        0,
        2,
        0,
        1,
        9,
        0,
        103,
        0,
        uri.length,
        ...ascii(uri),
      ]);
    assert.equal(readDhcpv6Portal(reply(0x123456), 0x123456), uri);
    assert.equal(readDhcpv6Portal(reply(0x123457), 0x123456), undefined);
    assert.equal(readDhcpv6Portal(reply(0x123456).subarray(0, 20), 0x123456), undefined, 'cut off');
  });

  test('router advertisement: padded to eight octets', () => {
    const head = [134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const option = [37, 4, ...ascii(uri)];
    assert.equal(readAdvertisedPortal(Uint8Array.from([...head, 1, 1, 2, 0, 0, 0, 0, 1, ...option])), uri);
    const padded = [37, 5, ...ascii(`${uri}/x`), 0, 0, 0, 0, 0, 0];
    assert.equal(readAdvertisedPortal(Uint8Array.from([...head, ...padded])), `${uri}/x`);
    assert.equal(readAdvertisedPortal(Uint8Array.from([...head, 1, 0, ...option])), undefined, 'an option of no length');
    assert.equal(readAdvertisedPortal(Uint8Array.from([135, ...head.slice(1), ...option])), undefined);
  });

  test('nothing that comes makes the readers fail, and no URI has control characters', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(0xffff_ffff), (octets, transaction) => {
        const dhcp = dhcpAnswer(transaction, [53, 1, 5, 114, ...octets]);
        const advertisement = Uint8Array.from([134, ...new Uint8Array(15), 37, ...octets]);
        const six = Uint8Array.from([7, 0, 0, 0, 0, 103, ...octets]);
        for (const found of [
          readDhcpPortal(octets, transaction),
          readDhcpPortal(dhcp, transaction),
          readDhcpv6Portal(octets, transaction),
          readDhcpv6Portal(six, 0),
          readAdvertisedPortal(octets),
          readAdvertisedPortal(advertisement),
        ])
          assert.match(found ?? 'x', /^[!-~]{1,1000}$/);
      }),
    );
  });
});
