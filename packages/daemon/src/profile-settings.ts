import { readUrlPrefix } from '@aovpn/host';
import { normaliseDomain } from '@aovpn/policy';
import { defaultConnectionSettings, type ConnectionSettings } from '@aovpn/supervisor';
import { dataPlaneWishes, type DataPlaneWish } from './choose-data-plane.ts';
import { encodeName } from './dns-question.ts';
import { isEnrolmentName } from './enrolment-settings.ts';
import { isUser } from './portal-settings.ts';

/** Settings of one profile: what ProfileXML has no word for. Paths are as written, relative to the configuration directory. */
export interface ProfileSettings extends ConnectionSettings {
  readonly certificate?: string;
  readonly key?: string;
  /** Name of an `[enrol]` table, whose certificate is the client certificate. */
  readonly enrolment?: string;
  readonly pkcs12?: string;
  readonly pkcs12PasswordFile?: string;
  readonly gatewayCa?: string;
  readonly radiusCa?: string;
  readonly passwordFile?: string;
  readonly sharedKeyFile?: string;
  readonly ppkFile?: string;
  /** Public keys of the gateway, in PEM. */
  readonly gatewayKey?: string;
  /** Our key speaks for itself, without a certificate. */
  readonly rawKey?: boolean;
  /** With it the machine authenticates before the user does. */
  readonly machineCertificate?: string;
  readonly machineKey?: string;
  /** Encrypted resolvers of the gateway (RFC 9464): asked alone, with its clear ones behind them, or not at all. */
  readonly encryptedDns: 'strict' | 'fallback' | 'off';
  /** Who issues their certificates; the system's authorities without it. */
  readonly dnsCa?: string;
  /** TSIG key of dynamic DNS updates. */
  readonly dnsUpdateKey?: string;
  /** Kerberos key of dynamic DNS updates (GSS-TSIG). */
  readonly dnsUpdateKeytab?: string;
  /** Under which name RegisterDNS registers. */
  readonly dnsUpdateName?: string;
  readonly pkcs11Module?: string;
  /** Label. */
  readonly pkcs11Token?: string;
  readonly pkcs11PinFile?: string;
  readonly certificateDirectory?: string;
  /** In the order in which they are asked. */
  readonly passwordSources: readonly PasswordSourceName[];
  /** Name among the credentials of systemd; `NAME.secret` without it. */
  readonly passwordCredential?: string;
  /** The user whose desktop keeps the password: name or number. */
  readonly secretService?: string | number;
  readonly radiusRevocation: 'off' | 'soft' | 'hard';
  /** RFC 5998. */
  readonly allowEapOnly: boolean;
  readonly revocation: 'off' | 'soft' | 'hard';
  /** Octets inside the tunnel. */
  readonly mtu: number;
  readonly dataPlane: DataPlaneWish;
  readonly gatewayPort: number;
  readonly tcpPort: number;
  readonly keepaliveSeconds: number;
  /** Whether outer packets show the DSCP of inner ones (RFC 2983). */
  readonly copyDscp: boolean;
  /** How a person's `down` ends by itself: not at all, at the next sign-in, or after so many milliseconds. */
  readonly downEnds: 'up' | 'sign-in' | number;
  /** Of a user's profile: whose traffic may use its tunnel; absent: the user's alone. */
  readonly scope?: 'user' | 'machine';
  /** Starts of applications of AppTrigger wait until the tunnel is up, for a few seconds. */
  readonly triggerHold: boolean;
  /** How long the tunnel stays after the last of them has ended. */
  readonly triggerIdleMs: number;
  /** A server that only the trusted network has; proven by one of the next two. */
  readonly trustedBeacon?: { readonly host: string; readonly port: number };
  /** SHA-256 of public keys, in base64. */
  readonly trustedBeaconPins?: readonly string[];
  readonly trustedBeaconCa?: string;
  /** It asks for our certificate: the machine's, or else the profile's. */
  readonly trustedBeaconCertificate?: boolean;
  /** Names whose addresses go into the tunnel, and those that go beside it; lower case, no dot at the end. */
  readonly includeNames: readonly string[];
  readonly excludeNames: readonly string[];
  /** How long an answer is believed at least. */
  readonly nameRefreshSeconds: number;
}

