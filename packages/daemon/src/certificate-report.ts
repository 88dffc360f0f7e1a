import type { CertificateReport } from '@aovpn/api';
import { printCertificateChoice } from '@aovpn/policy';
import type { Candidate, Keepsakes } from './candidate-store.ts';
import { decideCertificate } from './credentials.ts';

/** Looks into every source now and judges what is there; asks nobody for a PIN. */
export async function certificateReport(
  { stored, paths, keys, tunnelKey }: Candidate,
  { ring, picked }: Keepsakes,
): Promise<CertificateReport> {
  const connection = stored.name;
  const mine = picked?.tunnelKey === tunnelKey ? picked.id : undefined;
  const decided = await decideCertificate(stored.profile, paths, keys, ring, mine);
  if (!decided) {
    const text = `"${connection}" uses no client certificate.\n`;
    return { connection, outcome: 'not-needed', text, certificates: [], problems: [] };
  }
  const { choice, problems } = decided;
  const { outcome, judged } = choice;
  const chosen = outcome.kind === 'chosen' ? outcome.candidate.id : undefined;
  const lost = problems.map(({ source, error }) => ({ source, code: error.code, message: error.what, cure: error.cure }));
  const lines = lost.map(({ source, message, code, cure }) => `${source}: ${message} [${code}]\n  ${cure}\n`);
  return {
    connection,
    outcome: outcome.kind,
    text: [printCertificateChoice(choice), ...lines].join('\n'),
    certificates: judged.map(({ candidate, suitable, criteria }) => ({
      id: candidate.id,
      source: candidate.source,
      onToken: candidate.onToken,
      subject: candidate.subject,
      issuer: candidate.issuer,
      notBefore: new Date(candidate.notBefore).toISOString(),
      notAfter: new Date(candidate.notAfter).toISOString(),
      chosen: candidate.id === chosen,
      suitable,
      criteria,
    })),
    problems: lost,
  };
}
