// Writes the parts of docs/ that are made from tables in the code: docs/errors.md, and docs/divergences.md below its marker.
// `node scripts/docs.ts` after a change of a table; a test fails when the files are not what this would write.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { accessRoles, accessTable, requestPermissions } from '@aovpn/api';
import { daemonErrors } from '@aovpn/daemon';
import { hostErrors } from '@aovpn/host';
import { filterProblems, policyDivergences } from '@aovpn/policy';
import { profileDiagnostics } from '@aovpn/profile';
import { problemCatalogue } from '@aovpn/supervisor';

const errorsFile = fileURLToPath(new URL('../docs/errors.md', import.meta.url));
const divergencesFile = fileURLToPath(new URL('../docs/divergences.md', import.meta.url));
const accessFile = fileURLToPath(new URL('../docs/control-socket.md', import.meta.url));
const marker = '<!-- from the code: node scripts/docs.ts -->';

/** What the generated documents should be, by path. */
export function generatedDocuments(): ReadonlyMap<string, string> {
  return new Map([
    [errorsFile, errorsDocument()],
    [divergencesFile, divergencesDocument()],
    [accessFile, accessDocument()],
  ]);
}

if (import.meta.main) for (const [file, text] of generatedDocuments()) writeFileSync(file, text);

function errorsDocument(): string {
  return [
    '# Errors',
    '',
    'Every code that people can meet, what it means, and what to do. Codes are stable. *Windows* is the number that a Windows client shows for the same thing.',
    'Written by `node scripts/docs.ts` from the tables in the code; a test compares both ways.',
    '',
    '## Connections',
    '',
    'Shown by `aovpn status`, `aovpn up` and the log. *Side* says where to look; *tried again* says whether waiting helps.',
    '',
    ...table(
      ['code', 'Windows', 'side', 'what happened', 'what to do', 'tried again'],
      problemCatalogue.map((row) => [row.code, row.windows?.toString() ?? '–', row.side, row.title, row.cure, row.retry]),
    ),
    '',
    '## This machine',
    '',
    ...table(
      ['code', 'what happened', 'what to do'],
      hostErrors.map((row) => [row.code, row.title, row.cure]),
    ),
    '',
    '## The daemon and its requests',
    '',
    ...table(
      ['code', 'what happened', 'what to do'],
      daemonErrors.map((row) => [row.code, row.title, row.cure]),
    ),
    '',
    '## Profiles',
    '',
    'Shown by `aovpn profile lint` with line and column.',
    '',
    ...table(
      ['code', 'severity', 'what was found', 'Windows', 'aovpn', 'what to do'],
      profileDiagnostics.map((row) => [row.code, row.severity, row.title, row.windows ?? '–', row.here, row.cure]),
    ),
    '',
    '## Traffic filters and applications',
    '',
    'Shown by `aovpn plan` with line and element. *error*: the filter lets nothing through; the others stay in force.',
    '',
    ...table(
      ['code', 'severity', 'what was found', 'what to do'],
      Object.values(filterProblems).map((row) => [row.code, row.severity, row.title, row.cure]),
    ),
    '',
  ].join('\n');
}

function accessDocument(): string {
  const [written] = readFileSync(accessFile, 'utf8').split(marker);
  const words = { yes: 'yes', own: 'own', ask: 'polkit', no: 'no' } as const;
  return [
    `${written!.trimEnd()}\n\n${marker}`,
    '',
    ...table(
      ['request', ...accessRoles],
      Object.entries(requestPermissions).map(([request, permission]) => [
        `\`${request}\``,
        ...accessRoles.map((role) => words[accessTable[permission][role]]),
      ]),
    ),
    '',
  ].join('\n');
}

function divergencesDocument(): string {
  const [written] = readFileSync(divergencesFile, 'utf8').split(marker);
  return [
    `${written!.trimEnd()}\n\n${marker}`,
    '',
    '## From Windows, in what a profile comes to',
    '',
    ...policyDivergences.flatMap((one) => [
      `### ${one.title}`,
      '',
      `\`${one.id}\``,
      '',
      `- **Windows:** ${one.windows}`,
      `- **aovpn:** ${one.here}`,
      `- **Why:** ${one.why}`,
      '',
    ]),
  ].join('\n');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', String.raw`\|`).replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}
