import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { equal, formatAddress, type IpAddress } from '@aovpn/bytes';
import { HostError } from '../../host-error.ts';
import { exchange } from '../../registration/exchange.ts';
import { endOfAliases, findNameServers, zoneOf } from '../../registration/find-zone.ts';
import { askServers, sendUpdate, type UpdateCredential, type UpdateWay } from '../../registration/send-update.ts';
import { decodeAnswer, encodeQuery, recordType, textRecord, type NameUpdate } from '../../registration/update-message.ts';
import { parseResolvConf } from '../../resolver/resolv-conf.ts';
import { EnrolError } from '../enrol-error.ts';
import type { ProofRecord } from './acme-state.ts';

/** Where proofs for `dns-01` are written. */
export interface ProofPlace {
  readonly credential: Exclude<UpdateCredential, { readonly kind: 'none' }>;
  /** Name servers that are asked for the zone; undefined: those of the system. */
  readonly servers?: readonly IpAddress[];
}

/** Seconds. A proof is read once, by whoever has not read it before. */
const lifetime = 60;
const answerTimeout = 3000;
/** All that a change takes: finding the zone, and telling it. Milliseconds. */
const changePatience = 15_000;
/** Between two looks, milliseconds. */
const lookPause = 400;
const resolvConf = '/etc/resolv.conf';

/**
 * Puts it beside what is there, in the place that an alias at its name leads to. To do so again changes nothing.
 * @throws {EnrolError} unproven, or unreachable
 */
export async function writeProof(place: ProofPlace, { name, text }: ProofRecord): Promise<void> {
  await update(place, name, { op: 'replace', types: [], records: [textRecord(text)], lifetime }, Date.now() + changePatience);
}

/** Takes exactly this one out. @param until milliseconds of `Date.now()` @throws {EnrolError} */
export async function removeProof(
  place: ProofPlace,
  { name, text }: ProofRecord,
  until = Date.now() + changePatience,
): Promise<void> {
  await update(place, name, { op: 'remove', types: [], records: [textRecord(text)] }, until);
}

/**
 * Waits until every name server of the zone that answers has it: the authority asks any of them (RFC 8555 §8.4). Those that are silent, or let us not ask, are passed over.
 * @param deadline milliseconds of `Date.now()`
 * @returns the servers that have not; none: it is seen
 */
export async function waitForProof(
  place: ProofPlace,
  { name, text }: ProofRecord,
  deadline: number,
): Promise<readonly IpAddress[]> {
  // However late it is, there is one look.
  const way = await wayTo(place, Math.max(deadline, Date.now()) + answerTimeout);
  const ask = askServers(way);
  const { owner, all } = await telling(async () => {
    const owner = await endOfAliases(name, ask);
    const zone = await zoneOf(owner, ask);
    return { owner, all: await findNameServers(zone.name, ask).catch(() => []) };
  });
  let missing = all.length === 0 ? way.servers : all;
  for (;;) {
    const looks = await Promise.all(missing.map(async (server) => ((await has(server, owner, text)) === false ? [server] : [])));
    missing = looks.flat();
    if (missing.length === 0 || Date.now() + lookPause > deadline) return missing;
    await sleep(lookPause);
  }
}

/** Undefined: it does not say. */
async function has(server: IpAddress, name: string, text: string): Promise<boolean | undefined> {
  let message: Uint8Array;
  try {
    message = await exchange(undefined, server, encodeQuery(randomInt(0x10000), name, recordType.txt), answerTimeout);
  } catch {
    return undefined;
  }
  const answer = decodeAnswer(message);
  if (answer?.rcode !== 0 && answer?.rcode !== 3) return undefined;
  const wanted = textRecord(text).data;
  return answer.records.some(
    ({ section, type, data, dataLength }) =>
      section === 'answer' && type === recordType.txt && equal(wanted, message.subarray(data, data + dataLength)),
  );
}

async function update(place: ProofPlace, name: string, change: Omit<NameUpdate, 'name'>, until: number): Promise<void> {
  const way = await wayTo(place, until);
  const ask = askServers(way);
  await telling(async () => {
    const owner = await endOfAliases(name, ask);
    await sendUpdate(way, { ...change, name: owner }, await zoneOf(owner, ask));
  });
}

/** Not bound to a device: it goes where that of any program of this machine does. */
async function wayTo({ credential, servers }: ProofPlace, until: number): Promise<UpdateWay> {
  const own = servers ?? parseResolvConf(await readFile(resolvConf, 'utf8').catch(() => '')).nameservers;
  return { device: undefined, servers: own, credential, leadsThrough: () => true, until };
}

async function telling<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    // Who was not reached may be so when the tunnel is up.
    const failure = error.code === 'AOV-HOST-330' ? 'unreachable' : 'unproven';
    throw new EnrolError(failure, `DNS update: ${error.what} [${error.code}]`, { cause: error });
  }
}

/** For people. */
export function serversText(servers: readonly IpAddress[]): string {
  return servers.map(formatAddress).join(', ');
}
