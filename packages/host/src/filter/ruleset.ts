import { nftTable } from '@aovpn/policy';
import { SysError } from '../sys/index.ts';
import { filterError } from './filter-error.ts';
import { encodeRuleset } from './encode-ruleset.ts';
import { commit, hasTable, openNftEvents, rulesetGeneration, type NftTransaction } from './nfnetlink.ts';
import { describeRefusal, runNft } from './nft.ts';

/** Somebody else changed our table. */
export interface ForeignRulesetChange {
  /** Such as `delete rule`; `unknown` when there were too many events to be read. */
  readonly what: string;
  /** Program and process id; empty when it is not known. */
  readonly by: string;
}

/** A table of ours, or several that go together, in this network namespace. */
export interface Ruleset {
  /** One transaction: all of the text comes into force, or nothing of it. @throws {HostError} AOV-HOST-605, AOV-HOST-606 */
  apply(text: string): Promise<void>;
  /** A transaction of ours by other means than nft, as `act` performs it. */
  change(act: () => void): void;
  /** What nft would say to the text; nothing changes. @throws {HostError} AOV-HOST-605, AOV-HOST-606 */
  check(text: string): Promise<void>;
  /** The table as `nft -j` lists it (libnftables-json(5)); undefined when it does not exist. @throws {HostError} AOV-HOST-605, AOV-HOST-607 */
  read(): Promise<readonly NftObject[] | undefined>;
  /** Calls back when somebody else changes our table, from the event loop and soon. @throws {HostError} AOV-HOST-607 */
  watch(onChange: (change: ForeignRulesetChange) => void): { close(): void };
  /** Removes the table, whoever made it; tells whether there was one. @throws {HostError} AOV-HOST-605, AOV-HOST-606 */
  remove(): Promise<boolean>;
}

/** One object of the JSON that nft writes: `{ "chain": { … } }`. */
export type NftObject = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Our own transactions are remembered until their events have surely been read. */
const remembered = 64;

/** @param first such as `inet aovpn`, the one that `read` and `remove` look at. @param others of the same name, that go with it */
export function openRuleset(first: string = nftTable, ...others: readonly string[]): Ruleset {
  const tableName = first.split(' ')[1]!;
  const removal = [first, ...others].map((table) => `table ${table}\ndelete table ${table}\n`).join('');
  /** Generations that we made ourselves. */
  const own: number[] = [];
  const ownPids: number[] = [];
  let last = -1;
  let busy = 0;
  const watchers = new Set<() => void>();

  const run = async (text: string): Promise<void> => {
    busy++;
    try {
      if (tryInProcess(text)) return;
      const before = tryGeneration();
      const result = await runNft(['-f', '-'], text);
      if (!result.ok) throw filterError('rulesetRefused', describeRefusal(result.refusal));
      const after = tryGeneration();
      ownPids.push(result.pid);
      // Nobody else came in between: the transaction is known by its number, also where process ids are others.
      if (before !== undefined && after === (before + 1) >>> 0) own.push(after);
      if (own.length > remembered) own.shift();
      if (ownPids.length > remembered) ownPids.shift();
      last = after ?? -1;
    } finally {
      busy--;
      if (busy === 0) for (const look of watchers) setImmediate(look);
    }
  };
  const change = (act: () => void): void => {
    const before = tryGeneration();
    act();
    const after = tryGeneration();
    if (before !== undefined && after === (before + 1) >>> 0) own.push(after);
    if (own.length > remembered) own.shift();
    last = after ?? -1;
  };
  /** What the kernel refuses nft shall try, too: it can say why. */
  const tryInProcess = (text: string): boolean => {
    const messages = encodeRuleset(text);
    if (!messages || messages.length === 0) return false;
    try {
      change(() => commit(messages));
      return true;
    } catch (error) {
      if (error instanceof SysError) return false;
      throw error;
    }
  };
  const foreign = ({ generation, pid, changes }: NftTransaction): boolean =>
    changes.length > 0 && !own.includes(generation) && !ownPids.includes(pid);

  return {
    apply: run,
    change,
    check: async (text) => {
      const result = await runNft(['-c', '-f', '-'], text);
      if (!result.ok) throw filterError('rulesetRefused', describeRefusal(result.refusal));
    },
    read: async () => {
      const result = await runNft(['-j', 'list', 'table', ...first.split(' ')], '');
      if (!result.ok) {
        if (/No such file or directory/.test(result.refusal.said)) return undefined;
        throw filterError('rulesetUnreadable', describeRefusal(result.refusal));
      }
      try {
        return (JSON.parse(result.output) as { readonly nftables: readonly NftObject[] }).nftables;
      } catch (error) {
        throw filterError('rulesetUnreadable', 'nft wrote no JSON', error);
      }
    },
    watch: (onChange) => {
      let events: ReturnType<typeof openNftEvents>;
      try {
        events = openNftEvents(tableName);
      } catch (error) {
        throw filterError('rulesetUnreadable', `netlink: ${String(error)}`, error);
      }
      let open = true;
      const look = (): void => {
        // What happens meanwhile waits in the socket: whose it is can only be told afterwards.
        if (!open || busy > 0) return;
        const { transactions, lost } = events.read();
        if (lost && tryGeneration() !== last) onChange({ what: 'unknown', by: '' });
        for (const transaction of transactions.filter(foreign)) {
          onChange({ what: transaction.changes.join(', '), by: `${transaction.program} (process ${transaction.pid})` });
        }
      };
      watchers.add(look);
      events.watch(look);
      return {
        close: () => {
          open = false;
          watchers.delete(look);
          events.close();
        },
      };
    },
    remove: async () => {
      const before = tryHasTable(first);
      await run(removal);
      return before;
    },
  };
}

function tryHasTable(table: string): boolean {
  try {
    return hasTable(table);
  } catch (error) {
    if (error instanceof SysError) return false;
    throw error;
  }
}

function tryGeneration(): number | undefined {
  try {
    return rulesetGeneration();
  } catch (error) {
    if (error instanceof SysError) return undefined;
    throw error;
  }
}
