import type { EnrolmentStatus } from '@aovpn/api';
import { printable, type Style, type Terminal } from '../terminal.ts';
import { clock, duration } from './moment.ts';

const styles: Readonly<Record<EnrolmentStatus['state'], Style>> = {
  valid: 'good',
  none: 'warn',
  pending: 'warn',
  expired: 'bad',
};

/** One block for each certificate that is enrolled. `now`: milliseconds since the epoch. */
export function enrolmentText(enrolment: EnrolmentStatus, terminal: Terminal, now: number): string {
  const { name, state, certificate, protocol, url, problem, connections } = enrolment;
  const rows: (readonly [string, string])[] = [];
  if (certificate) {
    rows.push(['subject', certificate.subject === '' ? 'none' : certificate.subject], ['issuer', certificate.issuer]);
    rows.push(['valid', `until ${clock(Date.parse(certificate.notAfter), now)}, ${timeLeft(enrolment, now)}`]);
  }
  rows.push(['server', `${url} (${protocol.toUpperCase()})`]);
  if (connections.length > 0) rows.push(['used by', connections.join(', ')]);
  rows.push(['next', `${nextText(enrolment, now)}; ${enrolment.why}`]);
  if (problem)
    rows.push(['problem', `${problem.message} [${problem.code}]`], ['side', problem.side], ['what to do', problem.cure]);
  const style = styles[state];
  const heading = `${terminal.style(style, '●')} ${terminal.style('strong', printable(name))}  ${terminal.style(style, state)}  ${terminal.style('dim', 'certificate')}`;
  return [heading, ...rows.map(([label, value]) => `  ${terminal.style('dim', label.padEnd(11))} ${printable(value)}`)].join(
    '\n',
  );
}

/** A line for the status: how long it is good for, and what is wrong. */
export function enrolmentLine(enrolment: EnrolmentStatus, now: number): string {
  const { name, state, problem } = enrolment;
  const what = state === 'valid' ? timeLeft(enrolment, now) : state === 'none' ? 'not enrolled yet' : state;
  const trouble = problem ? `; ${problem.message} [${problem.code}]; see: aovpn certificate list` : '';
  return printable(`certificate ${name}: ${what}, ${nextText(enrolment, now)}${trouble}`);
}

function timeLeft({ certificate }: EnrolmentStatus, now: number): string {
  const left = Date.parse(certificate!.notAfter) - now;
  return left > 0 ? `${duration(left)} left` : `expired ${duration(-left)} ago`;
}

function nextText({ next }: EnrolmentStatus, now: number): string {
  if (!next) return 'nothing is done by itself';
  const verb = next.what === 'renew' ? 'renewed' : 'asked for';
  const at = Date.parse(next.at);
  return at <= now ? `${verb} now` : `${verb} at ${clock(at, now)}`;
}
