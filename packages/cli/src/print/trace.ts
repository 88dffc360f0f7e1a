import type { TraceMessage, TracePart } from '@aovpn/api';
import { printable, type Style, type Terminal } from '../terminal.ts';

const outcomeStyle: { readonly [O in TraceMessage['outcome']]: Style } = {
  sent: 'plain',
  again: 'warn',
  believed: 'good',
  unproven: 'warn',
  fragment: 'dim',
  refused: 'bad',
  repeated: 'warn',
  dropped: 'bad',
};

const outcomeText: { readonly [O in TraceMessage['outcome']]: string } = {
  sent: 'sent',
  again: 'sent again',
  believed: 'believed',
  unproven: 'not proven by anything yet',
  fragment: 'a fragment, others are missing',
  refused: 'authentic and refused',
  repeated: 'a repetition, answered as before',
  dropped: 'dropped',
};

/** One message in several lines: what it is, between whom, what was made of it; then its payloads as a tree. With `brief` the first line only. */
export function printTraceMessage(message: TraceMessage, terminal: Terminal, brief: boolean): string {
  const { at, direction, outcome, why, octets, payloads } = message;
  const arrow = direction === 'out' ? '-->' : '<--';
  const size = octets.length > 1 ? `${octets.join('+')} octets in ${octets.length} fragments` : `${octets[0] ?? 0} octets`;
  const verdict = [
    outcomeText[outcome],
    ...(why === undefined ? [] : [why]),
    ...(message.attempt === undefined ? [] : [`retransmission ${message.attempt}`]),
    ...(message.tookMs === undefined ? [] : [`after ${milliseconds(message.tookMs)}`]),
    ...(message.times === undefined ? [] : [`${message.times} times`]),
  ].join(', ');
  const head = [
    terminal.style('dim', at.slice(11, 23)),
    `[${printable(message.connection)}]`,
    arrow,
    terminal.style('strong', nameOf(message)),
    size,
    terminal.style(outcomeStyle[outcome], printable(verdict)),
  ].join(' ');
  if (brief) return `${head}${payloads.length > 0 ? `: ${printable(payloads.map(({ name }) => name).join(' '))}` : ''}`;
  const between = direction === 'out' ? [message.local, message.remote] : [message.remote, message.local];
  const place = message.local === undefined ? '' : `${between[0]} > ${between[1]}  `;
  const spis = message.spiI === undefined ? '' : `SPIs ${message.spiI} ${message.spiR}`;
  return [head, ...(place + spis === '' ? [] : [terminal.style('dim', `    ${place}${spis}`)]), ...tree(payloads, 4)].join('\n');
}

/** `IKE_AUTH request 1 (I)`: I stands for a message of the original initiator of the IKE SA. */
function nameOf({ exchange, response, messageId, fromInitiator }: TraceMessage): string {
  if (exchange === undefined) return 'no IKEv2 message';
  return `${exchange} ${response === true ? 'response' : 'request'} ${messageId}${fromInitiator === true ? ' (I)' : ''}`;
}

function tree(parts: readonly TracePart[], indent: number): string[] {
  return parts.flatMap(({ name, detail, parts: inner }) => [
    `${' '.repeat(indent)}${printable(name)}${detail === undefined ? '' : ` ${printable(detail)}`}`,
    ...tree(inner ?? [], indent + 4),
  ]);
}

function milliseconds(value: number): string {
  return value < 1000 ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}
