import type { LeakedFlow, LeakReport } from '@aovpn/api';
import { printable, type Terminal } from '../terminal.ts';

const promises: Record<LeakReport['promise'], string> = {
  lockdown: 'LockDown: nothing but the tunnel, at any time',
  force: 'force tunnel: nothing but the tunnel while it is up or recovering',
  split: 'split tunnel: nothing to its routes and names while it is up or recovering',
};

const protocols: Readonly<Record<number, string>> = { [-1]: 'unreadable', 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6' };

/** The report for people: verdict first, then what it rests on. */
export function leakReportText(report: LeakReport, terminal: Terminal): string {
  const seconds = Math.round((Date.parse(report.endedAt) - Date.parse(report.startedAt)) / 1000);
  const sorts = Object.entries(report.sorts)
    .filter(([, count]) => count > 0)
    .map(([sort, count]) => `${sort} ${count}`)
    .join(', ');
  const refused = Object.values(report.canaries.refused).reduce((sum, count) => sum + count, 0);
  return [
    verdict(report, terminal),
    ...report.problems.map((problem) => `  ${terminal.style('warn', '!')} ${printable(problem)}`),
    '',
    `  promise    ${promises[report.promise]} (${Math.round(report.promisedMs / 1000)} of ${seconds} s)`,
    `  watched    ${report.watched} packets on ${printable(report.links.join(', ') || 'no link')}${sorts ? `: ${sorts}` : ''}`,
    `  tried      ${report.canaries.tried} packets past the tunnel, ${report.canaries.underPromise} of them under the promise; the kernel refused ${refused} at once`,
    `  controls   ${report.controls.seen} of ${report.controls.sent} packets that were let out on purpose were seen`,
    '',
    ...report.steps.map(({ name, watched, leaks, outcome }) => {
      const mark = leaks > 0 ? terminal.style('bad', '✗') : terminal.style('good', '✓');
      const leaked = leaks > 0 ? `, ${leaks} leaked` : '';
      return `  ${mark} ${printable(name).padEnd(12)} ${watched} packets${leaked}${outcome === undefined ? '' : ` (${printable(outcome)})`}`;
    }),
    ...(report.leaks.length > 0 ? ['', ...report.leaks.slice(0, 40).flatMap(leakLines)] : []),
  ].join('\n');
}

function verdict(report: LeakReport, terminal: Terminal): string {
  const name = printable(report.profile);
  switch (report.result) {
    case 'passed':
      return `${terminal.style('good', '✓')} ${name}: nothing leaked`;
    case 'leaked':
      return `${terminal.style('bad', '✗')} ${name}: ${report.leaked} packets leaked`;
    case 'blind':
      return `${terminal.style('warn', '?')} ${name}: nothing was seen, and that proves nothing`;
  }
}

function leakLines(leak: LeakedFlow): string[] {
  const end = (address: string, port: number | undefined): string => {
    const text = address.includes(':') && port !== undefined ? `[${address}]` : address;
    return port === undefined ? text : `${text}:${port}`;
  };
  const protocol = protocols[leak.protocol] ?? `protocol ${leak.protocol}`;
  const flow = `${end(leak.source, leak.sourcePort)} > ${end(leak.destination, leak.destinationPort)}`;
  return [
    `  ${leak.at}  ${printable(leak.device)}  ${protocol}  ${flow}  ${leak.count}×${leak.canary ? '' : '  not by this test'}`,
    `    during "${printable(leak.step)}": ${leak.why}`,
  ];
}
