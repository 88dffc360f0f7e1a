import { formatAddress, type IpAddress } from '@aovpn/bytes';
import {
  guardSetPlaces,
  guardSetsOf,
  guardShape,
  guardTables,
  printGuard,
  printWaitingGuard,
  type GuardSets,
  type Plan,
} from '@aovpn/policy';
import { changeElements, hasTable, type ElementChange } from '../filter/nfnetlink.ts';
import { openRuleset } from '../filter/ruleset.ts';
import { openSysctls } from '../filter/sysctl.ts';
import { SysError } from '../sys/index.ts';

/** Keeps the addresses of tunnels to their tunnels ({@link printGuard}). */
export interface Guard {
  /** Nothing is done when it is in force already. @throws {HostError} AOV-HOST-605, AOV-HOST-606, AOV-HOST-608 */
  apply(tunnels: Plan['tunnels']): Promise<void>;
  /** A tunnel is about to come up: its tables and its setting of the kernel are made before anybody waits for them. */
  prepare(mark: number): void;
  /** It is going to be removed by other means; nothing of ours is under way any more. */
  forget(): Promise<void>;
  /** Calls back when somebody else changed it; the next `apply` puts it back. @throws {HostError} AOV-HOST-607 */
  watch(onChange: (what: string) => void): { close(): void };
}

/** Only with it does a reverse path check heed marks, ours on answers of the gateway among them. */
const sourceMark = 'net.ipv4.conf.all.src_valid_mark';
/** A tunnel that was about to come up and did not: its tables go after so long, milliseconds. */
const patienceMs = 60_000;
const nothing: GuardSets = { own4: [], own6: [], via4: [], via6: [] };

export function openGuard(runDirectory: string): Guard {
  const ruleset = openRuleset(...guardTables);
  const sysctls = openSysctls(runDirectory, 'guard');
  /** What the tables hold; undefined: there are none of ours, or nobody knows what is in them. */
  let standing: { readonly sets: GuardSets; readonly shape: string } | undefined;
  let isSpoilt = false;
  let turn: Promise<void> = Promise.resolve();
  const replace = async (text: string, sets: GuardSets, shape: string): Promise<void> => {
    await ruleset.apply(text);
    standing = { sets, shape };
    isSpoilt = false;
  };
  const apply = async (tunnels: Plan['tunnels']): Promise<void> => {
    const marked = tunnels.some(({ outer }) => outer?.gateway.family === 4);
    if (marked) sysctls.set(sourceMark, '1');
    if (tunnels.length === 0) {
      if (standing || isSpoilt) await ruleset.remove();
      standing = undefined;
      isSpoilt = false;
    } else {
      const sets = guardSetsOf(tunnels);
      const shape = guardShape(tunnels);
      if (isSpoilt || standing?.shape !== shape || !tryElements(standing.sets, sets))
        await replace(printGuard(tunnels), sets, shape);
      else standing = { sets, shape };
    }
    // Nobody could be told, and whoever runs --clean-up tries again.
    if (!marked) sysctls.restore();
  };
  const tryElements = (from: GuardSets, to: GuardSets): boolean => {
    const changes = guardSetPlaces.flatMap(([table, set]): ElementChange[] => [
      { table, set, op: 'remove', addresses: without(from[set], to[set]) },
      { table, set, op: 'add', addresses: without(to[set], from[set]) },
    ]);
    if (changes.every(({ addresses }) => addresses.length === 0)) return true;
    try {
      ruleset.change(() => changeElements(changes));
      return true;
    } catch (error) {
      if (error instanceof SysError) return false;
      throw error;
    }
  };
  const inTurn = (act: () => Promise<void>): Promise<void> => {
    const mine = turn.then(act, act);
    turn = mine.catch(() => undefined);
    return mine;
  };
  return {
    apply: (tunnels) => inTurn(() => apply(tunnels)),
    prepare: (mark) => {
      // What fails here fails again, and is told, when it is needed.
      void inTurn(async () => {
        if (standing || isSpoilt) return;
        sysctls.set(sourceMark, '1');
        await replace(printWaitingGuard(mark), nothing, guardShape({ waiting: mark }));
        const timer = setTimeout(() => {
          void inTurn(async () => (standing?.sets === nothing ? await apply([]) : undefined)).catch(() => undefined);
        }, patienceMs);
        timer.unref();
      }).catch(() => undefined);
    },
    forget: () =>
      inTurn(() => {
        standing = undefined;
        isSpoilt = false;
        return Promise.resolve();
      }),
    watch: (onChange) =>
      ruleset.watch(({ what, by }) => {
        if (!standing) return;
        isSpoilt = true;
        onChange(`${what}${by === '' ? '' : ` by ${by}`}`);
      }),
  };
}

/** With no memory of what ran before; what could not be removed, with the reason. */
export async function removeGuard(runDirectory: string): Promise<readonly string[]> {
  const problems: string[] = [];
  try {
    if (guardTables.some((table) => hasTable(table))) await openRuleset(...guardTables).remove();
  } catch (error) {
    problems.push(`guard: ${error instanceof Error ? error.message : String(error)}`);
  }
  return [...problems, ...openSysctls(runDirectory, 'guard').restore()];
}

function without(all: readonly IpAddress[], others: readonly IpAddress[]): IpAddress[] {
  const known = new Set(others.map(formatAddress));
  return all.filter((one) => !known.has(formatAddress(one)));
}
