import type { Result } from './result.ts';

/** The results as a table of plain text, each side with its spread below its row. */
export function printTable(results: readonly Result[]): string {
  const head = ['', 'what', 'ours', 'best peer', 'ratio', 'aim', 'met'];
  const lines = results.map((result) => [
    result.id,
    `${result.what} [${result.unit}]`,
    number(result.ours),
    result.peer === null ? '' : `${number(result.peer)} ${result.peerName}`,
    result.ratio === null ? '' : `${result.ratio.toFixed(2)}×`,
    result.aim,
    result.met === null ? '?' : result.met ? 'yes' : 'no',
  ]);
  const widths = head.map((_, column) => Math.max(...[head, ...lines].map((line) => line[column]!.length)));
  const print = (line: readonly string[]): string =>
    line
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd();
  return [
    print(head),
    print(widths.map((width) => '─'.repeat(width))),
    ...results.flatMap((result, index) => [print(lines[index]!), ...details(result)]),
    '',
  ].join('\n');
}

/** A figure with three digits that say something. */
export function number(value: number | null): string {
  if (value === null) return '–';
  return Math.abs(value) >= 100 || Number.isInteger(value) ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

function details(result: Result): string[] {
  if (result.failure !== undefined) return [`      failed: ${result.failure}`];
  return result.sides.map((side) =>
    side.value === null
      ? `      ${side.name}: not measured (${side.missing ?? 'no figure'})`
      : `      ${side.name}: ${number(side.value)} (${number(side.least)}…${number(side.most)})`,
  );
}
