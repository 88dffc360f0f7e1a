import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { fromHex } from '@aovpn/bytes';
import { decodeGrantedTicket, encodeGrantedTicket, readSeconds, writeSeconds } from '../../src/message/ticket.ts';

suite('N(TICKET_LT_OPAQUE) (RFC 5723 §7.1) and N(AUTH_LIFETIME) (RFC 4478 §3)', () => {
  test('lifetime and ticket there and back', () => {
    const octets = fromHex('00015180c0ffee');
    const granted = { lifetimeSeconds: 86_400, ticket: fromHex('c0ffee') };
    assert.deepEqual(decodeGrantedTicket(octets), granted);
    assert.deepEqual(encodeGrantedTicket(granted), octets);
  });

  test('without a ticket, or with one that no datagram of ours could carry', () => {
    for (const length of [0, 3, 4, 4 + 1025]) assert.equal(decodeGrantedTicket(new Uint8Array(length)), undefined);
    assert.ok(decodeGrantedTicket(new Uint8Array(4 + 1024)));
  });

  test('seconds of four octets, unsigned', () => {
    assert.equal(readSeconds(fromHex('ffffffff')), 0xffff_ffff);
    assert.deepEqual(writeSeconds(0xffff_fffe), fromHex('fffffffe'));
    for (const hex of ['', '01', '0000000001']) assert.equal(readSeconds(fromHex(hex)), undefined);
  });
});
