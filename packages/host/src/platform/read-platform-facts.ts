import { constants, statSync } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import type { KeytabPrincipal, OidcBroker, PlatformFacts, SambaMembership, SssdDomain } from '@aovpn/policy';
import { readIni } from './ini.ts';
import { readKeytab } from './keytab.ts';
import { askRealmd } from './realmd.ts';

/** Where distributions and vendors keep it; the same on Debian, Ubuntu, Fedora and SUSE, but for snaps. */
const places = {
  sssd: '/etc/sssd/sssd.conf',
  sssdSnippets: '/etc/sssd/conf.d',
  samba: '/etc/samba/smb.conf',
  keytab: '/etc/krb5.keytab',
  himmelblau: '/etc/himmelblau/himmelblau.conf',
  /** Directories of authd's brokers; each has a broker.conf. */
  authd: ['/var/snap', '/etc'],
  intune: '/opt/microsoft/intune/bin/intune-portal',
} as const;

const maxBytes = 256 << 10;
const maxFiles = 64;

export interface PlatformQuestion {
  /** Ask realmd too, which starts it. */
  readonly realmd?: boolean;
  /** Before every path, for tests. */
  readonly root?: string;
}

/** What this machine's files and services say about where it belongs. Nothing of it is changed, no key is kept. Never rejects. */
export async function readPlatformFacts({ realmd = false, root = '' }: PlatformQuestion = {}): Promise<PlatformFacts> {
  const files = new Files(root);
  const samba = await readSamba(files);
  return {
    hostName: hostname().toLowerCase(),
    sssd: await readSssd(files),
    ...(samba && { samba }),
    keytab: await readPrincipals(files),
    realms: realmd ? await askRealmd() : [],
    oidc: [...(await readHimmelblau(files)), ...(await readAuthd(files)), ...(await readIntune(files))],
    unread: files.unread,
  };
}

/**
 * Differs when one of those files was changed, or came or went. Cheap: of what lies in directories only that something was added, replaced or removed is
 * seen. Never throws.
 */
export function platformMark(root = ''): string {
  const { sssd, sssdSnippets, samba, keytab, himmelblau, authd, intune } = places;
  const marks = [sssd, sssdSnippets, samba, keytab, himmelblau, ...authd, path.dirname(intune)].map((file) => {
    try {
      const { ino, size, ctimeNs } = statSync(root + file, { bigint: true });
      return `${ino} ${size} ${ctimeNs}`;
    } catch {
      return '';
    }
  });
  return [hostname(), ...marks].join('\n');
}

async function readSssd(files: Files): Promise<readonly SssdDomain[]> {
  const snippets = (await files.list(places.sssdSnippets)).filter((name) => name.endsWith('.conf') && !name.startsWith('.'));
  const sections = new Map<string, Map<string, string>>();
  // Later files win, key by key (sssd.conf(5), "CONFIGURATION SNIPPETS FROM INCLUDE DIRECTORY").
  for (const file of [places.sssd, ...snippets.map((name) => path.join(places.sssdSnippets, name))]) {
    for (const [name, values] of readIni((await files.text(file)) ?? ''))
      sections.set(name, new Map([...(sections.get(name) ?? []), ...values]));
  }
  const enabled = (sections.get('sssd')?.get('domains') ?? '').split(',').map((name) => name.trim());
  return [...sections].flatMap(([section, values]): SssdDomain[] => {
    const name = /^domain\/([^/]+)$/.exec(section)?.[1];
    const provider = values.get('id_provider')?.toLowerCase();
    if (name === undefined || provider === undefined) return [];
    // `enabled` in the section goes before the list.
    const listed = enabled.some((one) => one.toLowerCase() === name);
    if (values.has('enabled') ? values.get('enabled')!.toLowerCase() !== 'true' : !listed) return [];
    const dnsDomain = values.get('ad_domain') ?? values.get('ipa_domain');
    const realm = values.get('krb5_realm');
    const hostName = values.get('ad_hostname') ?? values.get('ipa_hostname');
    return [
      {
        name,
        provider,
        ...(dnsDomain !== undefined && { dnsDomain: dnsDomain.toLowerCase() }),
        ...(realm !== undefined && { realm }),
        ...(hostName !== undefined && { hostName: hostName.toLowerCase() }),
      },
    ];
  });
}

