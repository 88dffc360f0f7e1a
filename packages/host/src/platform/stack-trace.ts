import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { fileURLToPath } from 'node:url';

/**
 * The stack trace of a fault, with files and lines of the sources also where the program was bundled: from the source map that then lies beside each file.
 * Node's own way (`--enable-source-maps`) holds all maps in memory from the start, and `Error.prepareStackTrace` would read them whenever anything
 * looks at a trace, as Node itself does for a broken pipe. This is for faults of ours, which are rare.
 */
export function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const maps = new Map<string, SourceMap>();
  return (error.stack ?? error.message).replaceAll(
    /(file:\/\/\/[^\s()]+\.m?js):(\d+):(\d+)/g,
    (place, url: string, line: string, column: string) => {
      try {
        const map = maps.get(url) ?? new SourceMap(JSON.parse(readFileSync(fileURLToPath(`${url}.map`), 'utf8')));
        maps.set(url, map);
        const entry = map.findEntry(Number(line) - 1, Number(column) - 1);
        if (!('originalSource' in entry)) return place;
        return `${entry.originalSource}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
      } catch {
        // There is no map: it is the source itself, or a place that says less than it could.
        return place;
      }
    },
  );
}
