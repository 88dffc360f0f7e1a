import { randomInt } from 'node:crypto';
import { formatAddress, sameAddress, type IpAddress } from '@aovpn/bytes';
import { HostError } from '../host-error.ts';
import { readSecretFile } from '../keys/secret-file.ts';
import { exchange } from './exchange.ts';
import { findAddresses, type AskServers, type Zone } from './find-zone.ts';
import { updateByKerberos } from './kerberos-update.ts';
import { registrationError } from './registration-error.ts';
import { parseTsigKey, signMessage, verifyAnswer, type TsigKey } from './tsig.ts';
import { codeName, decodeAnswer, encodeQuery, encodeUpdate, type NameUpdate } from './update-message.ts';

/** How updates are signed. */
export type UpdateCredential =
  | { readonly kind: 'none' }
  /** A file with the `key` clause of tsig-keygen, root's and nobody else's. */
  | { readonly kind: 'tsig'; readonly keyFile: string }
  | { readonly kind: 'kerberos'; readonly keytab: string };

/** Whom name servers are told something by, and how. */
export interface UpdateWay {
  /** Nothing goes anywhere else; undefined: where routes lead. */
  readonly device: string | undefined;
  /** Asked until one answers; told when the primary server of a zone cannot be. */
  readonly servers: readonly IpAddress[];
  readonly credential: UpdateCredential;
  /** Whether the machine's routes lead there by the device: asked for programs that cannot be bound to it. */
  readonly leadsThrough: (server: IpAddress) => boolean;
  /** By when all of it comes to its end, whoever is silent; milliseconds of `Date.now()`. Undefined: each question has a time of its own, and nothing else. */
  readonly until?: number;
}

const timeoutMs = 4000;
const nsupdateMs = 20_000;

/**
 * Has a zone changed (RFC 2136) by the first server that takes it, its primary one first. A refusal by one says nothing about the others: a secondary refuses what its
 * primary takes.
 * @throws {HostError} AOV-HOST-330 to 335
 */
export async function sendUpdate(way: UpdateWay, update: NameUpdate, zone: Zone): Promise<IpAddress> {
  const primary = zone.primary === '' ? [] : await findAddresses(zone.primary, askServers(way)).catch(() => []);
  const all = [...primary, ...way.servers];
  let problem: unknown;
  for (const server of all.filter((address, i) => all.findIndex((other) => sameAddress(other, address)) === i)) {
    try {
      await sendUpdateTo(way, update, zone.name, server);
      return server;
    } catch (error) {
      // What a server says counts for more than that another one is silent.
      if (!(problem instanceof HostError) || problem.code === 'AOV-HOST-330') problem = error;
    }
  }
  throw problem ?? registrationError('AOV-HOST-330', 'no server to tell');
}

/** The same at one server. @throws {HostError} AOV-HOST-330 to 335 */
export async function sendUpdateTo(way: UpdateWay, update: NameUpdate, zone: string, server: IpAddress): Promise<void> {
  const { device, credential, leadsThrough } = way;
  if (credential.kind === 'kerberos') {
    if (!leadsThrough(server))
      throw registrationError('AOV-HOST-330', `${formatAddress(server)} is not reached through ${device}`);
    return await updateByKerberos(server, zone, update, credential, timeFor(way, nsupdateMs));
  }
  const key = credential.kind === 'tsig' ? await readKey(credential.keyFile) : undefined;
  const plain = encodeUpdate(randomInt(0x10000), zone, update);
  const signed = key && signMessage(plain, key, seconds());
  let answer: Uint8Array;
  try {
    answer = await exchange(device, server, signed?.message ?? plain, timeFor(way, timeoutMs));
  } catch (error) {
    throw registrationError('AOV-HOST-330', messageOf(error), error);
  }
  const where = `${formatAddress(server)}, zone ${zone}`;
  const decoded = decodeAnswer(answer);
  if (!decoded) throw registrationError('AOV-HOST-330', `${where}: a broken answer`);
  if (signed) {
    const verdict = verifyAnswer(answer, signed.mac, key, seconds());
    if (!verdict.ok && (decoded.rcode === 0 || verdict.error !== undefined))
      throw registrationError(verdict.error === 'BADTIME' ? 'AOV-HOST-333' : 'AOV-HOST-332', `${where}: ${verdict.why}`);
  }
  if (decoded.rcode !== 0) throw registrationError('AOV-HOST-331', `${where}: ${codeName(decoded.rcode)}`);
}

/** Puts questions to these servers, one after the other until one answers. */
export function askServers({ device, servers, until }: Pick<UpdateWay, 'device' | 'servers' | 'until'>): AskServers {
  return async (name, type) => {
    let problem: unknown = new Error('no server to ask');
    for (const server of servers) {
      try {
        return await exchange(device, server, encodeQuery(randomInt(0x10000), name, type), timeFor({ until }, timeoutMs));
      } catch (error) {
        problem = error;
      }
    }
    throw problem;
  };
}

/** What one exchange may take of the time that is left. @throws {HostError} AOV-HOST-330: none is */
function timeFor({ until = Infinity }: { readonly until?: number | undefined }, most: number): number {
  const left = until - Date.now();
  if (left <= 0) throw registrationError('AOV-HOST-330', 'the name servers take too long');
  return Math.min(most, left);
}

async function readKey(file: string): Promise<TsigKey> {
  const octets = await readSecretFile(file);
  const key = parseTsigKey(Buffer.from(octets).toString('latin1'));
  octets.fill(0);
  if (typeof key === 'string') throw registrationError('AOV-HOST-334', `${file}: ${key}`);
  return key;
}

function seconds(): number {
  return Math.floor(Date.now() / 1000);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
