/** Columns that a text takes on a terminal: marks take none, ideographs and pictures two. */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

/** Exactly so many columns: filled with blanks, or cut with an ellipsis. */
export function fit(text: string, columns: number): string {
  const cut = clip(text, columns);
  return cut + ' '.repeat(Math.max(0, columns - textWidth(cut)));
}

/** At most so many columns. */
export function clip(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text;
  let cut = '';
  let width = 0;
  for (const character of text) {
    const more = characterWidth(character);
    if (width + more > columns - 1) break;
    cut += character;
    width += more;
  }
  return columns > 0 ? `${cut}…` : '';
}

/** Lines of at most so many columns, broken at blanks where there are any. */
export function wrapText(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (let word of text.split(/\s+/).filter((one) => one !== '')) {
    while (textWidth(word) > columns) {
      if (line !== '') lines.push(line);
      line = '';
      const head = Array.from(word)
        .slice(0, Math.max(1, Math.floor(columns / 2)))
        .join('');
      lines.push(head);
      word = word.slice(head.length);
    }
    if (line === '') line = word;
    else if (textWidth(line) + 1 + textWidth(word) <= columns) line += ` ${word}`;
    else {
      lines.push(line);
      line = word;
    }
  }
  return line === '' ? lines : [...lines, line];
}

function characterWidth(character: string): number {
  if (/[\p{Mn}\p{Me}\p{Cf}]/u.test(character)) return 0;
  const point = character.codePointAt(0)!;
  return wide.some(([from, to]) => point >= from && point <= to) ? 2 : 1;
}

/** Unicode's EastAsianWidth: the wide and full-width blocks. */
const wide: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0xa4cf],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1f64f],
  [0x1f900, 0x1f9ff],
  [0x20000, 0x3fffd],
];
