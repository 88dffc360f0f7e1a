import { catalogue, codeOf, type FindingName } from './diagnostic-catalogue.ts';
import type { CatalogueEntry } from './catalogue/entry.ts';
import type { Diagnostic } from './diagnostic.ts';
import type { Position } from './profile.ts';
import { visible } from './quote.ts';

/** Words that replace those of the catalogue for one occurrence. */
export interface FindingWords {
  readonly windows?: string;
  readonly here?: string;
  readonly cure?: string;
}

/** Says something about a place of the profile. */
export type Report = (name: FindingName, at: Position, path: string, message: string, words?: FindingWords) => void;

/** Collects what is found. */
export interface Findings {
  readonly report: Report;
  readonly hasErrors: () => boolean;
  /** In the order of the text. */
  readonly list: () => readonly Diagnostic[];
}

export function collectFindings(limit: number): Findings {
  const found: Diagnostic[] = [];
  let errors = 0;
  let unlisted = 0;
  return {
    report: (name, at, path, message, words) => {
      const entry: CatalogueEntry = catalogue[name];
      if (entry.severity === 'error') errors++;
      if (found.length >= limit) {
        unlisted++;
        return;
      }
      found.push({
        code: codeOf(name),
        severity: entry.severity,
        at,
        path: visible(path),
        message: visible(message.length > 500 ? `${message.slice(0, 500)}…` : message),
        ...(entry.windows === undefined ? {} : { windows: entry.windows }),
        here: entry.here,
        cure: entry.cure,
        ...words,
      });
    },
    hasErrors: () => errors > 0,
    list: () => {
      const sorted = found.toSorted((a, b) => a.at.line - b.at.line || a.at.column - b.at.column);
      if (unlisted === 0) return sorted;
      const { severity, here, cure } = catalogue.moreFindings;
      const last = sorted.at(-1);
      const message = `${unlisted} further findings are not listed; ${errors} of all are errors`;
      const at = last?.at ?? { line: 1, column: 1 };
      return [...sorted, { code: codeOf('moreFindings'), severity, at, path: last?.path ?? '', message, here, cure }];
    },
  };
}
