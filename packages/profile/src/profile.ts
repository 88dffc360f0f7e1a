/** A place in a text: both numbers start at 1; the column counts UTF-16 units, as editors do. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** A value together with the place where the profile says it. */
export interface Located<T> {
  readonly value: T;
  readonly at: Position;
}

/**
 * A ProfileXML as it is written: every element that was there, typed, with its place; nothing defaulted, nothing resolved.
 * An absent optional property means that the element is absent (Windows' default applies; `resolve` in the policy room knows it).
 * Names are ProfileXML's, in our casing. Source: VPNv2 CSP and the published XSD.
 */
export interface Profile {
  readonly profileName?: Located<string>;
  readonly edpModeId?: Located<string>;
  readonly rememberCredentials?: Located<boolean>;
  readonly alwaysOn?: Located<boolean>;
  readonly alwaysOnActive?: Located<boolean>;
  /** In the order written; the first is the connection-specific suffix. */
  readonly dnsSuffix?: Located<readonly string[]>;
  readonly trustedNetworkDetection?: Located<readonly string[]>;
  readonly disableAdvancedOptionsEditButton?: Located<boolean>;
  readonly disableDisconnectButton?: Located<boolean>;
  readonly lockDown?: Located<boolean>;
  readonly deviceTunnel?: Located<boolean>;
  readonly registerDns?: Located<boolean>;
  readonly byPassForLocal?: Located<boolean>;
  readonly requireVpnClientAppUi?: Located<boolean>;
  readonly dataEncryption?: Located<DataEncryption>;
  readonly disableIkev2Fragmentation?: Located<boolean>;
  readonly ipv4InterfaceMetric?: Located<number>;
  readonly ipv6InterfaceMetric?: Located<number>;
  /** Seconds; 0 is "no limit". */
  readonly networkOutageTime?: Located<number>;
  readonly useRasCredentials?: Located<boolean>;
  readonly privateNetwork?: Located<boolean>;
  readonly proxy?: Proxy;
  readonly apnBinding?: Located<Readonly<Record<string, string>>>;
  readonly deviceCompliance?: DeviceCompliance;
  readonly pluginProfile?: PluginProfile;
  readonly nativeProfile?: NativeProfile;
  readonly appTriggers: readonly AppTrigger[];
  readonly domainNameInformation: readonly DomainNameInformation[];
  readonly trafficFilters: readonly TrafficFilter[];
  readonly routes: readonly Route[];
  /** What of its names is written with other characters than DNS has; absent: nothing. */
  readonly internationalNames?: readonly InternationalName[];
  /** Elements that we have no word for, kept as text so that writing loses nothing. */
  readonly unknown: readonly UnknownElement[];
}

export type DataEncryption = 'None' | 'Optional' | 'Require' | 'Max';
export type RoutingPolicyType = 'SplitTunnel' | 'ForceTunnel';
export type NativeProtocolType = 'PPTP' | 'L2TP' | 'IKEv2' | 'Automatic' | 'SSTP' | 'ProtocolList';

export interface UnknownElement {
  /** Element names from the root, such as `VPNProfile/NativeProfile`. */
  readonly parent: string;
  readonly name: string;
  readonly xml: string;
  readonly at: Position;
}

export interface Proxy {
  readonly at: Position;
  /** `host:port` of Proxy/Manual/Server. */
  readonly manualServer?: Located<string>;
  readonly autoConfigUrl?: Located<string>;
}

export interface AppTrigger {
  readonly at: Position;
  readonly app: Located<AppId>;
}

/** A package family name, a Windows path, or `SYSTEM` (traffic filters only); `type` is inferred from the form. */
export interface AppId {
  readonly id: string;
  readonly type: 'PackageFamilyName' | 'FilePath' | 'System';
}

/** One NRPT rule. A leading dot is a suffix, `.` alone is everything, anything else is one name. */
export interface DomainNameInformation {
  readonly at: Position;
  readonly domainName: Located<string>;
  /** Textual IP addresses; absent or empty makes the rule an exemption. */
  readonly dnsServers?: Located<readonly string[]>;
  readonly webProxyServers?: Located<string>;
  readonly autoTrigger?: Located<boolean>;
  readonly persistent?: Located<boolean>;
}