/** Where passwords come from. */
export const passwordSourceNames = ['file', 'credential', 'secret-service', 'prompt'] as const;
export type PasswordSourceName = (typeof passwordSourceNames)[number];

/** Fits IPv6 outside with any cipher: 1500 − 40 (IPv6) − 8 (UDP) − at most 65 (ESP), rounded down. */
const defaultMtu = 1380;

export const defaultProfileSettings: ProfileSettings = {
  ...defaultConnectionSettings,
  // A person must find a telephone, and RADIUS servers with a second factor wait for it up to two minutes.
  eapWaitMs: 180_000,
  passwordSources: passwordSourceNames,
  radiusRevocation: 'soft',
  allowEapOnly: false,
  revocation: 'soft',
  mtu: defaultMtu,
  dataPlane: 'auto',
  encryptedDns: 'strict',
  gatewayPort: 4500,
  tcpPort: 4500,
  keepaliveSeconds: 20,
  copyDscp: false,
  downEnds: 'up',
  triggerHold: true,
  triggerIdleMs: 300_000,
  includeNames: [],
  excludeNames: [],
  nameRefreshSeconds: 60,
};

type Reader = (value: unknown) => Partial<ProfileSettings> | string;

const path =
  (
    field:
      | 'certificate'
      | 'key'
      | 'pkcs12'
      | 'pkcs12PasswordFile'
      | 'gatewayCa'
      | 'radiusCa'
      | 'passwordFile'
      | 'sharedKeyFile'
      | 'ppkFile'
      | 'gatewayKey'
      | 'machineCertificate'
      | 'machineKey'
      | 'pkcs11Module'
      | 'pkcs11PinFile'
      | 'certificateDirectory'
      | 'trustedBeaconCa'
      | 'dnsCa'
      | 'dnsUpdateKey'
      | 'dnsUpdateKeytab',
  ): Reader =>
  (value) =>
    typeof value === 'string' && value !== '' && !value.includes('\0') ? { [field]: value } : 'a path in quotes is wanted';
const text =
  (field: 'userName' | 'identity' | 'pkcs11Token' | 'passwordCredential' | 'ppkIdentity' | 'gatewayIdentity'): Reader =>
  (value) =>
    typeof value === 'string' && value !== '' && value.length <= 256 && !/\p{Cc}/u.test(value)
      ? { [field]: value }
      : 'a text of 1 to 256 printable characters in quotes is wanted';
const flag =
  (
    field:
      | 'allowWeak'
      | 'allowEapOnly'
      | 'triggerHold'
      | 'trustedBeaconCertificate'
      | 'rawKey'
      | 'ppkRequired'
      | 'childless'
      | 'sessionResumption'
      | 'redirect'
      | 'copyDscp',
  ): Reader =>
  (value) =>
    typeof value === 'boolean' ? { [field]: value } : 'true or false is wanted';
const number =
  (field: keyof ProfileSettings, from: number, to: number, factor = 1): Reader =>
  (value) =>
    Number.isInteger(value) && (value as number) >= from && (value as number) <= to
      ? { [field]: (value as number) * factor }
      : `a whole number from ${from} to ${to} is wanted`;

const mostNames = 64;
/** Host names only: there is no telling what `*.example.com` would be in addresses. */
const names =
  (field: 'includeNames' | 'excludeNames'): Reader =>
  (value) => {
    const wanted = `a list of at most ${mostNames} DNS names in quotes is wanted, without wildcards`;
    if (!Array.isArray(value) || value.length > mostNames) return wanted;
    const found = value.map((name: unknown) =>
      typeof name === 'string' && encodeName(name) ? normaliseDomain(name) : undefined,
    );
    return found.every((name) => name !== undefined) ? { [field]: [...new Set(found)] } : wanted;
  };

const mostUrlPrefixes = 16;
const urlPrefixes: Reader = (value) =>
  Array.isArray(value) &&
  value.length <= mostUrlPrefixes &&
  value.every((text) => typeof text === 'string' && readUrlPrefix(text) !== undefined)
    ? { certificateUrls: value as string[] }
    : `a list of at most ${mostUrlPrefixes} http:// URLs in quotes is wanted, below which certificates may be fetched`;
