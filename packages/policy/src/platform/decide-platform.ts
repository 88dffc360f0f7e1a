/** A domain that SSSD is configured for. */
export interface SssdDomain {
  readonly name: string;
  /** `id_provider`, lower case: ad, ipa, ldap, … */
  readonly provider: string;
  /** The domain's own name in DNS, where it differs from the section's. */
  readonly dnsDomain?: string;
  readonly realm?: string;
  /** What this machine is called there. */
  readonly hostName?: string;
}

/** Samba's part of smb.conf. */
export interface SambaMembership {
  /** `security`, lower case: ads, domain, user, … */
  readonly security: string;
  readonly realm?: string;
  readonly workgroup?: string;
}

/** A name that this machine has a Kerberos key for; the key itself is not looked at. */
export interface KeytabPrincipal {
  readonly components: readonly string[];
  readonly realm: string;
}

/** What realmd says of one realm that this machine is a member of. */
export interface JoinedRealm {
  readonly domain: string;
  readonly realm?: string;
  /** `client-software`: sssd or winbind. */
  readonly software?: string;
}

/** A program by which people of an OpenID Connect provider sign in to this machine, or by which it is managed. */
export interface OidcBroker {
  readonly software: 'Himmelblau' | 'authd' | 'Intune';
  readonly issuer?: string;
  readonly domains: readonly string[];
  /** The file that says so. */
  readonly source: string;
}

/** What the machine's files and services say about where it belongs. Names of DNS are lower case, without a dot at the end. */
export interface PlatformFacts {
  readonly hostName: string;
  readonly sssd: readonly SssdDomain[];
  readonly samba?: SambaMembership;
  readonly keytab: readonly KeytabPrincipal[];
  /** Empty also where realmd was not asked. */
  readonly realms: readonly JoinedRealm[];
  readonly oidc: readonly OidcBroker[];
  /** What could not be read, and why. */
  readonly unread: readonly string[];
}

/** Where this machine belongs: what Windows calls domain-joined, Entra-joined, or in a workgroup. */
export interface PlatformDecision {
  readonly kind: 'domain' | 'oidc' | 'workgroup';
  /** Domain, or issuer of the provider; for a workgroup its name, where Samba has one. */
  readonly joinedTo?: string;
  readonly realm?: string;
  /** What keeps the membership: `SSSD (ad)`, `winbind`, `Himmelblau`, … */
  readonly by?: string;
  /** The machine's account, such as `LAPTOP$@CORP.EXAMPLE`. */
  readonly account?: string;
  /** The machine's full name: of its account, or as it calls itself. */
  readonly hostName?: string;
  /** Domains in which its organisation's names are. */
  readonly suffixes: readonly string[];
  /** What could not be read, and why. */
  readonly unread: readonly string[];
  /** Each fact, one a line, the conclusion last. */
  readonly trace: readonly string[];
}

/** Kinds of `id_provider` that know the accounts of this machine only. */
const localProviders: ReadonlySet<string> = new Set(['files', 'local', 'proxy']);

/** A membership of a domain goes before a provider of sign-ins, as in a hybrid join; what is certain goes before what is only configured. */
export function decidePlatform(facts: PlatformFacts): PlatformDecision {
  const trace = [
    ...facts.realms.map(({ domain, software }) => `realmd: member of ${domain}${software === undefined ? '' : ` (${software})`}`),
    ...facts.sssd.map(({ name, provider }) => `sssd.conf: domain ${name}, id_provider ${provider}`),
    ...(facts.samba ? [`smb.conf: ${describeSamba(facts.samba)}`] : []),
    ...facts.keytab.map((principal) => `krb5.keytab: ${principalText(principal)}`),
    ...facts.oidc.map(describeBroker),
    ...facts.unread,
  ];
  const decided = domainOf(facts) ?? oidcOf(facts) ?? workgroupOf(facts);
  return { ...decided, unread: facts.unread, trace: [...trace, conclusion(decided)] };
}

type Decided = Omit<PlatformDecision, 'trace' | 'unread'>;

