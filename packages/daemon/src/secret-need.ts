import type { EapPeerConfig, InnerEapConfig } from '@aovpn/eap';
import type { EapSettings, Profile } from '@aovpn/profile';

/** Whether the profile's EAP ends at a RADIUS server that shows a certificate. */
export function radiusServerOf(profile: Profile): boolean {
  const method = eapOf(profile)?.method;
  return method === 'tls' || method === 'peap' || method === 'ttls';
}

/** Whether a password, or whatever EAP-GTC asks for, is part of the profile's authentication. */
export function wantsSecret(profile: Profile): boolean {
  const eap = eapOf(profile);
  switch (eap?.method) {
    case 'mschapv2':
      return true;
    case 'peap':
      return eap.inner?.method === 'mschapv2' || eap.inner?.method === 'gtc';
    case 'ttls':
      return eap.phase2.kind !== 'eap' || eap.phase2.inner.method === 'mschapv2' || eap.phase2.inner.method === 'gtc';
    case 'tls':
    case 'unsupported':
    case undefined:
      return false;
  }
}

/** Whose password will be asked for, as far as that is known before the server says so. */
export function passwordUserOf({ method }: EapPeerConfig): string | undefined {
  switch (method.kind) {
    case 'mschapv2':
      return method.userName;
    case 'tls':
      return undefined;
    case 'peap':
      return ofInner(method.inner);
    case 'ttls':
      return method.inner.kind === 'eap' ? ofInner(method.inner) : method.inner.userName;
  }
}

/** What EAP-GTC wants is known only once the server has asked. */
function ofInner({ method }: InnerEapConfig): string | undefined {
  return method.kind === 'mschapv2' ? method.userName : undefined;
}

/** The EAP settings that are used: UserMethod wins, as `authenticationOf` has it. */
function eapOf(profile: Profile): EapSettings | undefined {
  const { userMethod, machineMethod, eap } = profile.nativeProfile?.authentication ?? {};
  const uses = userMethod?.value === 'EAP' || (!userMethod && machineMethod?.value === 'EAP');
  return uses ? eap?.value : undefined;
}
