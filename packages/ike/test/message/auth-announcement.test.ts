import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { fromHex } from '@aovpn/bytes';
import { decodeAuthAnnouncements, encodeAuthAnnouncements } from '../../src/message/auth-announcement.ts';

suite('N(SUPPORTED_AUTH_METHODS) (RFC 9593 §3.2)', () => {
  const ed25519 = fromHex('300506032b6570');
  test('the three forms of an announcement there and back', () => {
    const octets = fromHex('02010309020a0e01300506032b6570');
    const announcements = [
      { method: 1, certificateLink: 0 },
      { method: 9, certificateLink: 2 },
      { method: 14, certificateLink: 1, algorithm: ed25519 },
    ];
    assert.deepEqual(decodeAuthAnnouncements(octets), announcements);
    assert.deepEqual(encodeAuthAnnouncements(announcements), octets);
  });

  test('what cannot be read ends the list, and nothing throws', () => {
    for (const [hex, count] of [
      ['', 0],
      ['00', 0],
      ['01', 0],
      ['0201ff', 1],
      ['02010a0e01', 1],
      ['0201'.repeat(100), 64],
    ] as const)
      assert.equal(decodeAuthAnnouncements(fromHex(hex)).length, count, hex);
  });
});
