import { formatAddress, type IpAddress } from '@aovpn/bytes';
import { zoneOf, type Zone } from './find-zone.ts';
import { reverseName } from './name-octets.ts';
import { askServers, sendUpdate, sendUpdateTo, type UpdateWay } from './send-update.ts';
import { addressRecord, pointerRecord, recordType, type NameUpdate } from './update-message.ts';

export interface NameRegistration extends UpdateWay {
  readonly device: string;
  /** Fully qualified, normalised. */
  readonly name: string;
  readonly addresses: readonly IpAddress[];
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

const addressTypes = [recordType.a, recordType.aaaa];

/**
 * Makes these addresses the only ones of the name (RFC 2136), through the tunnel's device and nothing else. The zone's primary server is
 * told; when it cannot be reached, the servers that were given. Reverse names follow where somebody takes them.
 * @throws {HostError} AOV-HOST-330 to 336
 */
export async function registerName(registration: NameRegistration): Promise<RegisteredName> {
  const { name, addresses } = registration;
  const update: NameUpdate = { name, op: 'replace', types: addressTypes, records: addresses.map(addressRecord) };
  const { zone, server } = await send(registration, update, await zoneOf(name, askServers(registration)));
  const reverse: { address: IpAddress; zone: string; server: IpAddress }[] = [];
  const notes: string[] = [];
  for (const address of addresses) {
    const own = reverseName(address);
    const pointer: NameUpdate = { name: own, op: 'replace', types: [recordType.ptr], records: [pointerRecord(name)] };
    try {
      reverse.push({ address, ...(await send(registration, pointer, await zoneOf(own, askServers(registration)))) });
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
  await sendUpdateTo(registration, update, zone, server);
  for (const one of reverse) {
    const pointer: NameUpdate = {
      name: reverseName(one.address),
      op: 'remove',
      types: [recordType.ptr],
      records: [pointerRecord(name)],
    };
    await sendUpdateTo(registration, pointer, one.zone, one.server);
  }
}

/** @returns where it was taken */
async function send(
  registration: NameRegistration,
  update: NameUpdate,
  zone: Zone,
): Promise<{ readonly zone: string; readonly server: IpAddress }> {
  return { zone: zone.name, server: await sendUpdate(registration, update, zone) };
}
