import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { describeProfile, isDeviceTunnel, isForceTunnel, isLockDown } from '../src/index.ts';
import { arbitraryProfile } from './arbitrary-profile.ts';
import { parse, profileText } from './profile-text.ts';

suite('a profile in words', () => {
  test('every statement has the line that makes it', () => {
    const { profile } = parse(profileText({ top: '\n<AlwaysOn>true</AlwaysOn>\n<DnsSuffix>a.example</DnsSuffix>\n' }));
    const shown = describeProfile(profile!);
    assert.match(shown, /always on\s+yes {2}\(line 2\)/);
    assert.match(shown, /suffixes\s+a\.example {2}\(line 3\)/);
    assert.match(shown, /servers\s+vpn\.example\.com {2}\(line 4\)/);
    assert.match(shown, /routing\s+force tunnel/);
  });

  test('secrets are not shown', () => {
    const top = '<APNBinding><Password>swordfish</Password></APNBinding>';
    const { understood } = parse(profileText({ top, more: '<L2tpPsk>hunter2</L2tpPsk>' }));
    assert.doesNotMatch(describeProfile(understood!), /hunter2|swordfish/);
  });

  test('any profile can be described, in printable lines', () => {
    fc.assert(
      fc.property(arbitraryProfile, (profile) => {
        const shown = describeProfile(profile);
        // oxlint-disable-next-line no-control-regex -- control characters are what this is about
        assert.doesNotMatch(shown, /[\u0000-\u0009\u000b-\u001f\u200b]/);
      }),
    );
  });
});

test('the kind of a tunnel', () => {
  const kind = (text: string): readonly boolean[] => {
    const profile = parse(text).understood!;
    return [isDeviceTunnel(profile), isLockDown(profile), isForceTunnel(profile)];
  };
  assert.deepEqual(kind(profileText()), [false, false, true]);
  assert.deepEqual(kind(profileText({ policy: '<RoutingPolicyType>SplitTunnel</RoutingPolicyType>' })), [false, false, false]);
  assert.deepEqual(kind(profileText({ policy: '', top: '<LockDown>true</LockDown>' })), [false, true, true]);
  assert.deepEqual(kind(profileText({ top: '<DeviceTunnel>true</DeviceTunnel><LockDown>false</LockDown>' })), [
    true,
    false,
    true,
  ]);
});
