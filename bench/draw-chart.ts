import type { Result } from './result.ts';
import { number } from './print-table.ts';

const width = 760;
const bar = { left: 250, height: 16, gap: 5, most: 400 };
/** Above this many results a picture says nothing. */
const shown = 8;

/** The results that have somebody to compare with, as bars; each group has its own scale. Readable on light and dark ground. */
export function drawChart(results: readonly Result[], machine: string): string {
  const groups = results.filter((result) => result.peer !== null && !result.id.endsWith('-p95')).slice(0, shown);
  const parts: string[] = [];
  let y = 24;
  for (const group of groups) {
    const sides = group.sides.filter((side) => side.value !== null && side.kind !== 'reference');
    const most = Math.max(...sides.map((side) => side.value!), Number.MIN_VALUE);
    parts.push(
      `<text x="12" y="${y}" class="title">${escape(`${group.id}: ${group.what} (${group.unit}; aim ${group.aim})`)}</text>`,
    );
    y += 10;
    for (const side of sides) {
      const length = Math.max(1, (side.value! / most) * bar.most);
      parts.push(
        `<text x="${bar.left - 8}" y="${y + 12}" text-anchor="end">${escape(side.name)}</text>`,
        `<rect x="${bar.left}" y="${y}" width="${length.toFixed(1)}" height="${bar.height}" class="${side.kind}"/>`,
        `<text x="${bar.left + length + 6}" y="${y + 12}">${number(side.value)}</text>`,
      );
      y += bar.height + bar.gap;
    }
    y += 24;
  }
  for (const line of machine.split('\n')) {
    parts.push(`<text x="12" y="${y}" class="small">${escape(line)}</text>`);
    y += 16;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" viewBox="0 0 ${width} ${y}" role="img">`,
    '<style>',
    '  text { font: 12px sans-serif; fill: #1f2328 } .title { font-weight: bold } .small { font-size: 11px }',
    '  .ours { fill: #1a7f64 } .peer { fill: #8b949e }',
    '  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .ours { fill: #3fb950 } .peer { fill: #6e7681 } }',
    '</style>',
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
