import { ExitCode, type Command } from '../command.ts';
import { manPage } from '../print/man.ts';
import { loadProgram } from '../program.ts';

export const man: Command = {
  name: 'man',
  summary: 'print the manual page',
  description: ['Prints aovpn(1) as roff, made from the same source as --help.'],
  positionals: [],
  options: [],
  examples: [{ command: 'aovpn man | man -l -', what: 'read it' }],
  async run({ terminal }) {
    terminal.out(manPage(await loadProgram()).trimEnd());
    return ExitCode.done;
  },
};
