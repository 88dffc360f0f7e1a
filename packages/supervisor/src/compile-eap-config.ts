import type { EapPeerConfig, InnerEapConfig, TlsServerTrust } from '@aovpn/eap';
import type { EapSettings, EapTlsSettings, InnerEapSettings, Profile, ServerValidation } from '@aovpn/profile';
import { authenticationOf } from './authentication.ts';
import type { ConnectionSettings } from './connection-settings.ts';
import type { CredentialFacts } from './credential-facts.ts';
import { problem } from './problem-catalogue.ts';
import type { Problem } from './problem.ts';

type WithProblem<T> = T | { readonly problem: Problem };

/**
 * What the EAP peer is to do, from EapHostConfig, settings and credentials. All trust in it is trust in the RADIUS server: nothing
 * about the gateway is decided here, nor taken from what the gateway is believed by.
 */
export function compileEapConfig(
  profile: Profile,
  settings: Pick<ConnectionSettings, 'userName'>,
  facts: CredentialFacts,
): WithProblem<EapPeerConfig> {
  const wanted = authenticationOf(profile);
  if ('problem' in wanted) return wanted;
  const eap = profile.nativeProfile!.authentication!.eap!;
  if (wanted.usesCertificate && !facts.certificate) return { problem: facts.certificateProblem ?? problem('noUserCertificate') };
  if (wanted.usesPassword && settings.userName === undefined) return { problem: problem('noUserName') };
  if (wanted.usesPassword && !facts.hasPassword) return { problem: problem('noPassword') };
  return compileMethod(eap.value, eap.at.line, settings, facts);
}

function compileMethod(
  eap: EapSettings,
  line: number,
  settings: Pick<ConnectionSettings, 'userName'>,
  facts: CredentialFacts,
): WithProblem<EapPeerConfig> {
  const userName = settings.userName ?? '';
  switch (eap.method) {
    case 'mschapv2':
      return { identity: userName, method: { kind: 'mschapv2', userName } };
    case 'tls': {
      const identity = certificateUser(eap, line, settings, facts);
      if (typeof identity !== 'string') return identity;
      return { identity, method: { kind: 'tls', trust: trustOf(eap.serverValidation) } };
    }
    case 'peap': {
      const inner = compileInner(eap.inner, line, settings, facts);
      if ('problem' in inner) return inner;
      if (inner.method.kind === 'gtc' && believesAnybody(eap.serverValidation, facts)) return secretForAnybody('EAP-GTC', line);
      const { requireCryptoBinding, fastReconnect, serverValidation, anonymousUserName } = eap;
      return {
        identity: outerIdentity(anonymousUserName, inner.identity),
        method: { kind: 'peap', trust: trustOf(serverValidation), requireCryptoBinding, fastReconnect, inner },
      };
    }
    case 'ttls': {
      const { phase2, serverValidation, anonymousIdentity } = eap;
      const trust = trustOf(serverValidation);
      if (phase2.kind !== 'eap') {
        if ((phase2.kind === 'pap' || phase2.kind === 'chap') && believesAnybody(serverValidation, facts))
          return secretForAnybody(phase2.kind.toUpperCase(), line);
        return {
          identity: outerIdentity(anonymousIdentity, userName),
          method: { kind: 'ttls', trust, inner: { kind: phase2.kind, userName } },
        };
      }
      const inner = compileInner(phase2.inner, line, settings, facts);
      if ('problem' in inner) return inner;
      if (inner.method.kind === 'gtc' && believesAnybody(serverValidation, facts)) return secretForAnybody('EAP-GTC', line);
      return {
        identity: outerIdentity(anonymousIdentity, inner.identity),
        method: { kind: 'ttls', trust, inner: { kind: 'eap', ...inner } },
      };
    }
    case 'unsupported':
      return { problem: problem('authenticationMethod', `EAP type ${eap.type}, line ${line}`) };
  }
}

function compileInner(
  inner: InnerEapSettings | undefined,
  line: number,
  settings: Pick<ConnectionSettings, 'userName'>,
  facts: CredentialFacts,
): WithProblem<InnerEapConfig> {
  const userName = settings.userName ?? '';
  switch (inner?.method) {
    case 'mschapv2':
    case 'gtc':
      return { identity: userName, method: { kind: inner.method, userName } };
    case 'tls': {
      const identity = certificateUser(inner, line, settings, facts);
      if (typeof identity !== 'string') return identity;
      return { identity, method: { kind: 'tls', trust: trustOf(inner.serverValidation) } };
    }
    case 'unsupported':
    case undefined:
      return { problem: problem('authenticationMethod', `line ${line}`) };
  }
}

/** Who the certificate speaks for: the name in it, unless the settings say another, which DifferentUsername makes a must. */
function certificateUser(
  { differentUsername, at }: EapTlsSettings,
  line: number,
  { userName }: Pick<ConnectionSettings, 'userName'>,
  { certificate }: CredentialFacts,
): string | { readonly problem: Problem } {
  if (userName !== undefined) return userName;
  if (differentUsername) {
    const detail = `DifferentUsername is true, line ${at?.line ?? line}: the one in the certificate is not to be used`;
    return { problem: problem('noUserName', detail) };
  }
  const first = (kind: 'upn' | 'email' | 'dns'): string | undefined =>
    certificate?.alternativeNames.find((name) => name.kind === kind)?.value;
  // The user principal name first: Active Directory finds the account by it.
  const name = first('upn') ?? first('email') ?? first('dns') ?? certificate?.commonName;
  return name ?? { problem: problem('noUserName', 'nor is one in the certificate') };
}

/**
 * What everybody on the way may read. With identity privacy Windows puts the anonymous name in the place of the user and keeps the
 * realm, so that the request still finds the right RADIUS server: `guest@corp.example`, or `@corp.example` when that name is empty.
 */
export function outerIdentity(anonymous: string | undefined, userName: string): string {
  if (anonymous === undefined) return userName;
  if (anonymous.includes('@')) return anonymous;
  const realm = userName.lastIndexOf('@');
  // A user name without realm would leave nothing at all: then the name that RFC 7542 §2.4 knows.
  return realm < 0 ? anonymous || 'anonymous' : anonymous + userName.slice(realm);
}

/** Whether any server with a certificate of any public authority would do. No validation at all is refused before. */
function believesAnybody(validation: ServerValidation, { anyRadiusRoot }: CredentialFacts): boolean {
  const { serverNames, trustedRoots } = trustOf(validation);
  return anyRadiusRoot === true && serverNames.length === 0 && trustedRoots.length === 0;
}

function secretForAnybody(method: string, line: number): { readonly problem: Problem } {
  return {
    problem: problem('secretForAnybody', `${method} shows it as it is, and any public certificate would do, line ${line}`),
  };
}

/** Left unchecked only when the profile says so in so many words. */
function trustOf(validation: ServerValidation): TlsServerTrust {
  const { serverNames, trustedRootCa, performServerValidation, acceptServerName, disableUserPrompt } = validation;
  const validate = performServerValidation !== false;
  const mayAsk = validate && !disableUserPrompt && validation.allowPromptingWhenServerCaNotFound !== false;
  return {
    validate,
    serverNames: acceptServerName === false ? [] : serverNames,
    trustedRoots: trustedRootCa,
    ...(mayAsk && { mayAsk }),
  };
}
