import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { compilePlan, objectionToAddress } from '../../src/index.ts';
import { address, at, host, live, prefix, profile, route } from '../sample.ts';

const native = {
  at: { line: 2, column: 3 },
  routingPolicyType: at('SplitTunnel' as const, 3),
  disableClassBasedDefaultRoute: at(true, 4),
};
const device = live('Device', profile({ nativeProfile: native, routes: [route('10.1.0.0/16', 10)] }), {
  device: 'aov-device',
});
const owners = {
  machine: [address('192.168.1.10')],
  attached: [prefix('192.168.1.0/24'), prefix('172.17.0.0/16')],
  servers: [address('10.99.0.53')],
  plan: compilePlan({ tunnels: [device], host: host() }),
};

suite('addresses that a user’s own gateway gives', () => {
  for (const [text, why] of [
    ['10.40.0.2', undefined],
    ['100.64.3.2', undefined],
    ['fd00::2', undefined],
    // The next one would be everybody's bank.
    ['198.51.100.7', /no private address/],
    ['2001:db8::7', /no private address/],
    ['127.0.0.2', /no private address/],
    ['169.254.1.1', /no private address/],
    ['192.168.1.10', /belongs to this machine/],
    ['10.99.0.53', /name server/],
    ['192.168.1.1', /attached to/],
    ['172.17.0.5', /attached to/],
    ['10.1.200.3', /10\.1\.0\.0\/16, which another tunnel leads to/],
    ['10.9.0.2', /another tunnel/],
  ] as const)
    test(`${text}: ${why === undefined ? 'may be had' : 'refused'}`, () => {
      const objection = objectionToAddress(address(text), 'aov-alice-home', owners);
      if (why === undefined) assert.equal(objection, undefined);
      else assert.match(objection ?? '', why);
    });

  test('its own address from before is no other tunnel’s', () => {
    const again = objectionToAddress(address('10.9.0.2'), 'aov-device', owners);
    assert.equal(again, undefined);
  });
});
