/** One fault of the file, with its place; both numbers start at 1. */
export interface SettingsFault {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

export function formatFaults(file: string, faults: readonly SettingsFault[]): string {
  return faults.map(({ line, column, message }) => `${file}:${line}:${column}: ${message}`).join('\n');
}

/** Where a key of a table stands. The parser knows the places of what it cannot parse only, so this looks for the line. */
export function placeOf(
  source: string,
  table: readonly string[],
  key: string | undefined,
): Pick<SettingsFault, 'line' | 'column'> {
  const lines = source.split('\n');
  const unquote = (word: string): string => word.trim().replaceAll(/^["']|["']$/g, '');
  const header = (line: string): string[] | undefined => {
    const inner = /^\s*\[([^[\]]+)\]/.exec(line)?.[1];
    return inner?.match(/"[^"]*"|'[^']*'|[^.\s]+/g)?.map(unquote);
  };
  const same = (a: readonly string[], b: readonly string[]): boolean =>
    a.length === b.length && a.every((word, i) => word === b[i]);
  let current: readonly string[] = [];
  let tableLine = 1;
  for (const [i, line] of lines.entries()) {
    const opened = header(line);
    if (opened) {
      current = opened;
      if (same(current.slice(0, table.length), table)) {
        if (key === undefined) return { line: i + 1, column: line.indexOf('[') + 1 };
        if (same(current, table)) tableLine = i + 1;
      }
      continue;
    }
    const word = /^\s*("[^"]*"|'[^']*'|[^\s=."']+)/.exec(line);
    if (!word || word[0].trim().startsWith('#')) continue;
    const name = unquote(word[1]!);
    const wanted = key ?? table[0];
    const where = key === undefined ? [] : table;
    if (name === wanted && same(current, where)) return { line: i + 1, column: line.indexOf(word[1]!) + 1 };
  }
  return { line: tableLine, column: 1 };
}
