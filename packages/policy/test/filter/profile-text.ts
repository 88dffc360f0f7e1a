import assert from 'node:assert/strict';
import { parseProfile, type Profile } from '@aovpn/profile';

/** A user tunnel around what a test is about: its elements start in line 9, one line each. */
export function profileWith(elements: readonly string[], native = 'SplitTunnel'): Profile {
  const text = [
    '<VPNProfile>',
    '  <NativeProfile>',
    '    <Servers>vpn.example</Servers>',
    `    <RoutingPolicyType>${native}</RoutingPolicyType>`,
    '    <NativeProtocolType>IKEv2</NativeProtocolType>',
    '    <Authentication><MachineMethod>Certificate</MachineMethod></Authentication>',
    '    <DisableClassBasedDefaultRoute>true</DisableClassBasedDefaultRoute>',
    '  </NativeProfile>',
    ...elements.map((element) => `  ${element}`),
    '</VPNProfile>',
    '',
  ].join('\n');
  const { profile, diagnostics } = parseProfile(new TextEncoder().encode(text));
  assert.ok(profile, JSON.stringify(diagnostics.filter(({ severity }) => severity === 'error')));
  return profile;
}

export function filter(...children: readonly string[]): string {
  return `<TrafficFilter>${children.join('')}</TrafficFilter>`;
}
