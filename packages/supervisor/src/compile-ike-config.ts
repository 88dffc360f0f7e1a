import { addressFromBytes, encodeUtf8 } from '@aovpn/bytes';
import type { Identity, IkeSaConfig, SignatureScheme, TrafficSelector } from '@aovpn/ike';
import type { EapTlsSettings, Profile } from '@aovpn/profile';
import { compileProposals } from './compile-proposals.ts';
import type { ConnectionSettings } from './connection-settings.ts';
import { problem } from './problem-catalogue.ts';
import type { AuthenticationKind } from './problem-of.ts';
import type { Problem } from './problem.ts';
import { authenticationOf, gatewayNamesOf, reviewProfile } from './review-profile.ts';

/** A name that a certificate carries besides its subject. */
export interface AlternativeName {
  readonly kind: 'dns' | 'email' | 'upn' | 'ip';
  readonly value: string;
}

/** What the host found beside the profile; no secrets. */
export interface CredentialFacts {
  readonly certificate?: {
    /** DER, leaf first. */
    readonly chain: readonly Uint8Array[];
    /** Most wanted first. */
    readonly schemes: readonly SignatureScheme[];
    /** DER of the subject; undefined when it is empty. */
    readonly subject?: Uint8Array;
    readonly commonName?: string;
    readonly alternativeNames: readonly AlternativeName[];
  };
  readonly hasPassword: boolean;
  /** SHA-1 of the SubjectPublicKeyInfo of each authority that may have issued the gateway's certificate. */
  readonly gatewayAuthorities: readonly Uint8Array[];
}

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
  const proposals = compileProposals(profile.nativeProfile?.cryptographySuite, settings.allowWeak);
  if ('problem' in proposals) return proposals;
  const auth = compileAuthentication(profile, settings, facts);
  if ('problem' in auth) return auth;
  const limit = proposals.smallBlocks ? ours.smallBlockBytes : 0;
  return {
    authentication: auth.kind,
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
  settings: ConnectionSettings,
  facts: CredentialFacts,
): IkeSaConfig['auth'] | { readonly problem: Problem } {
  const wanted = authenticationOf(profile);
  if ('problem' in wanted) return wanted;
  const { certificate } = facts;
  switch (wanted.kind) {
    case 'certificate': {
      if (!certificate) return { problem: problem('noCertificate') };
      if (certificate.schemes.length === 0) return { problem: problem('noSignatureScheme') };
      const identity = certificateIdentity(certificate, settings.identity);
      if ('problem' in identity) return identity;
      return { kind: 'certificate', schemes: certificate.schemes, certificates: certificate.chain, identity };
    }
    case 'mschapv2': {
      if (!settings.userName) return { problem: problem('noUserName') };
      if (!facts.hasPassword) return { problem: problem('noPassword') };
      return { kind: 'eap', peer: { identity: settings.userName, method: { kind: 'mschapv2', userName: settings.userName } } };
    }
    case 'eap-tls': {
      if (!certificate) return { problem: problem('noCertificate') };
      const name = settings.userName ?? userNameIn(certificate);
      if (name === undefined) return { problem: problem('noUserName', 'nor is one in the certificate') };
      const eap = profile.nativeProfile!.authentication!.eap!.value as EapTlsSettings;
      return { kind: 'eap', peer: { identity: name, method: { kind: 'tls', trust: trustOf(eap) } } };
    }
  }
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

/** The name that an account is known by in a certificate: user principal name first, as Active Directory maps it. */
function userNameIn(certificate: NonNullable<CredentialFacts['certificate']>): string | undefined {
  const first = (kind: AlternativeName['kind']): string | undefined =>
    certificate.alternativeNames.find((name) => name.kind === kind)?.value;
  return first('upn') ?? first('email') ?? first('dns') ?? certificate.commonName;
}

function trustOf({
  serverValidation,
}: EapTlsSettings): Extract<Extract<IkeSaConfig['auth'], { kind: 'eap' }>['peer']['method'], { kind: 'tls' }>['trust'] {
  return {
    validate: serverValidation.performServerValidation !== false,
    serverNames: serverValidation.acceptServerName === false ? [] : serverValidation.serverNames,
    trustedRoots: serverValidation.trustedRootCa,
  };
}

/** Everything of both families; the gateway narrows it (RFC 7296 §2.9). */
const everything: readonly TrafficSelector[] = [4, 16].map((length) => ({
  protocol: 0,
  fromPort: 0,
  toPort: 65_535,
  from: addressFromBytes(new Uint8Array(length)),
  to: addressFromBytes(new Uint8Array(length).fill(255)),
}));