async function readSamba(files: Files): Promise<SambaMembership | undefined> {
  const values = readIni((await files.text(places.samba)) ?? '').get('global');
  if (!values) return undefined;
  const realm = values.get('realm');
  const workgroup = values.get('workgroup');
  return {
    security: (values.get('security') ?? 'user').toLowerCase(),
    ...(realm !== undefined && realm !== '' && { realm }),
    ...(workgroup !== undefined && workgroup !== '' && { workgroup }),
  };
}

async function readPrincipals(files: Files): Promise<readonly KeytabPrincipal[]> {
  const octets = await files.read(places.keytab);
  if (!octets) return [];
  try {
    return readKeytab(octets);
  } catch (error) {
    files.unread.push(`${places.keytab}: ${(error as Error).message}`);
    return [];
  } finally {
    octets.fill(0);
  }
}

async function readHimmelblau(files: Files): Promise<readonly OidcBroker[]> {
  const text = await files.text(places.himmelblau);
  if (text === undefined) return [];
  const values = readIni(text).get('global');
  // Versions differ in the word.
  const domains = (values?.get('domain') ?? values?.get('domains') ?? '').split(',').map((name) => name.trim().toLowerCase());
  return [{ software: 'Himmelblau', domains: domains.filter((name) => name !== ''), source: places.himmelblau }];
}

async function readAuthd(files: Files): Promise<readonly OidcBroker[]> {
  const found: OidcBroker[] = [];
  for (const above of places.authd) {
    for (const name of await files.list(above)) {
      if (!name.startsWith('authd-')) continue;
      const source = path.join(above, name, above === '/var/snap' ? 'current/broker.conf' : 'broker.conf');
      const values = readIni((await files.text(source)) ?? '').get('oidc');
      const issuer = values?.get('issuer');
      // What the package comes with has a place to fill in.
      if (issuer === undefined || issuer === '' || issuer.includes('<')) continue;
      found.push({ software: 'authd', issuer, domains: [], source });
    }
  }
  return found;
}

/** That the program is there is all that can be seen: who is enrolled is kept in a person's keyring. */
async function readIntune(files: Files): Promise<readonly OidcBroker[]> {
  return (await files.list(path.dirname(places.intune))).includes(path.basename(places.intune))
    ? [{ software: 'Intune', domains: [], source: places.intune }]
    : [];
}

/** Reads at most so much, follows no device or pipe, and notes what is there and cannot be read. */
class Files {
  readonly unread: string[] = [];
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async text(file: string): Promise<string | undefined> {
    return (await this.read(file))?.toString('utf8');
  }

  async read(file: string): Promise<Buffer | undefined> {
    try {
      const handle = await open(this.#root + file, constants.O_RDONLY | constants.O_NONBLOCK);
      try {
        const facts = await handle.stat();
        if (!facts.isFile()) throw new Error('not a regular file');
        if (facts.size > maxBytes) throw new Error(`${facts.size} octets`);
        return await handle.readFile();
      } finally {
        await handle.close();
      }
    } catch (error) {
      if (!isAbsent(error)) this.unread.push(`${file} cannot be read: ${(error as Error).message}`);
      return undefined;
    }
  }

  async list(directory: string): Promise<readonly string[]> {
    try {
      return (await readdir(this.#root + directory)).sort().slice(0, directory === '/etc' ? undefined : maxFiles);
    } catch (error) {
      if (!isAbsent(error)) this.unread.push(`${directory} cannot be read: ${(error as Error).message}`);
      return [];
    }
  }
}

function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
}
