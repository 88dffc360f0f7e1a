import { randomInt } from 'node:crypto';
import { formatAddress, sameAddress, type IpAddress } from '@aovpn/bytes';
import { HostError } from '../host-error.ts';
import { readSecretFile } from '../keys/secret-file.ts';
import { exchange } from './exchange.ts';
import { findAddresses, findZone, type AskServers, type Zone } from './find-zone.ts';
import { updateByKerberos } from './kerberos-update.ts';
import { reverseName } from './name-octets.ts';
import { registrationError } from './registration-error.ts';
import { parseTsigKey, signMessage, verifyAnswer, type TsigKey } from './tsig.ts';
import {
  addressRecord,
  codeName,
  decodeAnswer,
  encodeQuery,
  encodeUpdate,
  pointerRecord,
  recordType,
  type NameUpdate,
} from './update-message.ts';

/** How updates are signed. */
export type UpdateCredential =
  | { readonly kind: 'none' }
  /** A file with the `key` clause of tsig-keygen, root's and nobody else's. */
  | { readonly kind: 'tsig'; readonly keyFile: string }
  | { readonly kind: 'kerberos'; readonly keytab: string };

export interface NameRegistration {
  readonly device: string;
  /** Fully qualified, normalised. */
  readonly name: string;
  readonly addresses: readonly IpAddress[];
  readonly servers: readonly IpAddress[];
  readonly credential: UpdateCredential;
  /** Whether the machine's routes lead there by the device: asked for programs that cannot be bound to it. */
  readonly leadsThrough: (server: IpAddress) => boolean;
}

/** What stands in the company's DNS because of us. */
export interface RegisteredName {
  readonly registration: NameRegistration;
  readonly zone: string;
  /** The server that took it. */
  readonly server: IpAddress;
  readonly reverse: readonly { readonly address: IpAddress; readonly zone: string; readonly server: IpAddress }[];
  /** Why reverse names are missing, one each. */
  readonly notes: readonly string[];
}

const timeoutMs = 4000;
const addressTypes = [recordType.a, recordType.aaaa];
/** Zones so high up belong to nobody's company. */
const publicReverseZones = ['in-addr.arpa', 'ip6.arpa', 'arpa', ''];

/**
 * Makes these addresses the only ones of the name (RFC 2136), through the tunnel's device and nothing else. The zone's primary server is
 * told; when it cannot be reached, the servers that were given. Reverse names follow where somebody takes them.
 * @throws {HostError} AOV-HOST-330 to 336
 */
export async function registerName(registration: NameRegistration): Promise<RegisteredName> {
  const { name, addresses } = registration;
  const update: NameUpdate = { name, op: 'replace', types: addressTypes, records: addresses.map(addressRecord) };
  const { zone, server } = await send(registration, update, await zoneOf(registration, name));
  const reverse: { address: IpAddress; zone: string; server: IpAddress }[] = [];
  const notes: string[] = [];
  for (const address of addresses) {
    const own = reverseName(address);
    const pointer: NameUpdate = { name: own, op: 'replace', types: [recordType.ptr], records: [pointerRecord(name)] };
    try {
      reverse.push({ address, ...(await send(registration, pointer, await zoneOf(registration, own))) });
    } catch (error) {
      notes.push(`no reverse name for ${formatAddress(address)}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { registration, zone, server, reverse, notes };
}

/** Takes exactly our records out again; what others have put there since stays. @throws {HostError} AOV-HOST-330 to 336 */
export async function withdrawName({ registration, zone, server, reverse }: RegisteredName): Promise<void> {
  const { name, addresses } = registration;
  const update: NameUpdate = { name, op: 'remove', types: addressTypes, records: addresses.map(addressRecord) };
  await sendTo(registration, update, zone, server);
  for (const one of reverse) {
    const pointer: NameUpdate = {
      name: reverseName(one.address),
      op: 'remove',
      types: [recordType.ptr],
      records: [pointerRecord(name)],
    };
    await sendTo(registration, pointer, one.zone, one.server);
  }
}

async function zoneOf(registration: NameRegistration, name: string): Promise<Zone> {
  let zone: Zone | undefined;
  try {
    zone = await findZone(name, askThrough(registration));
  } catch (error) {
    throw registrationError('AOV-HOST-330', messageOf(error), error);
  }
  if (!zone || publicReverseZones.includes(zone.name))
    throw registrationError('AOV-HOST-336', `no zone of the company holds ${name}`);
  return zone;
}

/** To the first that takes it. A refusal by one says nothing about the others: a secondary refuses what its primary takes. */
async function send(
  registration: NameRegistration,
  update: NameUpdate,
  zone: Zone,
): Promise<{ readonly zone: string; readonly server: IpAddress }> {
  const primary = zone.primary === '' ? [] : await findAddresses(zone.primary, askThrough(registration)).catch(() => []);
  const all = [...primary, ...registration.servers];
  let problem: unknown;
  for (const server of all.filter((address, i) => all.findIndex((other) => sameAddress(other, address)) === i)) {
    try {
      await sendTo(registration, update, zone.name, server);
      return { zone: zone.name, server };
    } catch (error) {
      // What a server says counts for more than that another one is silent.
      if (!(problem instanceof HostError) || problem.code === 'AOV-HOST-330') problem = error;
    }
  }
  throw problem ?? registrationError('AOV-HOST-330', 'no server to tell');
}

async function sendTo(registration: NameRegistration, update: NameUpdate, zone: string, server: IpAddress): Promise<void> {
  const { device, credential, leadsThrough } = registration;
  if (credential.kind === 'kerberos') {
    if (!leadsThrough(server))
      throw registrationError('AOV-HOST-330', `${formatAddress(server)} is not reached through ${device}`);
    return await updateByKerberos(server, zone, update, credential);
  }
  const key = credential.kind === 'tsig' ? await readKey(credential.keyFile) : undefined;
  const plain = encodeUpdate(randomInt(0x10000), zone, update);
  const signed = key && signMessage(plain, key, seconds());
  let answer: Uint8Array;
  try {
    answer = await exchange(device, server, signed?.message ?? plain, timeoutMs);
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

function askThrough({ device, servers }: NameRegistration): AskServers {
  return async (name, type) => {
    let problem: unknown = new Error('no server to ask');
    for (const server of servers) {
      try {
        return await exchange(device, server, encodeQuery(randomInt(0x10000), name, type), timeoutMs);
      } catch (error) {
        problem = error;
      }
    }
    throw problem;
  };
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
