import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { decideTrustedNetwork, wantsBeacon, type BeaconAnswer, type LinkSuffix } from '../src/index.ts';

const because = { profile: 'corp', why: 'TrustedNetworkDetection', at: { line: 7, column: 3 } };
const trusting = (...values: readonly string[]) => ({
  trustedNetworks: values.map((value) => ({ value, because, implicit: false })),
});
const link = (suffix: string, device = 'eth0'): LinkSuffix => ({ device, suffix, source: 'systemd-networkd' });
const proven: BeaconAnswer = { kind: 'proven', what: 'the beacon has proven itself' };
const refuted: BeaconAnswer = { kind: 'refuted', what: 'the beacon is silent' };

suite('trusted network', () => {
  test('the whole suffix of a physical link, any of several; spoofable, and it says so with the line', () => {
    const intent = trusting('lan.example', 'corp.example');
    const verdict = decideTrustedNetwork({ intent, suffixes: [link('home.example', 'wlan0'), link('corp.example')] });
    assert.equal(verdict.kind, 'trusted');
    assert.equal(verdict.spoofable, true);
    assert.deepEqual(verdict.because, because);
    assert.match(
      verdict.trace.join('\n'),
      /eth0 has the DNS suffix corp\.example \(systemd-networkd\)[^]*any network can hand it out/,
    );
  });

  for (const suffix of ['example', 'branch.corp.example', 'xcorp.example', 'corp.example.org'])
    test(`${suffix} is not corp.example`, () => {
      assert.equal(decideTrustedNetwork({ intent: trusting('corp.example'), suffixes: [link(suffix)] }).kind, 'untrusted');
    });

  test('no suffix at all, and a profile that trusts none', () => {
    assert.equal(decideTrustedNetwork({ intent: trusting('corp.example'), suffixes: [] }).kind, 'untrusted');
    assert.equal(decideTrustedNetwork({ intent: trusting(), suffixes: [link('corp.example')] }).kind, 'untrusted');
  });

  test('with a beacon the suffix is a hint and the beacon decides', () => {
    const intent = trusting('corp.example');
    const suffixes = [link('corp.example')];
    assert.deepEqual(
      [proven, refuted, { kind: 'asking' } as const].map((beacon) => {
        const { kind, spoofable } = decideTrustedNetwork({ intent, suffixes, beacon });
        return [kind, spoofable];
      }),
      [
        ['trusted', false],
        ['untrusted', false],
        ['asking', false],
      ],
    );
    assert.equal(decideTrustedNetwork({ intent, suffixes: [], beacon: proven }).kind, 'untrusted', 'a beacon seen from outside');
    assert.equal(decideTrustedNetwork({ intent: trusting(), suffixes: [], beacon: proven }).kind, 'trusted', 'a beacon alone');
  });

  test('the name of the beacon is spoken only where a suffix fits, if the profile has any', () => {
    assert.equal(wantsBeacon({ intent: trusting('corp.example'), suffixes: [link('hotel.example')] }), false);
    assert.equal(wantsBeacon({ intent: trusting('corp.example'), suffixes: [link('corp.example')] }), true);
    assert.equal(wantsBeacon({ intent: trusting(), suffixes: [] }), true);
  });

  test('LockDown trusts no network and asks no beacon', () => {
    const intent = { ...trusting('corp.example'), lockdown: because };
    assert.equal(decideTrustedNetwork({ intent, suffixes: [link('corp.example')], beacon: proven }).kind, 'untrusted');
    assert.equal(wantsBeacon({ intent, suffixes: [link('corp.example')] }), false);
  });
});
