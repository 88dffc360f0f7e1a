import { CommandError, ExitCode, type Command } from '../command.ts';
import { completionScript, shells, type Shell } from '../print/completion.ts';
import { loadProgram } from '../program.ts';

export const completion: Command = {
  name: 'completion',
  summary: 'print a completion script for bash, zsh or fish',
  description: ['Prints a script that completes commands, options and connection names.'],
  positionals: [{ name: 'SHELL', complete: 'shell' }],
  options: [],
  examples: [
    { command: 'aovpn completion bash > /etc/bash_completion.d/aovpn', what: 'for every user of bash' },
    { command: 'aovpn completion fish > ~/.config/fish/completions/aovpn.fish', what: 'for fish' },
  ],
  async run({ positionals, terminal }) {
    const shell = shells.find((one): one is Shell => one === positionals[0]);
    if (!shell)
      throw new CommandError(ExitCode.usage, `there is no completion for "${positionals[0]}"`, `one of: ${shells.join(', ')}`);
    terminal.out(completionScript[shell](await loadProgram()).trimEnd());
    return ExitCode.done;
  },
};
