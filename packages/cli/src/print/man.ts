import { ExitCode, type Command } from '../command.ts';
import { globalOptions, optionTerm, synopsis, version } from './help.ts';

const exitMeanings: Record<keyof typeof ExitCode, string> = {
  done: 'Done. For status NAME: that connection is up.',
  failed: 'It was tried and failed; profile lint found errors; a check of doctor failed; status NAME: not up.',
  usage: 'The command line makes no sense.',
  noDaemon: 'The daemon does not answer.',
  notPermitted: 'The daemon refuses: not root, not in the group.',
  notFound: 'There is no profile or connection of that name.',
  blind: 'leaktest could not see, or there was nothing to see',
};

/** The manual page aovpn(1) as roff, made from the same values as `--help`. */
export function manPage(commands: readonly Command[]): string {
  return [
    `.TH AOVPN 1 "" "aovpn ${version}" "User Commands"`,
    '.SH NAME',
    'aovpn \\- Always On VPN for Linux',
    '.SH SYNOPSIS',
    '.B aovpn',
    '.I COMMAND',
    '[arguments] [options]',
    '.SH DESCRIPTION',
    roff('aovpn reads the ProfileXML of a Windows Always On VPN deployment and keeps this machine connected the way it says.'),
    roff('The daemon aovpnd does the work; this command shows what it does and tells it what to do.'),
    '.SH COMMANDS',
    ...commands.flatMap(commandSection),
    '.SH OPTIONS OF EVERY COMMAND',
    ...globalOptions.flatMap((option) => ['.TP', bold(optionTerm(option)), roff(option.summary)]),
    '.SH EXIT STATUS',
    ...Object.entries(ExitCode).flatMap(([name, code]) => [
      '.TP',
      bold(String(code)),
      roff(exitMeanings[name as keyof typeof ExitCode]),
    ]),
    '.SH FILES',
    ...files.flatMap(([file, what]) => ['.TP', `.I ${roff(file)}`, roff(what)]),
    '.SH SEE ALSO',
    'aovpnd(8), swanctl(8), ip(8), resolvectl(1)',
    '',
  ].join('\n');
}

const files: readonly (readonly [string, string])[] = [
  ['/etc/aovpn/profiles.d/NAME.xml', 'Profiles; picked up, replaced and removed without restart.'],
  ['/etc/aovpn/profiles.d/NAME.{pem,key,p12,secret,ca.pem}', 'Credentials of that profile; readable by root only.'],
  ['/etc/aovpn/aovpn.toml', 'Settings that ProfileXML has no word for.'],
  ['/run/aovpn/control.sock', 'Where the daemon listens.'],
];

function commandSection(command: Command): string[] {
  return [
    `.SS ${roff(synopsis(command))}`,
    ...command.description.flatMap((paragraph) => [roff(paragraph), '.PP']),
    ...command.options.flatMap((option) => ['.TP', bold(optionTerm(option)), roff(option.summary)]),
    ...command.examples.flatMap((example) => ['.PP', `${roff(example.what)}:`, '.br', bold(example.command)]),
  ];
}

function bold(text: string): string {
  return `\\fB${roff(text)}\\fR`;
}

function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('…', '...')
    .replace(/^([.'])/, '\\&$1');
}
