import { parseAddress, type IpAddress } from '@aovpn/bytes';
import { enrolmentKeys, normaliseDomain, parseSubject, type EnrolmentKey, type SubjectPart } from '@aovpn/policy';

/** One `[enrol."NAME"]` table of aovpn.toml: a certificate that is had from an enrolment server. Paths are as written, relative to the configuration directory. */
export interface EnrolmentSettings {
  readonly protocol: 'est' | 'scep' | 'acme';
  readonly url?: string;
  /** Whom the server's certificate comes from. */
  readonly ca?: string;
  /** ACME: whom the certificate comes from, where that is not `ca`. */
  readonly issuingCa?: string;
  /** SHA-256 of the authority's certificate, lower-case hexadecimal. */
  readonly caFingerprint?: string;
  /** Undefined: the machine's full name. */
  readonly subject?: readonly SubjectPart[];
  /** Undefined: the machine's full name, where no other names are wanted. */
  readonly dnsNames?: readonly string[];
  readonly emailAddresses: readonly string[];
  readonly userPrincipalNames: readonly string[];
  readonly keyType?: EnrolmentKey;
  /** The part of its lifetime, at the end, in which a certificate is renewed. */
  readonly renewBefore: number;
  readonly userName: string;
  readonly secretFile?: string;
  /** Among the credentials of systemd. */
  readonly secretCredential?: string;
  /** SCEP: DES, 3DES and SHA-1 will do in answers. */
  readonly allowWeak: boolean;
  /** ACME: its terms of service are agreed to. */
  readonly agreeToTerms: boolean;
  /** ACME: how updates of the company's DNS are signed; of the two, the first that is there. */
  readonly dnsUpdateKey?: string;
  readonly dnsUpdateKeytab?: string;
  /** ACME: name servers that know the zone; undefined: those of the system. */
  readonly dnsServers?: readonly IpAddress[];
  /** A certificate of before, to enrol with. */
  readonly certificate?: string;
  readonly key?: string;
}

export const defaultEnrolmentSettings: EnrolmentSettings = {
  protocol: 'est',
  emailAddresses: [],
  userPrincipalNames: [],
  renewBefore: 1 / 3,
  userName: '',
  allowWeak: false,
  agreeToTerms: false,
};

/** Names stand in files and in paths of requests. */
export function isEnrolmentName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name);
}

type Reader = (value: unknown) => Partial<EnrolmentSettings> | string;

const text =
  (
    field: 'ca' | 'issuingCa' | 'secretFile' | 'secretCredential' | 'certificate' | 'key' | 'dnsUpdateKey' | 'dnsUpdateKeytab',
    what: string,
  ): Reader =>
  (value) =>
    typeof value === 'string' && value !== '' && value.length <= 4096 && !value.includes('\0')
      ? { [field]: value }
      : `${what} in quotes is wanted`;

const names =
  (field: 'dnsNames' | 'emailAddresses' | 'userPrincipalNames', isName: (name: string) => boolean, what: string): Reader =>
  (value) =>
    Array.isArray(value) && value.length <= 16 && value.every((name) => typeof name === 'string' && isName(name))
      ? { [field]: value as string[] }
      : `a list of at most 16 ${what}, each in quotes, is wanted`;

const isMail = (name: string): boolean => name.length <= 254 && /^[\x21-\x3f\x41-\x7e]{1,64}@[A-Za-z0-9.-]{1,190}$/.test(name);
const isPrincipal = (name: string): boolean => name.length <= 254 && /^[^@\s\p{Cc}]+@[^@\s\p{Cc}]+$/u.test(name);

/** Every key of an `[enrol."NAME"]` table; docs/settings.md lists the same. */
export const enrolmentSettingKeys: { readonly [key: string]: Reader } = {
  protocol: (value) =>
    value === 'est' || value === 'scep' || value === 'acme' ? { protocol: value } : '"est", "scep" or "acme" is wanted',
  url: (value) => readUrl(value),
  ca: text('ca', 'a path'),
  'issuing-ca': text('issuingCa', 'a path'),
  'ca-fingerprint': (value) => {
    const plain = typeof value === 'string' ? value.replaceAll(':', '').toLowerCase() : '';
    return /^[0-9a-f]{64}$/.test(plain)
      ? { caFingerprint: plain }
      : 'a SHA-256 fingerprint, as openssl x509 -noout -fingerprint -sha256 prints it, is wanted';
  },
  subject: (value) => {
    const subject =
      typeof value === 'string'
        ? parseSubject(value)
        : 'a subject in quotes, such as "CN=laptop.contoso.com,O=Contoso", is wanted';
    return typeof subject === 'string' ? subject : { subject };
  },
  'dns-names': names('dnsNames', (name) => normaliseDomain(name) !== undefined && !/[^\x21-\x7e]/.test(name), 'DNS names'),
  'email-addresses': names('emailAddresses', isMail, 'e-mail addresses'),
  'user-principal-names': names('userPrincipalNames', isPrincipal, 'user principal names (alice@contoso.com)'),
  'key-type': (value) =>
    enrolmentKeys.includes(value as EnrolmentKey)
      ? { keyType: value as EnrolmentKey }
      : `one of ${enrolmentKeys.map((key) => `"${key}"`).join(', ')} is wanted`,
  'renew-before': (value) =>
    typeof value === 'number' && value >= 0.05 && value <= 0.9
      ? { renewBefore: value }
      : "a part of the certificate's lifetime from 0.05 to 0.9 is wanted",
  'user-name': (value) =>
    typeof value === 'string' && value.length <= 256 && !/[\p{Cc}:]/u.test(value)
      ? { userName: value }
      : 'a text of at most 256 printable characters without ":" is wanted',
  'secret-file': text('secretFile', 'a path'),
  'secret-credential': text('secretCredential', 'the name of a credential'),
  'allow-weak': (value) => (typeof value === 'boolean' ? { allowWeak: value } : 'true or false is wanted'),
  'agree-to-terms': (value) => (typeof value === 'boolean' ? { agreeToTerms: value } : 'true or false is wanted'),
  'dns-update-key': text('dnsUpdateKey', 'a path'),
  'dns-update-keytab': text('dnsUpdateKeytab', 'a path'),
  'dns-servers': (value) => {
    const found = Array.isArray(value) && value.length > 0 && value.length <= 8 ? value.map(serverOf) : [undefined];
    return found.every((address) => address !== undefined)
      ? { dnsServers: found }
      : 'a list of 1 to 8 addresses of name servers, each in quotes, is wanted';
  },
  certificate: text('certificate', 'a path'),
  key: text('key', 'a path'),
};

