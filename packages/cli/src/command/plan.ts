import type { PlanItem } from '@aovpn/api';
import { ExitCode, type Command, type Invocation } from '../command.ts';
import { dryPlan } from '../dry-plan.ts';
import { printable, type Terminal } from '../terminal.ts';

export const plan: Command = {
  name: 'plan',
  summary: 'print what is asked of the kernel and the resolver, now or for a profile, item by item',
  description: [
    'Without PROFILE: the plan in force. With PROFILE: what that file comes to, without root, without the daemon and without a tunnel; what has to be assumed for it stands at the top.',
    'Routes, rules, names, filters and apps, each with the profile line that asked for it, in words that a Linux administrator can review.',
    'With --against: what is different when OTHER is replaced by PROFILE, + added, ~ replaced, - removed. "-" reads standard input.',
  ],
  positionals: [{ name: 'PROFILE', optional: true, complete: 'file' }],
  options: [
    { name: 'against', value: 'OTHER', summary: 'compare with this profile', complete: 'file' },
    { name: 'config-dir', value: 'DIR', summary: 'where apps.d and sids.d are (/etc/aovpn)', complete: 'file' },
    { name: 'ruleset', summary: 'print the ruleset for nft instead, with cgroups as they usually are' },
    { name: 'json', summary: 'print it as JSON' },
  ],
  examples: [
    { command: 'aovpn plan corp.xml', what: 'review before rolling out' },
    { command: 'aovpn plan corp.xml --against corp-old.xml', what: 'what a new version changes' },
    { command: 'aovpn plan --json | jq -r ".items[].text"', what: 'the plan in force, for scripts' },
  ],
  async run(invocation) {
    const { client, options, positionals, terminal } = invocation;
    if (positionals[0] !== undefined) return await dryRun(invocation, positionals[0]);
    const answer = await client.call('GET /v1/plan');
    terminal.out(options['json'] === true ? JSON.stringify(answer, null, 2) : answer.text.trimEnd());
    return ExitCode.done;
  },
};

async function dryRun({ options, terminal }: Invocation, file: string): Promise<number> {
  const configDir = typeof options['config-dir'] === 'string' ? options['config-dir'] : '/etc/aovpn';
  const { describeChange, diffFilters, diffLockdown, diffPlan, listPlan, printChanges, printPlan } =
    await import('@aovpn/policy');
  const next = await dryPlan(file, configDir, terminal);
  const isWrong = next.plan.problems.some(({ severity }) => severity === 'error');
  const exitCode = isWrong ? ExitCode.failed : ExitCode.done;
  for (const fault of next.faults) terminal.err(`${terminal.style('warn', '!')} ${printable(fault)}: it does not count`);
  const against = options['against'];
  if (typeof against === 'string') {
    // Under one name, so that only what the profiles say makes a difference.
    const before = await dryPlan(against, configDir, terminal, file);
    const [from, to] = [before.plan, next.plan];
    const changes = [...diffLockdown(from, to), ...diffPlan(from, to), ...diffFilters(from, to)];
    if (options['json'] === true)
      terminal.out(
        JSON.stringify({ changes: changes.map((change) => ({ op: change.op, text: describeChange(change) })) }, null, 2),
      );
    else terminal.out(changes.length === 0 ? 'no difference' : printChanges(changes).trimEnd());
    return exitCode;
  }
  if (options['ruleset'] === true) {
    const { printLockdown, printRuleset } = await import('@aovpn/policy');
    const appCgroups = new Map(next.plan.apps.map(({ key }) => [key, [{ path: `aovpn/${key}`, level: 2 }]]));
    const system = [{ path: 'system.slice', level: 1 }];
    terminal.out(printRuleset(next.plan, { appCgroups, systemCgroups: system, routeLocalnet: true }).trimEnd());
    if (next.plan.lockdown) terminal.out(`\n${printLockdown(next.plan.lockdown, 'replace', Date.now()).trimEnd()}`);
    return exitCode;
  }
  if (options['json'] === true) {
    const items = listPlan(next.plan).map(({ section, text, because }): PlanItem => ({
      section,
      text,
      ...(because && {
        ...(because.profile !== '' && { profile: because.profile }),
        ...(because.at && { line: because.at.line }),
        why: because.why,
      }),
    }));
    terminal.out(JSON.stringify({ assumptions: next.assumptions, notes: next.notes, items }, null, 2));
    return exitCode;
  }
  terminal.out(
    [
      ...assumptionLines(next.assumptions, terminal),
      ...next.notes.map((note) => terminal.style('warn', `# ${printable(note)}`)),
      '',
      printable(printPlan(next.plan)).trimEnd(),
    ].join('\n'),
  );
  return exitCode;
}

export function assumptionLines(assumptions: readonly string[], terminal: Terminal): string[] {
  if (assumptions.length === 0) return [];
  return ['# assumed, as there is no tunnel to ask:', ...assumptions.map((text) => `#   ${printable(text)}`)].map((line) =>
    terminal.style('dim', line),
  );
}
