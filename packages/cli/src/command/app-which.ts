import { CommandError, ExitCode, type Command } from '../command.ts';
import { printable } from '../terminal.ts';
import { stepLines } from './explain.ts';

export const appWhich: Command = {
  name: 'app which',
  summary: 'say which app a process is, and why',
  description: ['The exit code is 0 when the process is an app, and 1 when it is none.'],
  positionals: [{ name: 'PID' }],
  options: [{ name: 'json', summary: 'print it as JSON' }],
  examples: [{ command: 'aovpn app which $(pidof firefox | cut -d" " -f1)', what: 'a running program' }],
  async run({ client, options, positionals, terminal }) {
    const pid = positionals[0]!;
    if (!/^[1-9]\d{0,8}$/.test(pid)) throw new CommandError(ExitCode.usage, `${JSON.stringify(pid)} is no process id`);
    const answer = await client.call('GET /v1/apps/which', { query: { pid } });
    if (options['json'] === true) terminal.out(JSON.stringify(answer, null, 2));
    else {
      const verdict = answer.app === undefined ? `process ${pid} is no app` : `process ${pid} is ${answer.app}`;
      terminal.out([terminal.style('strong', printable(verdict)), ...stepLines(answer.steps, terminal)].join('\n'));
    }
    return answer.app === undefined ? ExitCode.failed : ExitCode.done;
  },
};
