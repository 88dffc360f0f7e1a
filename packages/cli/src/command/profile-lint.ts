import { domainToASCII } from 'node:url';
import { ExitCode, type Command } from '../command.ts';
import { readProfileFile } from '../profile-file.ts';

export const profileLint: Command = {
  name: 'profile lint',
  summary: 'check ProfileXML files as a compiler would',
  description: [
    'Prints every finding with file, line, column and a stable code, what Windows would do with it, what aovpn does, and the cure. Needs neither root nor the daemon.',
    'The exit code is 1 when there are errors (with --strict: or warnings). "-" reads standard input.',
  ],
  positionals: [{ name: 'FILE', many: true, complete: 'file' }],
  options: [
    { name: 'json', summary: 'print the findings as a JSON array' },
    { name: 'strict', summary: 'warnings fail too' },
    { name: 'quiet', short: 'q', summary: 'errors and warnings only, no remarks' },
  ],
  examples: [{ command: 'aovpn profile lint profiles/*.xml', what: 'check all before rolling out' }],
  async run({ options, positionals, terminal }) {
    // Loaded when needed: the other commands start faster without it.
    const { formatDiagnostics, parseProfile } = await import('@aovpn/profile');
    const counts = { error: 0, warning: 0, info: 0 };
    const found = [];
    for (const file of positionals) {
      const bytes = await readProfileFile(file);
      const { diagnostics: all, text } = parseProfile(bytes, { toAscii: domainToASCII });
      const diagnostics = options['quiet'] === true ? all.filter((one) => one.severity !== 'info') : all;
      for (const one of diagnostics) counts[one.severity]++;
      if (options['json'] === true) {
        found.push(...diagnostics.map(({ at, ...rest }) => ({ file, line: at.line, column: at.column, ...rest })));
      } else if (diagnostics.length > 0) {
        terminal.out(formatDiagnostics(file, text, diagnostics, { colour: terminal.colour }).trimEnd());
      }
    }
    if (options['json'] === true) terminal.out(JSON.stringify(found, null, 2));
    else {
      const files = positionals.length === 1 ? '1 file' : `${positionals.length} files`;
      const sum = `${files}: ${counts.error} errors, ${counts.warning} warnings${options['quiet'] === true ? '' : `, ${counts.info} remarks`}`;
      terminal.out(terminal.style(counts.error > 0 ? 'bad' : counts.warning > 0 ? 'warn' : 'good', sum));
    }
    return counts.error > 0 || (options['strict'] === true && counts.warning > 0) ? ExitCode.failed : ExitCode.done;
  },
};
