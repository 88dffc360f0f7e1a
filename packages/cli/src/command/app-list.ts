import type { AppsReport, AppStatus } from '@aovpn/api';
import { ExitCode, type Command } from '../command.ts';
import { printable, type Terminal } from '../terminal.ts';

export const appList: Command = {
  name: 'app list',
  summary: 'list the apps that profiles name: what they are here, their processes, their tunnels',
  description: [
    'An app is what runs in its cgroup: every process that begins with one of its programs, and every child of it.',
    'With --all also what is known of applications that no profile names, and entries of apps.d that do not count.',
  ],
  positionals: [],
  options: [
    { name: 'all', short: 'a', summary: 'everything that apps.d says' },
    { name: 'json', summary: 'print it as JSON' },
  ],
  examples: [{ command: 'aovpn app list --all', what: 'what could be named' }],
  async run({ client, options, terminal }) {
    const answer = await client.call('GET /v1/apps');
    terminal.out(
      options['json'] === true ? JSON.stringify(answer, null, 2) : appsText(answer, options['all'] === true, terminal),
    );
    return ExitCode.done;
  },
};

function appsText({ traffic, known, faults }: AppsReport, all: boolean, terminal: Terminal): string {
  const blocks = traffic.apps.map((app) => appText(app, terminal));
  if (blocks.length === 0) blocks.push('no profile in force names an app');
  const { state, why } = traffic.execWatch;
  if (state === 'stopped' || state === 'unavailable')
    blocks.push(
      terminal.style(
        'bad',
        `! starts of apps are not seen: ${printable(why ?? state)}; they are refused on tunnels with filters`,
      ),
    );
  if (all) {
    const named = new Set(traffic.apps.map(({ key }) => key));
    const width = Math.max(0, ...known.map(({ key }) => key.length));
    const rows = known
      .filter(({ key }) => !named.has(key))
      .map(
        ({ key, title, names }) =>
          `${key.padEnd(width)}  ${title}${names[0] === undefined ? '' : `  ${terminal.style('dim', names[0])}`}`,
      );
    blocks.push([terminal.style('strong', 'known, and named by no profile'), ...rows.map(printable)].join('\n'));
  }
  if (faults.length > 0)
    blocks.push(
      [
        terminal.style('warn', `${faults.length} entries of apps.d and sids.d do not count`),
        ...faults.map(({ source, where, what }) => `  ${printable(`${source}: ${where}: ${what}`)}`),
      ].join('\n'),
    );
  return blocks.join('\n\n');
}

function appText(app: AppStatus, terminal: Terminal): string {
  const lines = [
    `${terminal.style('strong', printable(app.key))}  ${printable(app.title)}  ${terminal.style('dim', printable(app.because))}`,
  ];
  const add = (label: string, text: string): void => {
    if (text !== '') lines.push(`  ${label.padEnd(10)}  ${printable(text)}`);
  };
  const way =
    app.routing === 'ForceTunnel' ? `all its traffic into ${app.device ?? 'a tunnel that is down: nothing leaves'}` : '';
  add('way', way);
  add('tunnels', app.tunnels.length > 0 ? `let in by ${app.tunnels.join(', ')}${app.perAppVpn ? ' (per-app VPN)' : ''}` : '');
  add('processes', app.pids.length > 0 ? app.pids.join(' ') : 'none now');
  add(
    'restart',
    app.late.length > 0 ? `started before they were watched for, older connections are refused: ${app.late.join(' ')}` : '',
  );
  add('programs', app.files.join(', '));
  const missing = app.executables.filter((one) => !one.includes('*') && !app.files.includes(one));
  add('not here', missing.join(', '));
  for (const { path, why } of app.refused)
    lines.push(`  ${terminal.style('bad', 'refused'.padEnd(10))}  ${printable(`${path}: ${why}`)}`);
  return lines.join('\n');
}
