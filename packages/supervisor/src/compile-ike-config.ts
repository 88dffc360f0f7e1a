import { addressFromBytes, encodeUtf8 } from '@aovpn/bytes';
import type { Identity, IkeSaConfig, TrafficSelector } from '@aovpn/ike';
import type { Profile } from '@aovpn/profile';
import { authenticationOf, type AuthenticationKind } from './authentication.ts';
import { compileEapConfig } from './compile-eap-config.ts';
import { compileProposals } from './compile-proposals.ts';
import type { ConnectionSettings } from './connection-settings.ts';
import type { AlternativeName, CredentialFacts } from './credential-facts.ts';
import { problem } from './problem-catalogue.ts';
import type { Problem } from './problem.ts';
import { gatewayNamesOf, reviewProfile } from './review-profile.ts';

export interface CompiledIkeConfig {
  readonly config: IkeSaConfig;
  readonly authentication: AuthenticationKind;
}

/** Our choices for the IKE SA that nobody needs to set. */
const ours = {
  /** About eleven seconds until a silent gateway is given up; the back-off, or a new connection, follows. */
  retransmit: { firstMs: 500, factor: 1.8, tries: 4 },
  /** Fits an IPv6 path of the smallest MTU (1280): 1280 − 40 (IPv6) − 8 (UDP). */
  fragmentSize: 1232,
  /** With 64-bit blocks. */
  smallBlockBytes: 1 << 28,
} as const;

/** All that the IKE machine needs, from the profile, its settings and its credentials; or why it cannot work as things stand. */
export function compileIkeConfig(
  profile: Profile,
  settings: ConnectionSettings,
  facts: CredentialFacts,
): CompiledIkeConfig | { readonly problem: Problem } {
  const obstacle = reviewProfile(profile, settings);
  if (obstacle) return { problem: obstacle };
  const proposals = compileProposals(profile.nativeProfile?.cryptographySuite, settings);
  if ('problem' in proposals) return proposals;
  const wanted = authenticationOf(profile);
  if ('problem' in wanted) return wanted;
  const auth = compileAuthentication(profile, wanted.kind, settings, facts);
  if ('problem' in auth) return auth;
  const limit = proposals.smallBlocks ? ours.smallBlockBytes : 0;
  return {
    authentication: wanted.kind,
    config: {
      ikeProposals: proposals.ike,
      childProposals: proposals.child,
      auth,
      certificateAuthorities: facts.gatewayAuthorities,
      gatewayNames: gatewayNamesOf(profile),
      request: { v4: true, v6: true },
      trafficSelectors: { tsi: everything, tsr: everything },
      fragmentation: profile.disableIkev2Fragmentation?.value !== true,
      fragmentSize: ours.fragmentSize,
      mobike: true,
      forceUdpEncapsulation: true,
      retransmit: ours.retransmit,
      dpdMs: settings.dpdMs,
      ikeRekeyMs: settings.ikeLifetimeMs,
      childRekeyMs: settings.childLifetimeMs,
      childRekeyBytes:
        limit && settings.childLifetimeBytes
          ? Math.min(limit, settings.childLifetimeBytes)
          : limit || settings.childLifetimeBytes,
      eapWaitMs: settings.eapWaitMs,
    },
  };
}

function compileAuthentication(
  profile: Profile,
  kind: AuthenticationKind,
  settings: ConnectionSettings,
  facts: CredentialFacts,
): IkeSaConfig['auth'] | { readonly problem: Problem } {
  if (kind !== 'certificate') {
    const peer = compileEapConfig(profile, settings, facts);
    if ('problem' in peer) return peer;
    return { kind: 'eap', peer, ...(settings.allowEapOnly === true && { allowEapOnly: true }) };
  }
  const { certificate } = facts;
  if (!certificate) return { problem: facts.certificateProblem ?? problem('noCertificate') };
  if (certificate.schemes.length === 0) return { problem: problem('noSignatureScheme') };
  const identity = certificateIdentity(certificate, settings.identity);
  if ('problem' in identity) return identity;
  return { kind: 'certificate', schemes: certificate.schemes, certificates: certificate.chain, identity };
}

/** The subject as DER, as Windows sends it for a machine certificate; a certificate without subject is known by its first name. */
function certificateIdentity(
  certificate: NonNullable<CredentialFacts['certificate']>,
  wanted: string | undefined,
): Identity | { readonly problem: Problem } {
  const { subject, alternativeNames } = certificate;
  const named = (name: AlternativeName | undefined): Identity | undefined =>
    name && (name.kind === 'dns' || name.kind === 'email' || name.kind === 'upn')
      ? { type: name.kind === 'dns' ? 2 : 3, data: encodeUtf8(name.value) }
      : undefined;
  const identity =
    wanted === undefined
      ? subject
        ? { type: 9, data: subject }
        : named(alternativeNames.find(({ kind }) => kind !== 'ip'))
      : wanted === 'subject'
        ? subject && { type: 9, data: subject }
        : named(alternativeNames.find(({ value }) => value.toLowerCase() === wanted.toLowerCase()));
  return (
    identity ?? {
      problem: problem('identityNotInCertificate', wanted ?? 'the certificate has neither subject nor alternative name'),
    }
  );
}

/** Everything of both families; the gateway narrows it (RFC 7296 §2.9). */
const everything: readonly TrafficSelector[] = [4, 16].map((length) => ({
  protocol: 0,
  fromPort: 0,
  toPort: 65_535,
  from: addressFromBytes(new Uint8Array(length)),
  to: addressFromBytes(new Uint8Array(length).fill(255)),
}));
