/** EAP configurations as administrators write them: EapHostConfig in Windows' schemas and their order. Thumbprints in hexadecimal. */

/** Whom a profile takes for its RADIUS server. */
export interface RadiusTrust {
  /** As the profile has it: names or expressions between semicolons; empty: any. */
  readonly names: string;
  readonly roots: readonly string[];
  /** PerformServerValidation; default true. */
  readonly validate?: boolean;
}

export interface CertificateWish {
  readonly kind: 'tls';
  readonly trust: RadiusTrust;
  /** SimpleCertSelection; default true: of several certificates one is picked. */
  readonly simple?: boolean;
  /** CredentialsSource/SmartCard instead of the certificate store. */
  readonly smartCard?: boolean;
  readonly filter?: {
    readonly issuers?: readonly string[];
    readonly allPurpose?: boolean;
    /** Name to OID, for the lists below. */
    readonly usages?: Readonly<Record<string, string>>;
    /** Usages beside clientAuth. */
    readonly clientAuth?: readonly string[];
    readonly anyPurpose?: readonly string[];
  };
}

export type InnerEap = { readonly kind: 'mschapv2' } | { readonly kind: 'gtc' } | CertificateWish;

export type EapWish =
  | { readonly kind: 'mschapv2' }
  | CertificateWish
  | {
      readonly kind: 'peap';
      readonly trust: RadiusTrust;
      readonly inner: InnerEap;
      readonly cryptobinding?: boolean;
      /** Default true, as nearly all profiles have it. */
      readonly fastReconnect?: boolean;
      /** Outer identity. */
      readonly anonymous?: string;
    }
  | {
      readonly kind: 'ttls';
      readonly trust: RadiusTrust;
      readonly inner: 'pap' | 'chap' | 'mschap' | 'mschapv2' | InnerEap;
      readonly anonymous?: string;
    };

const provisioning = 'http://www.microsoft.com/provisioning';
const types = { gtc: 6, tls: 13, ttls: 21, peap: 25, mschapv2: 26 } as const;

/** The content of Eap/Configuration. */
export function eapHostConfig(wish: EapWish): string {
  const ids = { Type: types[wish.kind], VendorId: 0, VendorType: 0, AuthorId: wish.kind === 'ttls' ? 311 : 0 };
  const lines = Object.entries(ids).map(([name, value]) => `<${name} xmlns="${provisioning}/EapCommon">${value}</${name}>`);
  return `<EapHostConfig xmlns="${provisioning}/EapHostConfig">
          <EapMethod>${lines.join('')}</EapMethod>
          <Config xmlns="${provisioning}/EapHostConfig">${wish.kind === 'ttls' ? ttls(wish) : eap(wish)}</Config>
        </EapHostConfig>`;
}

function eap(wish: Exclude<EapWish, { readonly kind: 'ttls' }> | InnerEap): string {
  const content = { mschapv2: mschapv2, gtc: () => '', tls, peap }[wish.kind] as (one: typeof wish) => string;
  return `<Eap xmlns="${provisioning}/BaseEapConnectionPropertiesV1"><Type>${types[wish.kind]}</Type>${content(wish)}</Eap>`;
}

function mschapv2(): string {
  return `<EapType xmlns="${provisioning}/MsChapV2ConnectionPropertiesV1"><UseWinLogonCredentials>false</UseWinLogonCredentials></EapType>`;
}

function tls({ trust, simple, smartCard, filter }: CertificateWish): string {
  const more = `${provisioning}/EapTlsConnectionPropertiesV2`;
  return `<EapType xmlns="${provisioning}/EapTlsConnectionPropertiesV1">
            <CredentialsSource>${smartCard ? '<SmartCard/>' : `<CertificateStore><SimpleCertSelection>${simple ?? true}</SimpleCertSelection></CertificateStore>`}</CredentialsSource>
            ${serverValidation(trust)}
            <DifferentUsername>false</DifferentUsername>
            ${checks(trust, more)}
            ${filter ? `<TLSExtensions xmlns="${more}"><FilteringInfo xmlns="${provisioning}/EapTlsConnectionPropertiesV3">${filteringInfo(filter)}</FilteringInfo></TLSExtensions>` : ''}
          </EapType>`;
}

