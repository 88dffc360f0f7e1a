import { addressFromBytes, encodeUtf8, parseAddress } from '@aovpn/bytes';
import { fixedPpkIdentity, type Identity, type IkeSaConfig, type KeyAuthentication, type TrafficSelector } from '@aovpn/ike';
import { asciiNameOf, type Profile } from '@aovpn/profile';
import { authenticationOf, type AuthenticationKind } from './authentication.ts';
import { compileEapConfig } from './compile-eap-config.ts';
import { compileProposals } from './compile-proposals.ts';
import type { ConnectionSettings } from './connection-settings.ts';
import type { AlternativeName, CertificateFacts, CredentialFacts, SharedSecrets } from './credential-facts.ts';
import { problem } from './problem-catalogue.ts';
import type { Problem } from './problem.ts';
import { gatewayNamesOf, reviewProfile } from './review-profile.ts';

export interface CompiledIkeConfig {
  readonly config: IkeSaConfig;
  readonly authentication: AuthenticationKind;
  /** What is weaker than it should be, for the log. */
  readonly warnings: readonly string[];
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
  secrets: SharedSecrets = {},
): CompiledIkeConfig | { readonly problem: Problem } {
  const obstacle = reviewProfile(profile, settings);
  if (obstacle) return { problem: obstacle };
  const proposals = compileProposals(profile.nativeProfile?.cryptographySuite, settings);
  if ('problem' in proposals) return proposals;
  const wanted = authenticationOf(profile);
  if ('problem' in wanted) return wanted;
  const auth = compileAuthentication(profile, wanted.kind, settings, facts, secrets);
  if ('problem' in auth) return auth;
  const { gatewayKeys } = facts;
  const { ppk } = secrets;
  const limit = proposals.smallBlocks ? ours.smallBlockBytes : 0;
  return {
    authentication: auth.kind === 'shared-key' ? 'shared-key' : wanted.kind,
    warnings: [...warningsOfKey('shared key', secrets.sharedKey), ...warningsOfKey('post-quantum preshared key', ppk)],
    config: {
      ikeProposals: proposals.ike,
      childProposals: proposals.child,
      auth,
      certificateAuthorities: facts.gatewayAuthorities,
      gatewayNames: gatewayNamesOf(profile).map((name) => asciiNameOf(profile, name)),
      ...(settings.gatewayIdentity !== undefined && { gatewayIdentity: identityFromText(settings.gatewayIdentity) }),
      ...(gatewayKeys && { gatewayKeys }),
      ...(ppk && { ppk: { identity: ppkIdentity(settings), key: ppk, required: settings.ppkRequired !== false } }),
      childless: settings.childless === true,
      askTicket: settings.sessionResumption !== false,
      fetchesCertificates: settings.certificateUrls.length > 0,
      request: { v4: true, v6: true, dnssecAnchors: settings.dnssecAnchors },
      trafficSelectors: { tsi: everything, tsr: everything },
      fragmentation: profile.disableIkev2Fragmentation?.value !== true,
      fragmentSize: ours.fragmentSize,
      mobike: true,
      redirect: settings.redirect,
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
  { sharedKey }: SharedSecrets,
): IkeSaConfig['auth'] | { readonly problem: Problem } {
  const { rawKey, certificate, machine } = facts;
  if (kind !== 'certificate') {
    if (sharedKey || rawKey) return { problem: problem('sharedKeyBesideEap') };
    const peer = compileEapConfig(profile, settings, facts);
    if ('problem' in peer) return peer;
    const first = machine && keyAuthentication(machine, settings);
    if (first && 'problem' in first) return first;
    return {
      kind: 'eap',
      peer,
      ...(settings.allowEapOnly === true && { allowEapOnly: true }),
      ...(first && { machine: first }),
    };
  }
  if (sharedKey || rawKey) {
    if (settings.identity === undefined) return { problem: problem('identityWanted') };
    const identity = identityFromText(settings.identity);
    if (sharedKey) return { kind: 'shared-key', key: sharedKey, identity };
    return { kind: 'certificate', schemes: rawKey!.schemes, certificates: [], rawKey: rawKey!.spki, identity };
  }
  if (!certificate) return { problem: facts.certificateProblem ?? problem('noCertificate') };
  return keyAuthentication(certificate, settings);
}

function keyAuthentication(
  certificate: CertificateFacts,
  { identity: wanted, certificateUrl }: ConnectionSettings,
): KeyAuthentication | { readonly problem: Problem } {
  if (certificate.schemes.length === 0) return { problem: problem('noSignatureScheme') };
  const identity = certificateIdentity(certificate, wanted);
  if ('problem' in identity) return identity;
  const { schemes, chain } = certificate;
  return { kind: 'certificate', schemes, certificates: chain, identity, ...(certificateUrl !== undefined && { certificateUrl }) };
}

/** A name as people write it (RFC 7296 §3.5): `keyid:` is what Cisco calls a group, and others a peer's key ID. */
function identityFromText(text: string): Identity {
  if (text.startsWith('keyid:')) return { type: 11, data: encodeUtf8(text.slice('keyid:'.length)) };
  const address = parseAddress(text);
  if (address) return { type: address.family === 4 ? 1 : 5, data: address.bytes };
  return { type: text.includes('@') ? 3 : 2, data: encodeUtf8(text) };
}

/** PPK_ID of type PPK_ID_FIXED, which is what administrators write (RFC 8784 §5.1). */
function ppkIdentity({ ppkIdentity: name = '' }: ConnectionSettings): Uint8Array {
  return fixedPpkIdentity(encodeUtf8(name));
}

/**
 * Whoever plays the gateway once can search for a shared key at leisure (RFC 7296 §2.15), and for a PPK with a quantum computer beside (RFC 8784
 * §6): 32 octets are beyond that when they are random.
 */
function warningsOfKey(what: string, key: Uint8Array | undefined): string[] {
  if (!key) return [];
  if (key.length < 32) return [`the ${what} has ${key.length} octets; make it 32 or more, such as by "openssl rand -base64 32"`];
  if (new Set(key).size < 12) return [`the ${what} repeats itself and can be guessed; make it random`];
  return [];
}

/** The subject as DER, as Windows sends it for a machine certificate; a certificate without subject is known by its first name. */
function certificateIdentity(
  certificate: CertificateFacts,
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
