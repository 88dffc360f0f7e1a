import type { Prompt } from '@aovpn/api';
import { printable, type Terminal } from '../terminal.ts';

/** A question with all that a person needs to answer it. What comes from a server is marked as its words. */
export function promptLines(prompt: Prompt, terminal: Terminal): string[] {
  const { text, message, server, choices = [] } = prompt;
  const add = (label: string, value: string): string => `  ${terminal.style('dim', label.padEnd(11))} ${printable(value)}`;
  return [
    `${terminal.style('warn', '?')} ${terminal.style('strong', `${printable(text)}?`)}`,
    ...(message === undefined ? [] : [add(prompt.kind === 'pin' ? 'warning' : 'server says', message)]),
    ...(server
      ? [
          add('subject', server.subject),
          add('issuer', server.issuer),
          add('names', server.names.join(', ')),
          add('SHA-256', server.sha256.replaceAll(/(..)(?=.)/g, '$1:')),
          add('in doubt', server.why),
        ]
      : []),
    ...choices.map((choice, i) => `  ${String(i + 1).padStart(2)}. ${printable(choice.text)}`),
  ];
}
