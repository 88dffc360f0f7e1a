import type { DoctorCheck, EnrolmentStatus } from '@aovpn/api';

const day = 86_400_000;

/** How long each enrolled certificate is good for, when it is renewed, and what is in the way. */
export function checkEnrolments(enrolments: readonly EnrolmentStatus[], now = Date.now()): readonly DoctorCheck[] {
  return enrolments.map(({ name, state, certificate, next, why, problem }) => {
    const left = certificate && Math.floor((Date.parse(certificate.notAfter) - now) / day);
    const what =
      state === 'valid' ? `${left} days left, until ${certificate!.notAfter}` : state === 'none' ? 'not enrolled yet' : state;
    const then = next ? `${next.what === 'renew' ? 'renewed' : 'asked for'} from ${next.at} on` : why;
    const found = `${what}; ${then}${problem ? `; ${problem.message} [${problem.code}]` : ''}`;
    const verdict = !problem ? 'ok' : state === 'valid' ? 'warning' : 'failed';
    return { name: `certificate ${name}`, verdict, found, ...(problem && { cure: problem.cure }) };
  });
}