function domainOf({ sssd, samba, realms, keytab, hostName }: PlatformFacts): Decided | undefined {
  const realmd = realms[0];
  // Several domains: the one that the machine has an account in.
  const held = new Set(keytab.map(({ realm }) => realm.toLowerCase()));
  const remote = sssd.filter(({ provider }) => !localProviders.has(provider));
  const configured = remote.find((one) => held.has((one.realm ?? domainNameOf(one)).toLowerCase())) ?? remote[0];
  const winbind = samba?.security === 'ads' && samba.realm !== undefined ? samba : undefined;
  const joinedTo = (realmd?.domain ?? (configured ? domainNameOf(configured) : winbind?.realm))?.toLowerCase();
  if (joinedTo === undefined) return undefined;
  const realm = (realmd?.realm ?? configured?.realm ?? winbind?.realm ?? joinedTo).toUpperCase();
  const account = machineAccount(keytab, realm);
  const name = configured?.hostName ?? hostOf(keytab, realm) ?? (hostName.includes('.') ? hostName : undefined);
  return {
    kind: 'domain',
    joinedTo,
    realm,
    by: [...(configured ? [`SSSD (${configured.provider})`] : winbind ? ['winbind'] : []), ...(realmd ? ['realmd'] : [])].join(
      ' and ',
    ),
    ...(account !== undefined && { account }),
    // A machine without a domain in its name has the domain's, as Windows' primary DNS suffix.
    hostName: (name ?? `${hostName}.${joinedTo}`).toLowerCase(),
    suffixes: [...new Set([joinedTo, ...(configured ? [domainNameOf(configured)] : [])])],
  };
}

function oidcOf({ oidc, hostName }: PlatformFacts): Decided | undefined {
  // A program that is only installed says nothing yet.
  const first = oidc.find(({ issuer, domains }) => issuer !== undefined || domains.length > 0);
  if (!first) return undefined;
  return {
    kind: 'oidc',
    joinedTo: first.issuer ?? first.domains[0]!,
    by: first.software,
    ...(hostName.includes('.') && { hostName: hostName.toLowerCase() }),
    suffixes: first.domains,
  };
}

function workgroupOf({ samba, hostName }: PlatformFacts): Decided {
  return {
    kind: 'workgroup',
    ...(samba?.workgroup !== undefined && { joinedTo: samba.workgroup }),
    ...(hostName.includes('.') && { hostName: hostName.toLowerCase() }),
    suffixes: [],
  };
}

function domainNameOf({ name, dnsDomain }: SssdDomain): string {
  return (dnsDomain ?? name).toLowerCase();
}

/** `LAPTOP$@REALM`, or, where there is no such (IPA), `host/laptop.corp.example@REALM`. */
function machineAccount(keytab: readonly KeytabPrincipal[], realm: string): string | undefined {
  const ours = keytab.filter((one) => one.realm.toUpperCase() === realm);
  const account =
    ours.find(({ components }) => components.length === 1 && components[0]!.endsWith('$')) ??
    ours.find(({ components }) => components.length === 2 && components[0] === 'host');
  return account && principalText(account);
}

/** The full name of `host/laptop.corp.example@REALM`; Active Directory adds one without a domain beside it. */
function hostOf(keytab: readonly KeytabPrincipal[], realm: string): string | undefined {
  return keytab.find(
    ({ components: [service, host, ...rest], realm: of }) =>
      of.toUpperCase() === realm && service?.toLowerCase() === 'host' && host?.includes('.') === true && rest.length === 0,
  )?.components[1];
}

function principalText({ components, realm }: KeytabPrincipal): string {
  return `${components.join('/')}@${realm}`;
}

function describeBroker({ software, issuer, domains, source }: OidcBroker): string {
  const of = [...(issuer === undefined ? [] : [issuer]), ...domains];
  return `${source}: ${of.length === 0 ? `${software} is installed; it names no organisation there` : `${software} for ${of.join(', ')}`}`;
}

function describeSamba({ security, realm, workgroup }: SambaMembership): string {
  return [
    `security ${security}`,
    ...(realm === undefined ? [] : [`realm ${realm}`]),
    ...(workgroup === undefined ? [] : [`workgroup ${workgroup}`]),
  ].join(', ');
}

function conclusion({ kind, joinedTo, by, account }: Decided): string {
  switch (kind) {
    case 'domain':
      return `member of the domain ${joinedTo!}, by ${by!}${account === undefined ? '; no machine account was found' : `, as ${account}`}`;
    case 'oidc':
      return `people of ${joinedTo!} sign in here, by ${by!}`;
    case 'workgroup':
      return joinedTo === undefined ? 'belongs to no domain' : `belongs to no domain; its workgroup is ${joinedTo}`;
  }
}
