import { stat } from 'node:fs/promises';
import { HostError, openSecretServiceOf, readSecretFile, readSystemdCredential, writeFileAtomically } from '@aovpn/host';
import { credentialEndings, type CredentialPaths, type CredentialStem } from './credentials.ts';
import type { PasswordOptions, PasswordStore } from './passwords.ts';
import type { ProfileSettings } from './profile-settings.ts';
import { userId } from './user-database.ts';

export interface PasswordPlaces {
  readonly connection: string;
  readonly settings: ProfileSettings;
  /** As {@link findCredentials} found them. */
  readonly paths: CredentialPaths;
  readonly stems: readonly CredentialStem[];
  /** RememberCredentials. */
  readonly remember: boolean;
}

/** Where the password of a connection may be, and where one that was typed goes. */
export function passwordStores(places: PasswordPlaces): Pick<PasswordOptions, 'stores' | 'remember' | 'sources'> {
  const { connection, settings, remember } = places;
  const file = fileStore(passwordFileOf(places));
  const keyring = settings.secretService === undefined ? undefined : keyringStore(connection, settings.secretService);
  return {
    sources: settings.passwordSources,
    stores: {
      file,
      credential: credentialStore(settings.passwordCredential ?? `${connection}${credentialEndings.password}`),
      ...(keyring && { 'secret-service': keyring }),
    },
    remember: remember ? (keyring ?? file) : undefined,
  };
}

/** The file, whether it is there or not. */
function passwordFileOf({ paths, stems }: PasswordPlaces): string {
  return paths.password ?? `${stems[0]!.path}${credentialEndings.password}`;
}

/** Differs when the user whose keyring it is signs in or out. */
export async function keyringDigest({ secretService }: ProfileSettings): Promise<string> {
  const uid = secretService === undefined ? undefined : userId(secretService);
  if (uid === undefined) return '';
  const facts = await stat(`/run/user/${uid}/bus`).catch(() => undefined);
  return facts ? `${facts.ino} ${facts.ctimeMs}` : 'signed out';
}

function fileStore(file: string): PasswordStore {
  return {
    place: file,
    async read() {
      try {
        return await readSecretFile(file);
      } catch (error) {
        if (error instanceof HostError && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return undefined;
        throw error;
      }
    },
    write: (secret) => writeFileAtomically(file, secret, 0o600),
  };
}

function credentialStore(name: string): PasswordStore {
  return { place: `the systemd credential ${name}`, read: () => readSystemdCredential(name) };
}

function keyringStore(connection: string, user: string | number): PasswordStore {
  const attributes = { application: 'aovpn', profile: connection };
  const open = async (): ReturnType<typeof openSecretServiceOf> => {
    const uid = userId(user);
    if (uid === undefined) throw new Error(`there is no user ${user}`);
    return await openSecretServiceOf(uid);
  };
  return {
    place: `the keyring of ${user}`,
    read: async () => await (await open()).lookUp(attributes),
    write: async (secret) => {
      await (await open()).store(`Always On VPN: ${connection}`, attributes, secret);
    },
  };
}
