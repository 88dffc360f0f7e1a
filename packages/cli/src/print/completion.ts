import type { Command, PositionalSpec } from '../command.ts';
import { globalOptions } from './help.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** A completion script for one shell, made from the same values as `--help`. Names are asked of the daemon. */
export const completionScript: Record<Shell, (commands: readonly Command[]) => string> = { bash, zsh, fish };

/** What lists the names that may stand there. */
const lists = {
  connection: 'aovpn profile list --names 2>/dev/null',
  enrolment: 'aovpn certificate list --names 2>/dev/null',
} as const;

function bash(commands: readonly Command[]): string {
  return [
    '# bash completion for aovpn',
    '_aovpn() {',
    '  local cur="${COMP_WORDS[COMP_CWORD]}" line="${COMP_WORDS[*]:1:COMP_CWORD-1}"',
    '  COMPREPLY=()',
    '  case "$line" in',
    // "explain certificate" before "explain": the first pattern that matches is taken.
    ...[...commands]
      .sort((a, b) => b.name.length - a.name.length)
      .map((command) => {
        const words = [...optionWords(command), ...secondWords(commands, command.name)].join(' ');
        const positional = command.positionals[0];
        const extra = positional ? bashPositional(positional) : '';
        return `    "${command.name}"*) COMPREPLY=($(compgen -W "${words}${extra}" -- "$cur"))${completesFile(positional) ? '; COMPREPLY+=($(compgen -f -- "$cur"))' : ''} ;;`;
      }),
    ...groups(commands)
      .filter((group) => !commands.some(({ name }) => name === group))
      .map((group) => `    "${group}") COMPREPLY=($(compgen -W "${secondWords(commands, group).join(' ')}" -- "$cur")) ;;`),
    `    *) COMPREPLY=($(compgen -W "${firstWords(commands).join(' ')} --help --version" -- "$cur")) ;;`,
    '  esac',
    '}',
    'complete -F _aovpn aovpn',
    '',
  ].join('\n');
}

function zsh(commands: readonly Command[]): string {
  return [
    '#compdef aovpn',
    '# zsh completion for aovpn, through its bash completion',
    'autoload -U +X bashcompinit && bashcompinit',
    bash(commands),
  ].join('\n');
}

function fish(commands: readonly Command[]): string {
  const lines = ['# fish completion for aovpn', 'complete -c aovpn -f'];
  for (const word of firstWords(commands)) {
    const command = commands.find((one) => one.name === word);
    lines.push(`complete -c aovpn -n __fish_use_subcommand -a ${word} -d ${quote(command?.summary ?? `${word} commands`)}`);
  }
  for (const command of commands) {
    const [first, second] = command.name.split(' ');
    if (second !== undefined)
      lines.push(`complete -c aovpn -n '__fish_seen_subcommand_from ${first}' -a ${second} -d ${quote(command.summary)}`);
    const seen = second ?? first;
    for (const option of command.options) {
      const short = option.short === undefined ? '' : ` -s ${option.short}`;
      const value = option.value === undefined ? '' : option.complete === 'file' ? ' -r -F' : ' -r';
      lines.push(
        `complete -c aovpn -n '__fish_seen_subcommand_from ${seen}' -l ${option.name}${short}${value} -d ${quote(option.summary)}`,
      );
    }
    const positional = command.positionals[0];
    if (positional?.complete === 'connection' || positional?.complete === 'enrolment')
      lines.push(`complete -c aovpn -n '__fish_seen_subcommand_from ${seen}' -a '(${lists[positional.complete]})'`);
    if (positional?.complete === 'shell')
      lines.push(`complete -c aovpn -n '__fish_seen_subcommand_from ${seen}' -a '${shells.join(' ')}'`);
    if (completesFile(positional)) lines.push(`complete -c aovpn -n '__fish_seen_subcommand_from ${seen}' -F`);
  }
  return `${lines.join('\n')}\n`;
}

function bashPositional(positional: PositionalSpec): string {
  const { complete } = positional;
  if (complete === 'connection' || complete === 'enrolment') return ` $(${lists[complete]})`;
  return complete === 'shell' ? ` ${shells.join(' ')}` : '';
}

function completesFile(positional: PositionalSpec | undefined): boolean {
  return positional?.complete === 'file';
}

function optionWords(command: Command): string[] {
  return [...command.options, ...globalOptions].map((option) => `--${option.name}`);
}

function firstWords(commands: readonly Command[]): string[] {
  return [...new Set(commands.map((command) => command.name.split(' ')[0]!))];
}

function groups(commands: readonly Command[]): string[] {
  return [...new Set(commands.filter((command) => command.name.includes(' ')).map((command) => command.name.split(' ')[0]!))];
}

function secondWords(commands: readonly Command[], group: string): string[] {
  return commands.filter((command) => command.name.startsWith(`${group} `)).map((command) => command.name.split(' ')[1]!);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`\'`)}'`;
}