const certificateUrl: Reader = (value) =>
  typeof value === 'string' && readUrlPrefix(value) !== undefined
    ? { certificateUrl: value }
    : 'the http:// URL of the certificate in quotes is wanted';

const revocation =
  (field: 'revocation' | 'radiusRevocation'): Reader =>
  (value) =>
    value === 'off' || value === 'soft' || value === 'hard' ? { [field]: value } : '"off", "soft" or "hard" is wanted';
const sources: Reader = (value) => {
  const isKnown = (name: unknown): name is PasswordSourceName => passwordSourceNames.some((known) => known === name);
  if (!Array.isArray(value) || !value.every(isKnown) || new Set(value).size !== value.length)
    return `a list of some of ${passwordSourceNames.map((name) => `"${name}"`).join(', ')} is wanted, each once`;
  return { passwordSources: value };
};

const beacon: Reader = (value) => {
  const read =
    typeof value === 'string' ? /^(?:https:\/\/)?(\[[\da-f:.]+\]|[\w.-]{1,253})(?::(\d{1,5}))?\/?$/i.exec(value) : undefined;
  const port = Number(read?.[2] ?? 443);
  return read && port > 0 && port < 65_536
    ? { trustedBeacon: { host: read[1]!.replaceAll(/^\[|\]$/g, ''), port } }
    : 'a host in quotes is wanted, with a port if it is not 443: "beacon.corp.example:8443"';
};
const pins: Reader = (value) => {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  const read = list.map((pin) => (typeof pin === 'string' ? /^sha256\/([\w+/]{43}=)$/.exec(pin)?.[1] : undefined));
  return read.length > 0 && read.length <= 10 && read.every((pin) => pin !== undefined)
    ? { trustedBeaconPins: read }
    : 'pins of public keys are wanted: "sha256/" and 44 characters of base64 each';
};

function isDomain(name: unknown): name is string {
  return (
    typeof name === 'string' && /^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(name)
  );
}