export interface NumberRange {
  readonly from: number;
  readonly to: number;
}

export interface TrafficFilter {
  readonly at: Position;
  readonly app?: Located<AppId>;
  readonly claims?: Located<string>;
  readonly protocol?: Located<number>;
  readonly localPortRanges?: Located<readonly NumberRange[]>;
  readonly remotePortRanges?: Located<readonly NumberRange[]>;
  /** Each entry is an address, a prefix or `a-b`, as text that was checked to be one. */
  readonly localAddressRanges?: Located<readonly string[]>;
  readonly remoteAddressRanges?: Located<readonly string[]>;
  readonly routingPolicyType?: Located<RoutingPolicyType>;
  readonly direction?: Located<'Inbound' | 'Outbound'>;
}

export interface Route {
  readonly at: Position;
  /** Textual address, checked to be one. */
  readonly address: Located<string>;
  readonly prefixSize: Located<number>;
  readonly metric?: Located<number>;
  readonly exclusionRoute?: Located<boolean>;
}

/** `written` with the letters of a language, `ascii` as DNS and certificates have it (UTS 46). */
export interface InternationalName {
  readonly written: string;
  readonly ascii: string;
}

export interface ServerAddress {
  readonly host: string;
  readonly friendlyName?: string;
}

export interface NativeProfile {
  readonly at: Position;
  readonly servers?: Located<readonly ServerAddress[]>;
  readonly routingPolicyType?: Located<RoutingPolicyType>;
  readonly nativeProtocolType?: Located<NativeProtocolType>;
  readonly protocolList?: ProtocolList;
  readonly l2tpPsk?: Located<string>;
  readonly disableClassBasedDefaultRoute?: Located<boolean>;
  readonly plumbIkev2TsAsRoutes?: Located<boolean>;
  readonly cryptographySuite?: CryptographySuite;
  readonly authentication?: Authentication;
}

export interface ProtocolList {
  readonly at: Position;
  readonly protocols: readonly Located<'Pptp' | 'L2tp' | 'Ikev2' | 'Sstp'>[];
  /** Hours. */
  readonly retryTimeInHours?: Located<number>;
}

export type EncryptionMethod = 'DES' | 'DES3' | 'AES128' | 'AES192' | 'AES256' | 'AES_GCM_128' | 'AES_GCM_256';
export type IntegrityCheckMethod = 'MD5' | 'SHA196' | 'SHA256' | 'SHA384';
export type DhGroup = 'None' | 'Group1' | 'Group2' | 'Group14' | 'ECP256' | 'ECP384' | 'Group24';
export type CipherTransformConstants = 'DES' | 'DES3' | 'AES128' | 'AES192' | 'AES256' | 'GCMAES128' | 'GCMAES192' | 'GCMAES256';
export type AuthenticationTransformConstants = 'MD596' | 'SHA196' | 'SHA256128' | 'GCMAES128' | 'GCMAES192' | 'GCMAES256';
export type PfsGroup = 'None' | 'PFS1' | 'PFS2' | 'PFS2048' | 'ECP256' | 'ECP384' | 'PFSMM' | 'PFS24';

export interface CryptographySuite {
  readonly at: Position;
  readonly authenticationTransformConstants?: Located<AuthenticationTransformConstants>;
  readonly cipherTransformConstants?: Located<CipherTransformConstants>;
  readonly pfsGroup?: Located<PfsGroup>;
  readonly dhGroup?: Located<DhGroup>;
  readonly integrityCheckMethod?: Located<IntegrityCheckMethod>;
  readonly encryptionMethod?: Located<EncryptionMethod>;
}

export interface Authentication {
  readonly at: Position;
  readonly userMethod?: Located<'EAP' | 'MSChapv2'>;
  readonly machineMethod?: Located<'Certificate' | 'EAP'>;
  readonly eap?: Located<EapSettings>;
  /** The EapHostConfig text exactly as it was found (unescaped), so that writing gives it back. */
  readonly eapXml?: string;
  readonly certificateIssuer?: Located<string>;
  readonly certificateEku?: Located<string>;
}

