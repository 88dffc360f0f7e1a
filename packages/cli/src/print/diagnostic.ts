import type { DiagnosticLine } from '@aovpn/api';
import { printable, type Style, type Terminal } from '../terminal.ts';

const styles: Record<DiagnosticLine['severity'], Style> = { error: 'bad', warning: 'warn', info: 'dim' };

/** Findings of the daemon about a profile, as lines; the source text is not at hand here. */
export function diagnosticLines(diagnostics: readonly DiagnosticLine[], terminal: Terminal): string[] {
  return diagnostics.flatMap((found) => [
    `${found.line}:${found.column}: ${terminal.style(styles[found.severity], found.severity)}: ${printable(found.message)} [${found.code}]`,
    ...(found.windows === undefined ? [] : [`    Windows: ${printable(found.windows)}`]),
    ...(found.here === undefined ? [] : [`    here: ${printable(found.here)}`]),
    ...(found.cure === undefined ? [] : [`    what to do: ${printable(found.cure)}`]),
  ]);
}
