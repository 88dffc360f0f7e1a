import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseAddress } from '@aovpn/bytes';
import type { IkeSaConfig } from '@aovpn/ike';
import { sentTo } from '../src/open-attempt.ts';

// RFC 5685 §3, §11
suite('a gateway that another has sent us to', () => {
  const config = { gatewayNames: ['vpn.example'], redirect: true } as unknown as IkeSaConfig;
  const place = { server: 'evil.example', address: parseAddress('192.0.2.1')!, transport: 'udp' as const };

  test('a gateway that had not proven itself names nobody new', () => {
    const made = sentTo(config, { ...place, via: { server: 'vpn.example', proven: false } });
    assert.deepEqual(made.gatewayNames, ['vpn.example']);
    assert.deepEqual(made.redirectedFrom, { kind: 'name', name: 'vpn.example' });
  });

  test('one that had may name another', () => {
    const made = sentTo(config, { ...place, via: { server: '192.0.2.9', proven: true } });
    assert.deepEqual(made.gatewayNames, ['vpn.example', 'evil.example']);
    assert.deepEqual(made.redirectedFrom, { kind: 'address', address: parseAddress('192.0.2.9') });
  });

  test('without any nothing changes', () => assert.equal(sentTo(config, place), config));
});