export interface DeviceCompliance {
  readonly at: Position;
  readonly enabled?: Located<boolean>;
  readonly ssoEnabled?: Located<boolean>;
  readonly ssoIssuerHash?: Located<readonly string[]>;
  readonly ssoEku?: Located<readonly string[]>;
}

export interface PluginProfile {
  readonly at: Position;
  readonly serverUrlList?: Located<readonly ServerAddress[]>;
  readonly pluginPackageFamilyName?: Located<string>;
  readonly customConfiguration?: Located<string>;
}

/** EapHostConfig, typed. Facts: EAP configuration schemas of Windows (EapHostConfig, EapTls…V1–V3, MsPeap…, MsChapV2…, EapTtls…). */
export type EapSettings = EapTlsSettings | EapMschapv2Settings | EapPeapSettings | EapTtlsSettings | EapUnsupportedSettings;

/** Methods that may stand inside of PEAP or EAP-TTLS. */
export type InnerEapSettings = EapTlsSettings | EapMschapv2Settings | EapGtcSettings | EapUnsupportedSettings;

export interface EapUnsupportedSettings {
  readonly method: 'unsupported';
  readonly type: number;
}

/** Trust in the RADIUS server; never to be mixed with trust in the gateway. */
export interface ServerValidation {
  /** Of ServerValidation; undefined when there is none. */
  readonly at?: Position;
  /** As written between separators, quotes removed: names or regular expressions. */
  readonly serverNames: readonly string[];
  /** SHA-1 of accepted roots, lower-case hexadecimal. */
  readonly trustedRootCa: readonly string[];
  readonly disableUserPrompt: boolean;
  /** PEAP only: the user may be asked when the root is not there. */
  readonly allowPromptingWhenServerCaNotFound?: boolean;
  /** Absent element: undefined. */
  readonly performServerValidation?: boolean;
  readonly acceptServerName?: boolean;
}

/** EKU names that EKUMapping explains. `enabled` is false when it was not written. */
export interface EkuList {
  readonly at?: Position;
  readonly enabled: boolean;
  readonly names: readonly string[];
}

export interface CertificateFilter {
  readonly at?: Position;
  readonly allPurposeEnabled: boolean;
  readonly caHashList?: { readonly at?: Position; readonly enabled: boolean; readonly issuerHashes: readonly string[] };
  readonly ekuMapping: readonly { readonly name: string; readonly oid: string }[];
  readonly clientAuthEkuList?: EkuList;
  readonly anyPurposeEkuList?: EkuList;
}

export interface EapTlsSettings {
  readonly method: 'tls';
  readonly at?: Position;
  readonly credentialsSource: 'smart-card' | 'certificate-store';
  readonly simpleCertSelection: boolean;
  readonly differentUsername: boolean;
  readonly serverValidation: ServerValidation;
  readonly filter?: CertificateFilter;
}

export interface EapMschapv2Settings {
  readonly method: 'mschapv2';
  readonly at?: Position;
  readonly useWinLogonCredentials: boolean;
}

/** Generic Token Card (RFC 3748 §5.6): the secret as it is, so never outside of a tunnel. */
export interface EapGtcSettings {
  readonly method: 'gtc';
  readonly at?: Position;
}

export interface EapPeapSettings {
  readonly method: 'peap';
  readonly at?: Position;
  readonly serverValidation: ServerValidation;
  readonly fastReconnect: boolean;
  readonly innerEapOptional: boolean;
  readonly enableQuarantineChecks: boolean;
  readonly requireCryptoBinding: boolean;
  /** Present when identity privacy is on; may be empty. */
  readonly anonymousUserName?: string;
  readonly inner?: InnerEapSettings;
}

export interface EapTtlsSettings {
  readonly method: 'ttls';
  readonly at?: Position;
  readonly serverValidation: ServerValidation;
  readonly phase2:
    | { readonly kind: 'pap' | 'chap' | 'mschap' }
    | { readonly kind: 'mschapv2'; readonly useWinLogonCredentials: boolean }
    | { readonly kind: 'eap'; readonly inner: InnerEapSettings };
  /** Present when identity privacy is on, which is the default. */
  readonly anonymousIdentity?: string;
}
