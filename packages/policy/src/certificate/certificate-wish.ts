import type { CertificateFilter, EapTlsSettings, EkuList, Position, Profile } from '@aovpn/profile';

/** What the certificate is to speak for: IKE itself, EAP-TLS, or EAP-TLS inside of a tunnel. */
export type CertificatePurpose = 'ike' | 'eap-tls' | 'peap-tls' | 'ttls-tls';

/** A wish of the profile, with the place that has it; none for what is always so. */
export interface Wished<T> {
  readonly value: T;
  readonly what: string;
  readonly at?: Position;
}

/** One way for the extended key usage to be right: any one of them is enough. */
export type EkuAlternative =
  /** `purpose` and all of `also`. `unmapped`: names that EKUMapping does not explain; such a list takes no certificate. */
  | {
      readonly kind: 'has';
      readonly purpose?: string;
      readonly also: readonly string[];
      readonly unmapped: readonly string[];
      readonly what: string;
      readonly at?: Position;
    }
  /** No extended key usage at all: "all purposes". */
  | { readonly kind: 'none'; readonly what: string; readonly at?: Position };

/** A certificate that somebody named. It wins, and is judged all the same. */
export interface ExplicitCertificate {
  /** {@link CertificateCandidate.id}. */
  readonly id: string;
  /** Who named it, for people: `certificate in aovpn.toml`, `your choice`. */
  readonly why: string;
}

/** What a profile wants of the client certificate. */
export interface CertificateWish {
  readonly purpose: CertificatePurpose;
  /** CredentialsSource is a smart card: a certificate in a file will not do. */
  readonly onToken?: Wished<true>;
  /** One of these SHA-1 hashes must be above the certificate. */
  readonly issuerHashes?: Wished<readonly string[]>;
  /** An authority of this name must be above the certificate: its whole subject, or its common name. */
  readonly issuerName?: Wished<string>;
  readonly extendedKeyUsage: readonly EkuAlternative[];
  /** Whether one of several is taken unasked. */
  readonly simpleSelection: Wished<boolean>;
  /** A user is looked up by the name in it. */
  readonly forUser: boolean;
  readonly explicit?: ExplicitCertificate;
}

export const clientAuth = '1.3.6.1.5.5.7.3.2';
/** Microsoft's "Any Purpose". */
export const anyPurpose = '1.3.6.1.4.1.311.10.12.1';
/** RFC 5280 §4.2.1.12. */
export const anyExtendedKeyUsage = '2.5.29.37.0';

/** What this profile needs a client certificate for; undefined: it needs none. */
export function certificatePurposeOf(profile: Profile): CertificatePurpose | undefined {
  const authentication = profile.nativeProfile?.authentication;
  if (!authentication) return undefined;
  const { userMethod, machineMethod, eap } = authentication;
  if (userMethod?.value !== 'EAP' && (userMethod || machineMethod?.value !== 'EAP')) {
    return !userMethod && machineMethod?.value === 'Certificate' ? 'ike' : undefined;
  }
  switch (eap?.value.method) {
    case 'tls':
      return 'eap-tls';
    case 'peap':
      return eap.value.inner?.method === 'tls' ? 'peap-tls' : undefined;
    case 'ttls':
      return eap.value.phase2.kind === 'eap' && eap.value.phase2.inner.method === 'tls' ? 'ttls-tls' : undefined;
    case 'mschapv2':
    case 'unsupported':
    case undefined:
      return undefined;
  }
}

/** What the profile wants of the certificate for a purpose. `explicit`: what settings or a person named instead. */
export function compileCertificateWish(
  profile: Profile,
  purpose: CertificatePurpose,
  explicit?: ExplicitCertificate,
): CertificateWish {
  const wish = purpose === 'ike' ? machineWish(profile) : userWish(tlsSettingsOf(profile, purpose), purpose);
  return { ...wish, ...(explicit && { explicit }) };
}

