import process from 'node:process';
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { defaultSocketPath } from '@aovpn/api';
import { connectClient, RefusedError } from './client.ts';
import { CommandError, ExitCode, type Command } from './command.ts';
import { commandHelp, globalOptions, programHelp, version } from './print/help.ts';
import { diagnosticLines } from './print/diagnostic.ts';
import { loadProgram, program, type CommandEntry } from './program.ts';
import { openTerminal, printable, type Terminal } from './terminal.ts';

/** Runs one command line (without node and script); resolves to the exit code, never rejects for a user's mistake. */
export async function main(argv: readonly string[]): Promise<number> {
  const terminal = openTerminal();
  // A reader that went away (`aovpn logs | head`) is a normal end.
  process.stdout.on('error', (error: NodeJS.ErrnoException) =>
    process.exit(error.code === 'EPIPE' ? ExitCode.done : ExitCode.failed),
  );
  try {
    return await dispatch(argv, terminal);
  } catch (error) {
    return report(error, terminal);
  }
}

async function dispatch(argv: readonly string[], terminal: Terminal): Promise<number> {
  const words = argv.filter((word) => !word.startsWith('-'));
  if (argv[0] === '--version' || argv[0] === '-V') {
    terminal.out(`aovpn ${version}`);
    return ExitCode.done;
  }
  const entry = findCommand(words);
  if (!entry) {
    const asked = words.length === 0 || words[0] === 'help';
    if (asked) {
      const topic = findCommand(words.slice(1));
      terminal.out(topic ? commandHelp(await topic.load()) : programHelp(await loadProgram()));
      return words.length === 0 && !argv.includes('--help') && !argv.includes('-h') ? ExitCode.usage : ExitCode.done;
    }
    throw new CommandError(ExitCode.usage, `there is no command "${words.slice(0, 2).join(' ')}"`, suggestion(words));
  }
  const command = await entry.load();
  const { values, positionals } = parse(command, argv);
  if (values['help'] === true) {
    terminal.out(commandHelp(command));
    return ExitCode.done;
  }
  const rest = positionals.slice(command.name.split(' ').length);
  checkPositionals(command, rest);
  const socket = values['socket'] ?? process.env['AOVPN_SOCKET'] ?? defaultSocketPath;
  return await command.run({ positionals: rest, options: values, client: connectClient(String(socket)), terminal });
}

function findCommand(words: readonly string[]): CommandEntry | undefined {
  const matching = program.filter((command) => command.name.split(' ').every((word, i) => words[i] === word));
  // The longest name: "explain certificate" is not "explain" about a host of that name.
  return matching.sort((a, b) => b.name.length - a.name.length)[0];
}

function parse(command: Command, argv: readonly string[]) {
  const options: ParseArgsOptionsConfig = {};
  for (const option of [...command.options, ...globalOptions]) {
    options[option.name] = {
      type: option.value === undefined ? 'boolean' : 'string',
      ...(option.short === undefined ? {} : { short: option.short }),
    };
  }
  try {
    const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
    return { values: values as Record<string, string | boolean | undefined>, positionals };
  } catch (error) {
    // Node goes on about arguments that begin with a dash.
    const [what] = (error as Error).message.split('. ');
    throw new CommandError(ExitCode.usage, what!, `see: aovpn ${command.name} --help`);
  }
}

function checkPositionals(command: Command, given: readonly string[]): void {
  const required = command.positionals.filter((positional) => positional.optional !== true).length;
  const most = command.positionals.some((positional) => positional.many === true)
    ? Number.POSITIVE_INFINITY
    : command.positionals.length;
  if (given.length < required) {
    throw new CommandError(
      ExitCode.usage,
      `${command.positionals[given.length]!.name} is missing`,
      `see: aovpn ${command.name} --help`,
    );
  }
  if (given.length > most)
    throw new CommandError(ExitCode.usage, `"${given[most]}" is one argument too many`, `see: aovpn ${command.name} --help`);
}

function suggestion(words: readonly string[]): string {
  const near = program.find((command) => command.name.split(' ').some((word) => word.startsWith(words[0]!.slice(0, 3))));
  return near ? `did you mean: aovpn ${near.name}? All commands: aovpn --help` : 'all commands: aovpn --help';
}

function report(error: unknown, terminal: Terminal): number {
  if (!(error instanceof CommandError)) throw error;
  if (error instanceof RefusedError && error.answer.diagnostics) {
    for (const line of diagnosticLines(error.answer.diagnostics, terminal)) terminal.err(line);
  }
  terminal.err(`${terminal.style('bad', 'aovpn:')} ${printable(error.message)}`);
  if (error.cure !== undefined && error.cure !== '')
    terminal.err(`  ${terminal.style('dim', 'what to do:')} ${printable(error.cure)}`);
  if (error.blocked !== undefined) terminal.err(`  ${terminal.style('dim', 'traffic:')} ${printable(error.blocked)}`);
  return error.exitCode;
}
