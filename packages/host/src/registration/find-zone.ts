import { addressFromBytes, sameAddress, type IpAddress } from '@aovpn/bytes';
import { normaliseDomain } from '@aovpn/policy';
import { decodeName } from './name-octets.ts';
import { registrationError } from './registration-error.ts';
import { codeName, decodeAnswer, recordType } from './update-message.ts';

/** Asks name servers until one answers. @throws when none does */
export type AskServers = (name: string, type: number) => Promise<Uint8Array>;

/** Where a name can be registered. */
export interface Zone {
  readonly name: string;
  /** MNAME of its SOA record: the server that takes updates (RFC 2136 §4.3). */
  readonly primary: string;
}

/** Of one zone, that are looked at. */
const nameServerCount = 13;
/** Of one name and family, that are looked at. */
const addressCount = 8;
/** Aliases that are followed. */
const aliasSteps = 8;
/** Zones so high up belong to nobody's company. */
const publicZones = ['in-addr.arpa', 'ip6.arpa', 'arpa', ''];

/** The zone that a name belongs to, in which it can be written. @throws {HostError} AOV-HOST-330, AOV-HOST-336 */
export async function zoneOf(name: string, ask: AskServers): Promise<Zone> {
  let zone: Zone | undefined;
  try {
    zone = await findZone(name, ask);
  } catch (error) {
    throw registrationError('AOV-HOST-330', error instanceof Error ? error.message : String(error), error);
  }
  if (!zone || publicZones.includes(zone.name)) throw registrationError('AOV-HOST-336', `no zone of the company holds ${name}`);
  return zone;
}

/**
 * The zone that a name belongs to: its SOA record stands in the answer or, when the name is not its top, in the authority section
 * (RFC 2308 §2).
 * @returns undefined when no server of a zone says so
 * @throws whatever `ask` throws
 */
async function findZone(name: string, ask: AskServers): Promise<Zone | undefined> {
  const message = await ask(name, recordType.soa);
  const answer = decodeAnswer(message);
  if (!answer) throw new Error('a broken answer');
  if (answer.rcode !== 0 && answer.rcode !== 3) throw new Error(`${name}: ${codeName(answer.rcode)}`);
  for (const { type, name: owner, data } of answer.records) {
    if (type !== recordType.soa || !(name === owner || name.endsWith(`.${owner}`))) continue;
    const primary = decodeName(message, data);
    // A name that is none leads nowhere, and the servers that were given are told.
    if (primary) return { name: owner, primary: normaliseDomain(primary.name) ?? '' };
  }
  return undefined;
}

/** Where the records of a name stand: at itself, or at the end of its aliases (CNAME, RFC 1034 §3.6.2). @throws {HostError} AOV-HOST-330 */
export async function endOfAliases(name: string, ask: AskServers): Promise<string> {
  for (let at = name, steps = 0; ; steps++) {
    if (steps === aliasSteps) throw registrationError('AOV-HOST-330', `${name} is an alias of an alias without end`);
    let message: Uint8Array;
    try {
      message = await ask(at, recordType.cname);
    } catch (error) {
      throw registrationError('AOV-HOST-330', error instanceof Error ? error.message : String(error), error);
    }
    const alias = decodeAnswer(message)?.records.find(
      ({ section, type, name: owner }) => section === 'answer' && type === recordType.cname && owner === at,
    );
    const target = alias && normaliseDomain(decodeName(message, alias.data)?.name ?? '');
    if (target === undefined) return at;
    at = target;
  }
}

/** Addresses of a name, IPv4 and IPv6, the first of those that are there. @throws whatever `ask` throws */
export async function findAddresses(name: string, ask: AskServers): Promise<readonly IpAddress[]> {
  const found: IpAddress[] = [];
  for (const type of [recordType.a, recordType.aaaa]) {
    const message = await ask(name, type);
    const octets = type === recordType.a ? 4 : 16;
    const records = (decodeAnswer(message)?.records ?? []).filter(
      (record) => record.section === 'answer' && record.type === type && record.dataLength === octets,
    );
    for (const { data } of records.slice(0, addressCount)) found.push(addressFromBytes(message.slice(data, data + octets)));
  }
  return found;
}

/** Addresses of the name servers of a zone that can be found, each once. @throws whatever `ask` throws */
export async function findNameServers(zone: string, ask: AskServers): Promise<readonly IpAddress[]> {
  const message = await ask(zone, recordType.ns);
  const names = (decodeAnswer(message)?.records ?? [])
    .filter(({ section, type, name }) => section === 'answer' && type === recordType.ns && name === zone)
    .map(({ data }) => normaliseDomain(decodeName(message, data)?.name ?? ''))
    .filter((name) => name !== undefined)
    .slice(0, nameServerCount);
  const found: IpAddress[] = [];
  for (const name of names)
    for (const address of await findAddresses(name, ask).catch(() => []))
      if (!found.some((other) => sameAddress(other, address))) found.push(address);
  return found;
}
