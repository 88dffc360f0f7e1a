import type { Command, OptionSpec } from '../command.ts';

export const version = '0.1.0';

/** Options that every command has. */
export const globalOptions: readonly OptionSpec[] = [
  { name: 'socket', value: 'PATH', summary: 'talk to the daemon on this socket (or set AOVPN_SOCKET)', complete: 'file' },
  { name: 'help', short: 'h', summary: 'explain the command and do nothing' },
];

/** `aovpn status [NAME]` */
export function synopsis(command: Command): string {
  const positionals = command.positionals.map((positional) => {
    const word = positional.many === true ? `${positional.name}…` : positional.name;
    return positional.optional === true ? `[${word}]` : word;
  });
  return ['aovpn', command.name, ...positionals, ...(command.options.length > 0 ? ['[options]'] : [])].join(' ');
}

export function optionTerm(option: OptionSpec): string {
  const short = option.short === undefined ? '' : `-${option.short}, `;
  return `${short}--${option.name}${option.value === undefined ? '' : ` ${option.value}`}`;
}

export function programHelp(commands: readonly Command[]): string {
  return [
    'aovpn: Always On VPN for Linux. Hand it the ProfileXML of a Windows Always On VPN deployment.',
    '',
    'usage: aovpn COMMAND [arguments] [options]',
    '',
    ...columns(commands.map((command) => [command.name, command.summary])),
    '',
    'aovpn COMMAND --help explains one command; aovpn man prints the manual page.',
  ].join('\n');
}

export function commandHelp(command: Command): string {
  return [
    `usage: ${synopsis(command)}`,
    '',
    ...command.description.flatMap((paragraph) => [...wrap(paragraph, 96), '']),
    'options:',
    ...columns([...command.options, ...globalOptions].map((option) => [optionTerm(option), option.summary])),
    ...(command.examples.length > 0
      ? ['', 'examples:', ...columns(command.examples.map((example) => [example.command, example.what]))]
      : []),
  ].join('\n');
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows.map(([left, right]) => `  ${left.padEnd(width)}${right}`);
}

/** Breaks a paragraph at spaces. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
