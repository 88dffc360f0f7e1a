import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { networkManagerHeader } from './decide-resolver.ts';
import { forgetStandingAside, readNetworkManagerText, reloadNetworkManager } from './network-manager.ts';
import { giveBack, isTaken, readOriginal, type ResolvConfPlace } from './resolv-conf-journal.ts';
import { isOurs, parseResolvConf } from './resolv-conf.ts';
import { readOtherRecords, readOurRecord, removeRecord } from './resolvconf-record.ts';

/** The machine's resolver configuration without us, as whoever makes it has it now. */
export function readWithoutUs(place: ResolvConfPlace): { readonly text: string; readonly link?: string } {
  const original = readOriginal(place);
  if (readOurRecord() !== undefined) return { ...original, text: readOtherRecords() };
  if (!isTaken(place)) return original;
  // The file that we took over is as old as our taking over; its maker goes on writing what would be in it.
  if (original.text.startsWith(networkManagerHeader)) return { ...original, text: readNetworkManagerText() ?? original.text };
  if (original.link !== undefined) {
    const live = readTarget(resolve(dirname(place.resolvConf), original.link));
    if (live !== undefined) return { ...original, text: live };
  }
  return original;
}

/** Whether programs are sent to our stub: by a file of ours, or by the record that resolvconf makes its file from. */
export function holdsResolvConf(place: ResolvConfPlace): boolean {
  if (isTaken(place)) return true;
  const record = readOurRecord();
  if (record === undefined) return false;
  const ours = parseResolvConf(record).nameservers[0];
  const { nameservers } = parseResolvConf(readOriginal(place).text);
  return ours !== undefined && nameservers.length === 1 && nameservers[0]!.bytes.join('.') === ours.bytes.join('.');
}

/**
 * Gives everything back, with no memory of what ran before: our record, our file, NetworkManager's hands off it.
 * @returns what became of it; `kept`: somebody else has put a file of his own there since
 * @throws {HostError} AOV-HOST-311, AOV-HOST-312; or an Error with what resolvconf said
 */
export async function releasePlace(place: ResolvConfPlace): Promise<'nothing' | 'restored' | 'kept'> {
  const recorded = await removeRecord();
  const aside = forgetStandingAside();
  try {
    const given = giveBack(place);
    return given === 'nothing' && (recorded || aside) ? 'restored' : given;
  } finally {
    if (aside) await reloadNetworkManager();
  }
}

function readTarget(path: string): string | undefined {
  try {
    const text = readFileSync(path, 'utf8');
    return isOurs(text) ? undefined : text;
  } catch {
    return undefined;
  }
}
