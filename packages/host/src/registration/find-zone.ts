import { addressFromBytes, type IpAddress } from '@aovpn/bytes';
import { normaliseDomain } from '@aovpn/policy';
import { decodeName } from './name-octets.ts';
import { codeName, decodeAnswer, recordType } from './update-message.ts';

/** Asks name servers until one answers. @throws when none does */
export type AskServers = (name: string, type: number) => Promise<Uint8Array>;

/** Where a name can be registered. */
export interface Zone {
  readonly name: string;
  /** MNAME of its SOA record: the server that takes updates (RFC 2136 §4.3). */
  readonly primary: string;
}

/**
 * The zone that a name belongs to: its SOA record stands in the answer or, when the name is not its top, in the authority section
 * (RFC 2308 §2).
 * @returns undefined when no server of a zone says so
 * @throws whatever `ask` throws
 */
export async function findZone(name: string, ask: AskServers): Promise<Zone | undefined> {
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

/** Addresses of a name, IPv4 and IPv6. @throws whatever `ask` throws */
export async function findAddresses(name: string, ask: AskServers): Promise<readonly IpAddress[]> {
  const found: IpAddress[] = [];
  for (const type of [recordType.a, recordType.aaaa]) {
    const message = await ask(name, type);
    for (const record of decodeAnswer(message)?.records ?? []) {
      const octets = type === recordType.a ? 4 : 16;
      if (record.section === 'answer' && record.type === type && record.dataLength === octets)
        found.push(addressFromBytes(message.slice(record.data, record.data + octets)));
    }
  }
  return found;
}
