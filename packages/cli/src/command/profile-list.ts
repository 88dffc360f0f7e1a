import { ExitCode, type Command } from '../command.ts';
import { printable } from '../terminal.ts';

export const profileList: Command = {
  name: 'profile list',
  summary: 'list the profiles and whether each is in force',
  description: [
    'Lists every profile file that the daemon knows. "kept" means that the file has errors and the last good version runs on.',
  ],
  positionals: [],
  options: [
    { name: 'json', summary: 'print the list as JSON' },
    { name: 'names', summary: 'print the names only, one a line' },
  ],
  examples: [],
  async run({ client, options, terminal }) {
    const profiles = await client.call('GET /v1/profiles');
    if (options['json'] === true) terminal.out(JSON.stringify(profiles, null, 2));
    else if (options['names'] === true) for (const profile of profiles) terminal.out(printable(profile.name));
    else if (profiles.length === 0) terminal.out('no profiles; add one: aovpn profile add FILE');
    else {
      const width = Math.max(...profiles.map((profile) => profile.name.length));
      for (const profile of profiles) {
        const errors = profile.diagnostics.filter((found) => found.severity === 'error').length;
        const warnings = profile.diagnostics.filter((found) => found.severity === 'warning').length;
        const findings = [errors > 0 && `${errors} errors`, warnings > 0 && `${warnings} warnings`]
          .filter((text) => text !== false)
          .join(', ');
        const state = terminal.style(profile.state === 'in-force' ? 'good' : 'bad', profile.state.padEnd(8));
        terminal.out(
          `${printable(profile.name).padEnd(width)}  ${state}  ${profile.tunnel.padEnd(6)}  ${profile.alwaysOn ? 'always on' : 'on demand'}  ${printable(profile.file)}${findings === '' ? '' : `  (${findings})`}`,
        );
      }
    }
    return ExitCode.done;
  },
};