/** Every key of a `[profile."NAME"]` table; docs/settings.md lists the same. */
export const profileSettingKeys: { readonly [key: string]: Reader } = {
  certificate: path('certificate'),
  key: path('key'),
  enrolment: (value) =>
    typeof value === 'string' && isEnrolmentName(value)
      ? { enrolment: value }
      : 'the NAME of a table [enrol."NAME"] in quotes is wanted',
  pkcs12: path('pkcs12'),
  'pkcs12-password-file': path('pkcs12PasswordFile'),
  'pkcs11-module': path('pkcs11Module'),
  'pkcs11-token': text('pkcs11Token'),
  'pkcs11-pin-file': path('pkcs11PinFile'),
  'certificate-directory': path('certificateDirectory'),
  'certificate-url': certificateUrl,
  'certificate-urls': urlPrefixes,
  'gateway-ca': path('gatewayCa'),
  'radius-ca': path('radiusCa'),
  'dns-update-key': path('dnsUpdateKey'),
  'dns-update-keytab': path('dnsUpdateKeytab'),
  'dns-update-name': (value) =>
    typeof value === 'string' && value.includes('.') && normaliseDomain(value) !== undefined
      ? { dnsUpdateName: value }
      : 'a fully qualified DNS name in quotes is wanted',
  'user-name': text('userName'),
  'password-file': path('passwordFile'),
  'password-sources': sources,
  'shared-key-file': path('sharedKeyFile'),
  'raw-key': flag('rawKey'),
  'gateway-key': path('gatewayKey'),
  'gateway-identity': text('gatewayIdentity'),
  'machine-certificate': path('machineCertificate'),
  'machine-key': path('machineKey'),
  'ppk-file': path('ppkFile'),
  'ppk-identity': text('ppkIdentity'),
  'ppk-required': flag('ppkRequired'),
  childless: flag('childless'),
  'session-resumption': flag('sessionResumption'),
  'password-credential': text('passwordCredential'),
  'secret-service': (value) =>
    isUser(value) ? { secretService: value } : 'the name of a user in quotes, or a number, is wanted',
  identity: text('identity'),
  revocation: revocation('revocation'),
  'radius-revocation': revocation('radiusRevocation'),
  'allow-weak': flag('allowWeak'),
  'post-quantum': (value) =>
    value === 'offer' || value === 'require' || value === 'off'
      ? { postQuantum: value }
      : '"offer", "require" or "off" is wanted',
  redirect: flag('redirect'),
  // It was for LockDown, before that was enforced.
  'allow-unenforced': (value) => (typeof value === 'boolean' ? {} : 'true or false is wanted'),
  'allow-eap-only': flag('allowEapOnly'),
  mtu: number('mtu', 1280, 9000),
  'down-ends': (value) => {
    if (value === 'up' || value === 'sign-in') return { downEnds: value };
    return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 31_536_000
      ? { downEnds: (value as number) * 1000 }
      : '"up", "sign-in" or a number of seconds from 1 to 31536000 is wanted';
  },
  scope: (value) => (value === 'user' || value === 'machine' ? { scope: value } : '"user" or "machine" is wanted'),
  'trigger-hold': flag('triggerHold'),
  'trigger-idle-seconds': number('triggerIdleMs', 0, 86_400, 1000),
  'trusted-beacon': beacon,
  'trusted-beacon-pin': pins,
  'trusted-beacon-ca': path('trustedBeaconCa'),
  'trusted-beacon-certificate': flag('trustedBeaconCertificate'),
  'data-plane': (value) =>
    dataPlaneWishes.some((wish) => wish === value)
      ? { dataPlane: value as DataPlaneWish }
      : '"auto", "kernel" or "userspace" is wanted',
  'gateway-port': number('gatewayPort', 1, 65_535),
  'encrypted-dns': (value) =>
    value === 'strict' || value === 'fallback' || value === 'off'
      ? { encryptedDns: value }
      : '"strict", "fallback" or "off" is wanted',
  'dns-ca': path('dnsCa'),
  'dnssec-trust-anchors': (value) =>
    // RFC 8598 §6: never for the root, nor for a top-level domain.
    Array.isArray(value) && value.length <= 64 && value.every((name) => isDomain(name) && name.includes('.'))
      ? { dnssecAnchors: value.map((name: string) => name.toLowerCase()) }
      : 'a list of domain names in quotes is wanted, none of them a top-level domain',
  tcp: (value) =>
    value === 'fallback' || value === 'off' || value === 'only' ? { tcp: value } : '"fallback", "off" or "only" is wanted',
  'tcp-port': number('tcpPort', 1, 65_535),
  'include-names': names('includeNames'),
  'exclude-names': names('excludeNames'),
  'name-refresh-seconds': number('nameRefreshSeconds', 5, 3600),
  'copy-dscp': flag('copyDscp'),
  'keepalive-seconds': number('keepaliveSeconds', 5, 3600),
  'dpd-seconds': number('dpdMs', 5, 3600, 1000),
  'ike-lifetime-seconds': number('ikeLifetimeMs', 300, 7 * 86_400, 1000),
  'child-lifetime-seconds': number('childLifetimeMs', 120, 2 * 86_400, 1000),
  'child-lifetime-megabytes': number('childLifetimeBytes', 0, 1_000_000, 1_000_000),
  'eap-wait-seconds': number('eapWaitMs', 30, 600, 1000),
};

/** What does not go together: the key that it is about, and the fault. */
export function profileFaults(settings: ProfileSettings): readonly (readonly [string, string])[] {
  const { enrolment, certificate, key, pkcs12, trustedBeacon, trustedBeaconPins, trustedBeaconCa, trustedBeaconCertificate } =
    settings;
  const faults: [string, string][] = [];
  if (enrolment !== undefined && (certificate ?? key ?? pkcs12) !== undefined)
    faults.push(['enrolment', 'enrolment stands in the place of certificate, key and pkcs12']);
  const proofs = [trustedBeaconPins, trustedBeaconCa].filter((proof) => proof !== undefined).length;
  if (trustedBeacon ? proofs !== 1 : proofs > 0)
    faults.push([
      trustedBeacon ? 'trusted-beacon' : trustedBeaconPins ? 'trusted-beacon-pin' : 'trusted-beacon-ca',
      'trusted-beacon and one of trusted-beacon-pin and trusted-beacon-ca belong together',
    ]);
  if (trustedBeaconCertificate && !trustedBeacon)
    faults.push(['trusted-beacon-certificate', 'trusted-beacon-certificate needs a trusted-beacon']);
  return faults;
}