function peap(wish: Extract<EapWish, { readonly kind: 'peap' }>): string {
  const more = `${provisioning}/MsPeapConnectionPropertiesV2`;
  const privacy =
    wish.anonymous === undefined
      ? '<EnableIdentityPrivacy>false</EnableIdentityPrivacy>'
      : `<EnableIdentityPrivacy>true</EnableIdentityPrivacy><AnonymousUserName>${wish.anonymous}</AnonymousUserName>`;
  return `<EapType xmlns="${provisioning}/MsPeapConnectionPropertiesV1">
            ${serverValidation(wish.trust)}
            <FastReconnect>${wish.fastReconnect ?? true}</FastReconnect>
            <InnerEapOptional>false</InnerEapOptional>
            ${eap(wish.inner)}
            <EnableQuarantineChecks>false</EnableQuarantineChecks>
            <RequireCryptoBinding>${wish.cryptobinding ?? false}</RequireCryptoBinding>
            <PeapExtensions>
              ${checks(wish.trust, more)}
              <IdentityPrivacy xmlns="${more}">${privacy}</IdentityPrivacy>
            </PeapExtensions>
          </EapType>`;
}

function ttls({ trust, inner, anonymous }: Extract<EapWish, { readonly kind: 'ttls' }>): string {
  const phase2 =
    typeof inner === 'object'
      ? eap(inner)
      : {
          pap: '<PAPAuthentication/>',
          chap: '<CHAPAuthentication/>',
          mschap: '<MSCHAPAuthentication/>',
          mschapv2: '<MSCHAPv2Authentication><UseWinlogonCredentials>false</UseWinlogonCredentials></MSCHAPv2Authentication>',
        }[inner];
  const identity =
    anonymous === undefined
      ? '<IdentityPrivacy>false</IdentityPrivacy>'
      : `<IdentityPrivacy>true</IdentityPrivacy><AnonymousIdentity>${anonymous}</AnonymousIdentity>`;
  return `<EapTtls xmlns="${provisioning}/EapTtlsConnectionPropertiesV1">
            <ServerValidation>
              <ServerNames>${trust.names}</ServerNames>
              ${trust.roots.map((root) => `<TrustedRootCAHash>${spaced(root)}</TrustedRootCAHash>`).join('')}
              <DisablePrompt>true</DisablePrompt>
            </ServerValidation>
            <Phase2Authentication>${phase2}</Phase2Authentication>
            <Phase1Identity>${identity}</Phase1Identity>
          </EapTtls>`;
}

function serverValidation({ names, roots }: RadiusTrust): string {
  return `<ServerValidation>
              <DisableUserPromptForServerValidation>true</DisableUserPromptForServerValidation>
              <ServerNames>${names}</ServerNames>
              ${roots.map((root) => `<TrustedRootCA>${spaced(root)}</TrustedRootCA>`).join('')}
            </ServerValidation>`;
}

function checks({ names, validate }: RadiusTrust, namespace: string): string {
  return (
    `<PerformServerValidation xmlns="${namespace}">${validate ?? true}</PerformServerValidation>` +
    `<AcceptServerName xmlns="${namespace}">${names !== ''}</AcceptServerName>`
  );
}

function filteringInfo(filter: NonNullable<CertificateWish['filter']>): string {
  const { issuers, usages, clientAuth, anyPurpose } = filter;
  const list = (name: string, wanted: readonly string[] | undefined): string =>
    wanted
      ? `<${name} Enabled="true">${wanted.length > 0 ? `<EKUMapInList>${wanted.map((usage) => `<EKUName>${usage}</EKUName>`).join('')}</EKUMapInList>` : ''}</${name}>`
      : '';
  return (
    `<AllPurposeEnabled>${filter.allPurpose ?? false}</AllPurposeEnabled>` +
    (issuers
      ? `<CAHashList Enabled="true">${issuers.map((issuer) => `<IssuerHash>${spaced(issuer)}</IssuerHash>`).join('')}</CAHashList>`
      : '') +
    (usages
      ? `<EKUMapping>${Object.entries(usages)
          .map(([name, oid]) => `<EKUMap><EKUName>${name}</EKUName><EKUOID>${oid}</EKUOID></EKUMap>`)
          .join('')}</EKUMapping>`
      : '') +
    list('ClientAuthEKUList', clientAuth) +
    list('AnyPurposeEKUList', anyPurpose)
  );
}

/** As Windows' own dialogues write thumbprints: octet by octet, with a blank at the end. */
const spaced = (thumbprint: string): string => thumbprint.replaceAll(/../g, '$& ');
