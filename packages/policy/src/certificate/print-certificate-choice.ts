import { nameOf, type CertificateChoice, type JudgedCertificate } from './choose-certificate.ts';
import type { CertificatePurpose } from './certificate-wish.ts';

/** The choice as text: the outcome, then every candidate with every criterion. */
export function printCertificateChoice(choice: CertificateChoice): string {
  const { wish, outcome, judged } = choice;
  const lines = [`certificate for ${purposeText[wish.purpose]}: ${outcomeText(choice)}`];
  if (outcome.kind === 'chosen') {
    for (const { reason, line } of outcome.objections) lines.push(`  although: ${reason}${lineText(line)}`);
  }
  for (const one of judged) lines.push('', ...candidateLines(one, choice));
  return `${lines.map(printable).join('\n')}\n`;
}

const purposeText: Readonly<Record<CertificatePurpose, string>> = {
  ike: 'IKE (machine certificate)',
  'eap-tls': 'EAP-TLS',
  'peap-tls': 'EAP-TLS inside PEAP',
  'ttls-tls': 'EAP-TLS inside EAP-TTLS',
};

function outcomeText({ outcome }: CertificateChoice): string {
  switch (outcome.kind) {
    case 'chosen':
      return `${nameOf(outcome.candidate)} — ${outcome.why}`;
    case 'ambiguous':
      return `undecided — ${outcome.why}`;
    case 'none':
      return `none — ${outcome.why}`;
  }
}

function candidateLines({ candidate, suitable, criteria }: JudgedCertificate, { outcome }: CertificateChoice): readonly string[] {
  const chosen = outcome.kind === 'chosen' && outcome.candidate.id === candidate.id;
  const verdict = chosen ? 'chosen' : suitable ? 'fits' : 'does not fit';
  const width = Math.max(...criteria.map(({ criterion }) => criterion.length));
  return [
    `${nameOf(candidate)}: ${verdict}`,
    `  SHA-256 ${candidate.id}`,
    ...criteria.map(
      ({ criterion, met, reason, line }) => `  ${criterion.padEnd(width)}  ${met.padEnd(7)}  ${reason}${lineText(line)}`,
    ),
  ];
}

function lineText(line: number | undefined): string {
  return line === undefined ? '' : ` [line ${line}]`;
}

/** Names in certificates come from elsewhere: nothing in them may steer a terminal. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what this is about
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, '?');
}
