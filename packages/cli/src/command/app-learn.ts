import { proposeEntry, sampleApp, watchStarts, type AppSample } from '../app-sample.ts';
import { CommandError, ExitCode, type Command } from '../command.ts';
import { printable } from '../terminal.ts';

const longest = 3600;

export const appLearn: Command = {
  name: 'app learn',
  summary: 'propose an entry of apps.d for a program of this machine',
  description: [
    'Looks at PROGRAM, which may be a process id, a path, a name on the search path or a desktop id, and prints an entry for a file in /etc/aovpn/apps.d. Nothing is changed.',
    'With --watch it looks at what is started during that time: by the process with all its children, or without PROGRAM by anybody. Use the application meanwhile. Programs that end within a moment may be missed.',
    'Needs no daemon; as root it sees the processes of everybody.',
  ],
  positionals: [{ name: 'PROGRAM', optional: true }],
  options: [
    { name: 'watch', short: 'w', value: 'SECONDS', summary: 'look at what is started for so long' },
    { name: 'windows', value: 'PATH', summary: 'what profiles call it' },
  ],
  examples: [
    { command: "aovpn app learn firefox --windows '%ProgramFiles%\\Mozilla Firefox\\firefox.exe'", what: 'a program' },
    { command: 'aovpn app learn --watch 30', what: 'start the application within half a minute' },
  ],
  async run({ options, positionals, terminal }) {
    const [target] = positionals;
    const watch = options['watch'];
    const windows = typeof options['windows'] === 'string' ? [options['windows']] : [];
    if (target === undefined && watch === undefined)
      throw new CommandError(ExitCode.usage, 'PROGRAM or --watch is missing', 'see: aovpn app learn --help');
    const sample = target === undefined ? undefined : sampleApp(target);
    if (target !== undefined && !sample)
      throw new CommandError(ExitCode.notFound, `there is no process, program or desktop entry ${JSON.stringify(target)}`);
    let found = sample;
    if (watch !== undefined) {
      const seconds = Number(watch);
      if (!(seconds > 0 && seconds <= longest)) throw new CommandError(ExitCode.usage, `--watch takes 1 to ${longest} seconds`);
      const pid = target !== undefined && /^\d+$/.test(target) ? Number(target) : undefined;
      terminal.err(`looking for ${seconds} s at what is started; use the application now`);
      found = together(sample, await watchStarts(seconds, pid));
    }
    if (!found || found.executables.size + found.units.size + found.flatpak.size + found.snap.size === 0)
      throw new CommandError(ExitCode.failed, 'nothing was started', 'look longer, or name the program');
    terminal.out(printable(proposeEntry(found, windows)));
    return ExitCode.done;
  },
};

function together(a: AppSample | undefined, b: AppSample): AppSample {
  if (!a) return b;
  const union = (field: 'executables' | 'units' | 'desktop' | 'flatpak' | 'snap'): Set<string> =>
    new Set([...a[field], ...b[field]]);
  return {
    title: a.title || b.title,
    executables: union('executables'),
    units: union('units'),
    desktop: union('desktop'),
    flatpak: union('flatpak'),
    snap: union('snap'),
  };
}
