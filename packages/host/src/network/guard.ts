import { guardTables, printGuard, type Plan } from '@aovpn/policy';
import { hasTable } from '../filter/nfnetlink.ts';
import { openRuleset } from '../filter/ruleset.ts';
import { openSysctls } from '../filter/sysctl.ts';

/** Keeps the addresses of tunnels to their tunnels ({@link printGuard}). */
export interface Guard {
  /** Nothing is done when it is in force already. @throws {HostError} AOV-HOST-605, AOV-HOST-606, AOV-HOST-608 */
  apply(tunnels: Plan['tunnels']): Promise<void>;
  /** It was removed by other means. */
  forget(): void;
  /** Calls back when somebody else changed it; the next `apply` puts it back. @throws {HostError} AOV-HOST-607 */
  watch(onChange: (what: string) => void): { close(): void };
}

/** Only with it does a reverse path check heed marks, ours on answers of the gateway among them. */
const sourceMark = 'net.ipv4.conf.all.src_valid_mark';

export function openGuard(runDirectory: string): Guard {
  const ruleset = openRuleset(...guardTables);
  const sysctls = openSysctls(runDirectory, 'guard');
  let inForce: string | undefined;
  return {
    apply: async (tunnels) => {
      const text = printGuard(tunnels);
      const marked = tunnels.some(({ outer }) => outer?.gateway.family === 4);
      if (marked) sysctls.set(sourceMark, '1');
      if (text !== (inForce ?? printGuard([]))) {
        await ruleset.apply(text);
        inForce = tunnels.length > 0 ? text : undefined;
      }
      // Nobody could be told, and whoever runs --clean-up tries again.
      if (!marked) sysctls.restore();
    },
    forget: () => {
      inForce = undefined;
    },
    watch: (onChange) =>
      ruleset.watch(({ what, by }) => {
        if (inForce === undefined) return;
        inForce = '';
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