function serverOf(value: unknown): IpAddress | undefined {
  return typeof value === 'string' ? parseAddress(value) : undefined;
}

function readUrl(value: unknown): Partial<EnrolmentSettings> | string {
  const wanted = 'an https URL (with SCEP also http) in quotes, without user, query and fragment, is wanted';
  const url = typeof value === 'string' && value.length <= 2048 ? URL.parse(value) : null;
  if (
    !url ||
    !['https:', 'http:'].includes(url.protocol) ||
    url.username !== '' ||
    url.password !== '' ||
    url.search !== '' ||
    url.hash !== ''
  )
    return wanted;
  return { url: url.href };
}

/** What is missing, or does not go together: the key that it is about, and the fault. */
export function enrolmentFault(settings: EnrolmentSettings): readonly [string | undefined, string] | undefined {
  const { protocol, url, ca, caFingerprint, key, certificate, keyType, allowWeak } = settings;
  if (url === undefined) return [undefined, 'url is missing'];
  const foreign =
    protocol === 'acme' ? undefined : acmeKeys.find(([field]) => settings[field] !== defaultEnrolmentSettings[field]);
  if (foreign) return [foreign[1], `${foreign[1]} goes with ACME only`];
  if (protocol === 'scep') {
    if (caFingerprint === undefined) return [undefined, 'ca-fingerprint is missing: with SCEP nothing else says whom to believe'];
    if (keyType !== undefined && !keyType.startsWith('rsa'))
      return ['key-type', 'key-type: answers of SCEP are encrypted for the key, which RSA alone can'];
    if (certificate !== undefined) return ['certificate', 'certificate goes with EST only'];
    return undefined;
  }
  if (!url.startsWith('https:')) return ['url', `url: ${protocol.toUpperCase()} wants an https URL`];
  if (allowWeak) return ['allow-weak', 'allow-weak goes with SCEP only'];
  if (protocol === 'acme') return acmeFault(settings);
  if (ca === undefined && caFingerprint === undefined)
    return [undefined, 'ca or ca-fingerprint is missing: no server is believed at first sight'];
  if (key !== undefined && certificate === undefined) return ['key', 'key needs certificate'];
  return undefined;
}

const acmeKeys = [
  ['issuingCa', 'issuing-ca'],
  ['agreeToTerms', 'agree-to-terms'],
  ['dnsUpdateKey', 'dns-update-key'],
  ['dnsUpdateKeytab', 'dns-update-keytab'],
  ['dnsServers', 'dns-servers'],
] as const satisfies readonly (readonly [keyof EnrolmentSettings, string])[];

function acmeFault(settings: EnrolmentSettings): readonly [string | undefined, string] | undefined {
  const { ca, caFingerprint, userName, secretFile, secretCredential, subject, dnsNames, emailAddresses, userPrincipalNames } =
    settings;
  if (ca === undefined) return [undefined, 'ca is missing: with ACME nothing else says whom to believe'];
  if (caFingerprint !== undefined)
    return ['ca-fingerprint', 'ca-fingerprint goes with EST and SCEP only: ACME does not say what its authority is'];
  if (settings.certificate !== undefined || settings.key !== undefined)
    return [settings.certificate === undefined ? 'key' : 'certificate', 'certificate and key go with EST only'];
  if (subject !== undefined) return ['subject', 'subject: an ACME authority certifies DNS names, and makes the subject itself'];
  if (emailAddresses.length > 0 || userPrincipalNames.length > 0 || dnsNames?.length === 0)
    return [undefined, 'ACME certifies DNS names, one or more, and nothing else'];
  if (userName === '' && (secretFile ?? secretCredential) !== undefined)
    return [undefined, 'user-name is missing: it says which account of the authority the secret is the MAC key of'];
  return undefined;
}
