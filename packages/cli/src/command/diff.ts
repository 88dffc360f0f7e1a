import path from 'node:path';
import { CommandError, ExitCode, type Command } from '../command.ts';
import { readProfileFile } from '../profile-file.ts';
import { printable } from '../terminal.ts';
import { assumptionLines } from './plan.ts';

export const diff: Command = {
  name: 'diff',
  summary: 'print what would change on this machine if a profile were put into force now',
  description: [
    'Compares the plan in force with what it would be with FILE, + added, ~ replaced, - removed; nothing is changed. With the facts of its tunnel if that is up, and with assumed ones otherwise.',
    'Needs root, as profile add does.',
  ],
  positionals: [{ name: 'FILE', complete: 'file' }],
  options: [
    { name: 'name', value: 'NAME', summary: 'the profile that it would replace; the name of the file without it' },
    { name: 'json', summary: 'print the changes as JSON' },
  ],
  examples: [{ command: 'aovpn diff corp-new.xml --name corp', what: 'look before: aovpn profile add corp-new.xml --name corp' }],
  async run({ client, options, positionals, terminal }) {
    const file = positionals[0]!;
    const name = typeof options['name'] === 'string' ? options['name'] : path.basename(file).replace(/\.xml$/i, '');
    if (file === '-' && typeof options['name'] !== 'string')
      throw new CommandError(ExitCode.usage, '--name is missing', 'standard input has no name');
    const xmlBase64 = Buffer.from(await readProfileFile(file)).toString('base64');
    const answer = await client.call('POST /v1/diff', { body: { name, xmlBase64 } });
    if (options['json'] === true) terminal.out(JSON.stringify(answer, null, 2));
    else {
      const lines = answer.text === '' ? ['no difference'] : answer.text.trimEnd().split('\n').map(printable);
      const signed = lines.map((line) =>
        terminal.style(line.startsWith('+') ? 'good' : line.startsWith('-') ? 'bad' : 'plain', line),
      );
      terminal.out([...assumptionLines(answer.assumptions, terminal), ...signed].join('\n'));
      for (const { text } of answer.problems) terminal.out(terminal.style('warn', printable(text)));
    }
    return ExitCode.done;
  },
};
