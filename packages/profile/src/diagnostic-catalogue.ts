import { eapFindings } from './catalogue/eap.ts';
import type { CatalogueEntry } from './catalogue/entry.ts';
import { structureFindings } from './catalogue/structure.ts';
import { textFindings } from './catalogue/text.ts';
import { trafficFindings } from './catalogue/traffic.ts';
import { tunnelFindings } from './catalogue/tunnel.ts';
import { valueFindings } from './catalogue/value.ts';
import type { Severity } from './diagnostic.ts';

/** Everything that can be said about a profile, by a name that is only used in this room. */
export const catalogue = {
  ...textFindings,
  ...structureFindings,
  ...valueFindings,
  ...tunnelFindings,
  ...trafficFindings,
  ...eapFindings,
};

export type FindingName = keyof typeof catalogue;

/** One kind of diagnostic, as docs/errors.md lists it. */
export interface DiagnosticKind {
  readonly code: string;
  readonly severity: Severity;
  readonly title: string;
  readonly windows?: string;
  readonly here: string;
  readonly cure: string;
}

/** The stable code of a finding: `AOV-PROFILE-007`. */
export function codeOf(name: FindingName): string {
  return `AOV-PROFILE-${String(catalogue[name].number).padStart(3, '0')}`;
}

/** All kinds of diagnostics of profiles, in the order of their codes. */
export const profileDiagnostics: readonly DiagnosticKind[] = (Object.keys(catalogue) as FindingName[])
  .map((name) => {
    const { severity, title, windows, here, cure }: CatalogueEntry = catalogue[name];
    return { code: codeOf(name), severity, title, ...(windows === undefined ? {} : { windows }), here, cure };
  })
  .sort((a, b) => (a.code < b.code ? -1 : 1));
