import type { Authentication, EapPeapSettings, EapTtlsSettings, Profile, ServerValidation } from '@aovpn/profile';
import { problem } from './problem-catalogue.ts';
import type { Problem } from './problem.ts';

/** Every way to authenticate that we have: the IKE method, or the EAP method with what runs inside of it. */
export type AuthenticationKind =
  | 'certificate'
  /** Of the machine, from the settings: ProfileXML has no word for it. */
  | 'shared-key'
  | 'mschapv2'
  | 'eap-tls'
  | 'peap-mschapv2'
  | 'peap-tls'
  | 'peap-gtc'
  | 'ttls-pap'
  | 'ttls-chap'
  | 'ttls-mschap'
  | 'ttls-mschapv2'
  | 'ttls-eap-mschapv2'
  | 'ttls-tls'
  | 'ttls-gtc';

/** How a profile authenticates, and what of this machine that takes. */
export interface AuthenticationPlan {
  readonly kind: AuthenticationKind;
  readonly usesCertificate: boolean;
  /** A password, or a one-time code. */
  readonly usesPassword: boolean;
  /** There is TLS with the RADIUS server, whose certificate is compared with what the profile says. */
  readonly usesRadiusTls: boolean;
}

/** How the profile wants to authenticate, the settings aside, or why we cannot. */
export function authenticationOf(profile: Profile): AuthenticationPlan | { readonly problem: Problem } {
  const authentication = profile.nativeProfile?.authentication;
  if (!authentication) return { problem: problem('noAuthentication') };
  const { userMethod, machineMethod, eap } = authentication;
  const wantsEap = userMethod?.value === 'EAP' || (!userMethod && machineMethod?.value === 'EAP');
  if (userMethod?.value === 'MSChapv2') {
    return unsupported(`UserMethod MSChapv2, line ${userMethod.at.line}; IKEv2 has it only inside EAP`);
  }
  if (!wantsEap) {
    if (machineMethod?.value === 'Certificate') return plan('certificate');
    return { problem: problem('noAuthentication', `line ${authentication.at.line}`) };
  }
  if (!eap) return { problem: problem('noAuthentication', `EAP without Eap/Configuration, line ${authentication.at.line}`) };
  return eapPlan(eap);
}

function eapPlan(eap: NonNullable<Authentication['eap']>): AuthenticationPlan | { readonly problem: Problem } {
  const settings = eap.value;
  switch (settings.method) {
    case 'tls':
      return plan('eap-tls');
    case 'mschapv2':
      return plan('mschapv2');
    case 'peap':
      return peapPlan(settings, eap.at.line);
    case 'ttls':
      return ttlsPlan(settings, eap.at.line);
    case 'unsupported':
      return unsupported(`EAP type ${settings.type}, line ${eap.at.line}`);
  }
}

function peapPlan(
  { inner, serverValidation }: EapPeapSettings,
  line: number,
): AuthenticationPlan | { readonly problem: Problem } {
  switch (inner?.method) {
    case 'tls':
      return plan('peap-tls');
    case 'mschapv2':
      return plan('peap-mschapv2');
    case 'gtc':
      return withCheckedServer('peap-gtc', serverValidation, line);
    case 'unsupported':
      return unsupported(`EAP type ${inner.type} inside PEAP, line ${line}`);
    case undefined:
      return unsupported(`PEAP without an inner method, line ${line}`);
  }
}

function ttlsPlan(
  { phase2, serverValidation }: EapTtlsSettings,
  line: number,
): AuthenticationPlan | { readonly problem: Problem } {
  switch (phase2.kind) {
    case 'pap':
      return withCheckedServer('ttls-pap', serverValidation, line);
    case 'chap':
      return withCheckedServer('ttls-chap', serverValidation, line);
    case 'mschap':
      return plan('ttls-mschap');
    case 'mschapv2':
      return plan('ttls-mschapv2');
    case 'eap':
      break;
  }
  switch (phase2.inner.method) {
    case 'tls':
      return plan('ttls-tls');
    case 'mschapv2':
      return plan('ttls-eap-mschapv2');
    case 'gtc':
      return withCheckedServer('ttls-gtc', serverValidation, line);
    case 'unsupported':
      return unsupported(`EAP type ${phase2.inner.type} inside EAP-TTLS, line ${line}`);
  }
}

/** For methods that give the password away to whoever ends the tunnel. */
function withCheckedServer(
  kind: AuthenticationKind,
  { performServerValidation }: ServerValidation,
  line: number,
): AuthenticationPlan | { readonly problem: Problem } {
  if (performServerValidation !== false) return plan(kind);
  return { problem: problem('secretForAnybody', `PerformServerValidation is false, line ${line}`) };
}

function plan(kind: AuthenticationKind): AuthenticationPlan {
  return {
    kind,
    usesCertificate: kind === 'certificate' || kind.endsWith('-tls'),
    usesPassword: kind !== 'certificate' && !kind.endsWith('-tls'),
    usesRadiusTls: kind !== 'certificate' && kind !== 'mschapv2',
  };
}

function unsupported(detail: string): { readonly problem: Problem } {
  return { problem: problem('authenticationMethod', detail) };
}