/** Authentication/Certificate; Windows keeps the same two in the cmdlets' machine certificate filters. */
function machineWish(profile: Profile): CertificateWish {
  const issuer = profile.nativeProfile?.authentication?.certificateIssuer;
  const eku = profile.nativeProfile?.authentication?.certificateEku;
  const hash = issuer && asThumbprint(issuer.value);
  const oids = eku ? eku.value.split(/[,;]/).map((one) => one.trim()) : [];
  const wanted = oids.filter((oid) => oid !== '');
  return {
    purpose: 'ike',
    ...(issuer && hash !== undefined && { issuerHashes: { value: [hash], what: 'Certificate/Issuer', at: issuer.at } }),
    ...(issuer &&
      hash === undefined && { issuerName: { value: issuer.value.trim(), what: 'Certificate/Issuer', at: issuer.at } }),
    extendedKeyUsage:
      eku && wanted.length > 0
        ? [{ kind: 'has', also: wanted, unmapped: [], what: 'Certificate/Eku', at: eku.at }]
        : unfiltered('IKE'),
    simpleSelection: { value: true, what: 'a machine certificate is never asked about' },
    forUser: false,
  };
}

function userWish(settings: EapTlsSettings | undefined, purpose: CertificatePurpose): CertificateWish {
  const filter = settings?.filter;
  const hashes = filter?.caHashList?.enabled === true ? filter.caHashList : undefined;
  const at = settings?.at;
  return {
    purpose,
    ...(settings?.credentialsSource === 'smart-card' && {
      onToken: { value: true, what: 'CredentialsSource/SmartCard', ...(at && { at }) },
    }),
    ...(hashes &&
      hashes.issuerHashes.length > 0 && {
        issuerHashes: { value: hashes.issuerHashes, what: 'CAHashList', ...(hashes.at && { at: hashes.at }) },
      }),
    extendedKeyUsage: filter ? filteredUsage(filter) : unfiltered('EAP-TLS'),
    simpleSelection: {
      value: settings?.simpleCertSelection ?? true,
      what: 'SimpleCertSelection',
      ...(at && { at }),
    },
    forUser: true,
  };
}

/** The alternatives that FilteringInfo switches on; a filter that switches on none leaves the usage as it is without a filter. */
function filteredUsage(filter: CertificateFilter): readonly EkuAlternative[] {
  const oids = new Map(filter.ekuMapping.map(({ name, oid }) => [name, oid]));
  const has = (list: EkuList | undefined, purpose: string, what: string): EkuAlternative[] =>
    list?.enabled === true
      ? [
          {
            kind: 'has',
            purpose,
            also: list.names.flatMap((name) => oids.get(name) ?? []),
            unmapped: list.names.filter((name) => !oids.has(name)),
            what,
            ...(list.at && { at: list.at }),
          },
        ]
      : [];
  const found: readonly EkuAlternative[] = [
    ...has(filter.clientAuthEkuList, clientAuth, 'ClientAuthEKUList'),
    ...has(filter.anyPurposeEkuList, anyPurpose, 'AnyPurposeEKUList'),
    ...(filter.allPurposeEnabled
      ? [{ kind: 'none' as const, what: 'AllPurposeEnabled', ...(filter.at && { at: filter.at }) }]
      : []),
  ];
  return found.length > 0 ? found : unfiltered('EAP-TLS');
}

/** What every certificate of a client must be good for (RFC 5280 §4.2.1.12; RFC 5216 §5.3 asks for the same). */
function unfiltered(protocol: string): readonly EkuAlternative[] {
  const what = `${protocol} without a filter`;
  return [
    { kind: 'has', purpose: clientAuth, also: [], unmapped: [], what },
    { kind: 'has', purpose: anyExtendedKeyUsage, also: [], unmapped: [], what },
    { kind: 'none', what },
  ];
}

function tlsSettingsOf(profile: Profile, purpose: CertificatePurpose): EapTlsSettings | undefined {
  const eap = profile.nativeProfile?.authentication?.eap?.value;
  if (eap?.method === 'tls') return purpose === 'eap-tls' ? eap : undefined;
  const inner =
    eap?.method === 'peap' && purpose === 'peap-tls'
      ? eap.inner
      : eap?.method === 'ttls' && purpose === 'ttls-tls' && eap.phase2.kind === 'eap'
        ? eap.phase2.inner
        : undefined;
  return inner?.method === 'tls' ? inner : undefined;
}

function asThumbprint(text: string): string | undefined {
  const digits = text.replaceAll(/[\s:]/g, '').toLowerCase();
  return /^[0-9a-f]{40}$/.test(digits) ? digits : undefined;
}
