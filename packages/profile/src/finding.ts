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

/** Says something about a place of the profile; the message has the particulars, the title comes from the catalogue. */
export type Report = (name: FindingName, at: Position, path: string, message: string, words?: FindingWords) => void;

/** Collects what is found. */
export interface Findings {
  /** @throws {TooManyFindings} beyond the limit, so that the work for a hostile file has a bound */
  readonly report: Report;
  readonly hasErrors: () => boolean;
  /** In the order of the text; what has the same place, in the order found. */
  readonly list: () => readonly Diagnostic[];
}

/** Reading stops here; what led to it is in the findings, with an error as the last. */
export class TooManyFindings extends Error {}

export function collectFindings(limit: number): Findings {
  const found: Diagnostic[] = [];
  const add: Report = (name, at, path, message, words) => {
    const entry: CatalogueEntry = catalogue[name];
    found.push({
      code: codeOf(name),
      severity: entry.severity,
      at,
      path: visible(path),
      message: `${entry.title}: ${visible(message.length > 500 ? `${message.slice(0, 500)}…` : message)}`,
      ...(entry.windows === undefined ? {} : { windows: entry.windows }),
      here: entry.here,
      cure: entry.cure,
      ...words,
    });
  };
  return {
    report: (name, at, path, message, words) => {
      if (found.length >= limit) {
        add('tooManyFindings', at, path, `this is one more than the limit of ${limit} findings`);
        throw new TooManyFindings('too many findings');
      }
      add(name, at, path, message, words);
    },
    hasErrors: () => found.some(({ severity }) => severity === 'error'),
    list: () => found.toSorted((a, b) => a.at.line - b.at.line || a.at.column - b.at.column),
  };
}
