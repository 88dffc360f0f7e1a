import type { EapSettings, EapTlsSettings, InnerEapSettings } from '../profile.ts';
import { isUnread, type CheckContext } from './check.ts';

/** User and machine methods and what they need. */
export function checkAuthentication({ profile, report }: CheckContext): void {
  const native = profile.nativeProfile;
  if (!native) return;
  const path = 'VPNProfile/NativeProfile/Authentication';
  const { authentication, nativeProtocolType: protocol } = native;
  const user = authentication?.userMethod;
  const machine = authentication?.machineMethod;
  const unread = isUnread(profile, path, 'UserMethod') || isUnread(profile, path, 'MachineMethod');
  if (!user && !machine && !unread) {
    report('authenticationMissing', (authentication ?? native).at, path, 'there is neither UserMethod nor MachineMethod');
  }
  if (!authentication) return;
  if (user?.value === 'MSChapv2' && (protocol?.value === 'IKEv2' || protocol?.value === 'Automatic' || !protocol)) {
    report(
      'bareMschapv2',
      user.at,
      `${path}/UserMethod`,
      `UserMethod is MSChapv2, the protocol is ${protocol?.value ?? 'not given'}`,
    );
  }
  if (machine?.value === 'Certificate') {
    if (protocol?.value !== 'IKEv2') {
      report(
        'machineCertificateNeedsIkev2',
        machine.at,
        `${path}/MachineMethod`,
        `NativeProtocolType is ${protocol?.value ?? 'absent'}`,
      );
    }
    if (user) report('twoAuthenticationMethods', user.at, path, `UserMethod is ${user.value}, MachineMethod is Certificate`);
  }
  if (machine?.value === 'EAP') {
    if (user?.value === 'EAP') report('eapTwice', machine.at, `${path}/MachineMethod`, 'both methods are EAP');
    else if (user) report('twoAuthenticationMethods', user.at, path, `UserMethod is ${user.value}, MachineMethod is EAP`);
    else report('machineEapAlone', machine.at, `${path}/MachineMethod`, 'there is no UserMethod');
  }
  const wantsEap = user?.value === 'EAP' || machine?.value === 'EAP';
  const hasEap = authentication.eapXml !== undefined || authentication.eap !== undefined;
  if (wantsEap && !hasEap && !isUnread(profile, `${path}/Eap`, 'Configuration')) {
    report('eapConfigurationMissing', (user ?? machine)!.at, path, 'there is no Eap/Configuration');
  }
  if (!wantsEap && hasEap && !unread) {
    report(
      'eapConfigurationUnused',
      authentication.eap?.at ?? authentication.at,
      `${path}/Eap/Configuration`,
      'no method is EAP',
    );
  }
  for (const [name, reserved] of [
    ['Issuer', authentication.certificateIssuer],
    ['Eku', authentication.certificateEku],
  ] as const) {
    if (reserved) {
      report('reservedElement', reserved.at, `${path}/Certificate/${name}`, `<${name}> has no effect on Windows`, {
        here: 'A machine certificate must fit it, unless one is named in aovpn.toml.',
      });
    }
  }
  const eap = authentication.eap;
  const remember = profile.rememberCredentials;
  if (remember?.value === true && (machine?.value === 'Certificate' || (eap && !asksForPassword(eap.value)))) {
    report('credentialsRemembered', remember.at, 'VPNProfile/RememberCredentials', 'certificates authenticate this profile');
  }
  const compliance = profile.deviceCompliance;
  if (compliance?.enabled?.value === true && eap && filterOf(eap.value)?.caHashList?.enabled === true) {
    report(
      'complianceAndCaHashList',
      eap.at,
      `${path}/Eap/Configuration`,
      `CAHashList is enabled, DeviceCompliance is in line ${compliance.at.line}`,
    );
  }
}

function asksForPassword(eap: EapSettings): boolean {
  return eap.method !== 'tls' && innerOf(eap)?.method !== 'tls';
}

function filterOf(eap: EapSettings): EapTlsSettings['filter'] {
  if (eap.method === 'tls') return eap.filter;
  const inner = innerOf(eap);
  return inner?.method === 'tls' ? inner.filter : undefined;
}

function innerOf(eap: EapSettings): InnerEapSettings | undefined {
  if (eap.method === 'peap') return eap.inner;
  return eap.method === 'ttls' && eap.phase2.kind === 'eap' ? eap.phase2.inner : undefined;
}
