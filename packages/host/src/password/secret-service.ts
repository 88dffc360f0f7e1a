import { stat } from 'node:fs/promises';
import { connectBus, DbusError, type BusOwner, type DbusConnection } from '../dbus/connection.ts';
import type { DbusValue } from '../dbus/marshal.ts';
import { passwordError } from './password-error.ts';

/** What an item of the keyring is found by. Never secret: keyrings keep attributes in the clear. */
export type SecretAttributes = Readonly<Record<string, string>>;

/**
 * The keyring of a desktop through the Secret Service API (org.freedesktop.secrets, version 0.2). Secrets travel in the session "plain":
 * what could listen on that user's bus could as well ask the keyring itself.
 */
export interface SecretService {
  /** UTF-8 octets for the caller to overwrite; undefined: there is none. @throws {HostError} AOV-HOST-500 to 502 */
  lookUp(attributes: SecretAttributes): Promise<Uint8Array | undefined>;
  /** Makes the item, or replaces the secret of the one that has these attributes. @throws {HostError} AOV-HOST-500 to 502 */
  store(label: string, attributes: SecretAttributes, secret: Uint8Array): Promise<void>;
}

const service = 'org.freedesktop.secrets';
const root = '/org/freedesktop/secrets';
const api = {
  service: 'org.freedesktop.Secret.Service',
  collection: 'org.freedesktop.Secret.Collection',
  item: 'org.freedesktop.Secret.Item',
} as const;
/** "No object", as the API writes it. */
const nothing = '/';

/** The service on the bus of a user who is signed in; connected anew for each request. @throws {HostError} AOV-HOST-500 */
export async function openSecretServiceOf(uid: number): Promise<SecretService> {
  const directory = `/run/user/${uid}`;
  const facts = await stat(directory).catch((error: unknown) => {
    throw passwordError('AOV-HOST-500', `user ${uid} is not signed in (there is no ${directory})`, error);
  });
  if (facts.uid !== uid) throw passwordError('AOV-HOST-500', `${directory} belongs to user ${facts.uid}`);
  return openSecretService(`${directory}/bus`, { uid, gid: facts.gid });
}

/** The service on the bus at this Unix socket. */
export function openSecretService(socketPath: string, owner?: BusOwner): SecretService {
  const withBus = <T>(ask: (bus: DbusConnection) => Promise<T>): Promise<T> => onBus(socketPath, owner, ask);
  return {
    lookUp: (attributes) =>
      withBus(async (bus) => {
        const call = caller(bus);
        const [unlocked, locked] = (await call(root, api.service, 'SearchItems', 'a{ss}', [Object.entries(attributes)])) as [
          string[],
          string[],
        ];
        const item = unlocked[0] ?? (locked.length > 0 ? await unlock(bus, locked[0]!) : undefined);
        if (item === undefined) return undefined;
        const session = await openSession(bus);
        const [answer] = await call(item, api.item, 'GetSecret', 'o', [session]);
        const [, , secret] = answer as readonly [string, Uint8Array, Uint8Array, string];
        return secret;
      }),
    store: (label, attributes, secret) =>
      withBus(async (bus) => {
        const call = caller(bus);
        const [collection] = (await call(root, api.service, 'ReadAlias', 's', ['default'])) as [string];
        if (collection === nothing) throw passwordError('AOV-HOST-502', 'there is no default keyring');
        await unlock(bus, collection);
        const session = await openSession(bus);
        const properties: DbusValue = [
          [`${api.item}.Label`, { signature: 's', value: label }],
          [`${api.item}.Attributes`, { signature: 'a{ss}', value: Object.entries(attributes) }],
        ];
        const [item] = await call(collection, api.collection, 'CreateItem', 'a{sv}(oayays)b', [
          properties,
          [session, new Uint8Array(0), secret, 'text/plain; charset=utf8'],
          true,
        ]);
        // Otherwise the keyring wants to ask its user first, and nobody said that one is there.
        if (item === nothing) throw passwordError('AOV-HOST-501', 'it asks its user before it stores anything');
      }),
  };
}

async function openSession(bus: DbusConnection): Promise<string> {
  const [, session] = await caller(bus)(root, api.service, 'OpenSession', 'sv', ['plain', { signature: 's', value: '' }]);
  return session as string;
}

/** The object, unlocked. The keyring's own question to its user is not asked for: this may be the middle of the night. */
async function unlock(bus: DbusConnection, object: string): Promise<string> {
  const [unlocked, prompt] = (await caller(bus)(root, api.service, 'Unlock', 'ao', [[object]])) as [string[], string];
  if (unlocked.includes(object)) return object;
  if (prompt !== nothing) await caller(bus)(prompt, 'org.freedesktop.Secret.Prompt', 'Dismiss', '', []).catch(() => {});
  throw passwordError('AOV-HOST-501', object);
}

function caller(bus: DbusConnection) {
  return (
    path: string,
    of: string,
    member: string,
    signature: string,
    body: readonly DbusValue[],
  ): Promise<readonly DbusValue[]> => bus.call({ destination: service, path, interface: of, member, signature, body });
}

async function onBus<T>(socketPath: string, owner: BusOwner | undefined, ask: (bus: DbusConnection) => Promise<T>): Promise<T> {
  let bus: DbusConnection;
  try {
    bus = await connectBus(socketPath, owner);
  } catch (error) {
    throw passwordError('AOV-HOST-500', `${socketPath}: ${(error as Error).message}`, error);
  }
  try {
    return await ask(bus);
  } catch (error) {
    if (error instanceof DbusError) {
      const gone = /\.(ServiceUnknown|NameHasNoOwner|Spawn\..*|NoReply)$/.test(error.errorName);
      throw passwordError(gone ? 'AOV-HOST-500' : 'AOV-HOST-502', error.message, error);
    }
    if (error instanceof Error && !('code' in error && String(error.code).startsWith('AOV-')))
      throw passwordError('AOV-HOST-500', error.message, error);
    throw error;
  } finally {
    bus.close();
  }
}
