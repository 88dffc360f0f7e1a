import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { IkeFailure } from '@aovpn/ike';
import { chooseCertificate, type CertificateCandidate, type CertificateWish } from '@aovpn/policy';
import type { AuthenticationKind } from '../src/authentication.ts';
import { problemCatalogue } from '../src/problem-catalogue.ts';
import { problemOf, problemOfCertificateChoice, problemOfEnd, problemOfHost } from '../src/problem-of.ts';

type EapFailure = Extract<IkeFailure, { kind: 'eap' }>['failure'];
type Case = [IkeFailure, AuthenticationKind, string, number | undefined, string];

function eap(
  authentication: AuthenticationKind,
  rows: readonly (readonly [Omit<EapFailure, 'detail'>, string, number | undefined, string])[],
): Case[] {
  return rows.map(([failure, code, windows, side]) => [
    { kind: 'eap', failure: { detail: 'x', ...failure } },
    authentication,
    code,
    windows,
    side,
  ]);
}

function tls(reason: NonNullable<EapFailure['tls']>['reason'], alert?: number): Omit<EapFailure, 'detail'> {
  return { kind: 'tls', tls: { reason, detail: 'y', ...(alert !== undefined && { alert }) } };
}

/** The gateway took its time before it said so. */
function quiet(failure: IkeFailure, quietMs: number): IkeFailure {
  return Object.assign({ quietMs }, failure);
}

suite('the catalogue of problems', () => {
  test('codes are unique, of one form, and every row says what to do', () => {
    const codes = problemCatalogue.map(({ code }) => code);
    assert.equal(new Set(codes).size, codes.length);
    for (const { code, title, cure } of problemCatalogue) {
      assert.match(code, /^AOV-(IKE|EAP|SUPERVISOR)-\d{3}$/);
      assert.doesNotMatch(title, /\.$/);
      assert.match(cure, /\.$/);
    }
  });

  const cases: readonly [IkeFailure, AuthenticationKind, string, number | undefined, string][] = [
    [{ kind: 'no-answer', phase: 'init', seconds: 9.1 }, 'certificate', 'AOV-IKE-101', 809, 'network'],
    [{ kind: 'no-answer', phase: 'auth', seconds: 9 }, 'certificate', 'AOV-IKE-102', 13805, 'network'],
    [{ kind: 'no-answer', phase: 'established', seconds: 9 }, 'eap-tls', 'AOV-IKE-103', 829, 'network'],
    [{ kind: 'no-proposal-chosen', what: 'ike' }, 'certificate', 'AOV-IKE-110', 13868, 'gateway'],
    [{ kind: 'gateway-refused', refusal: 'untrusted', detail: 'CN=x' }, 'certificate', 'AOV-IKE-131', 13801, 'gateway'],
    [{ kind: 'gateway-refused', refusal: 'no-certificate', detail: '' }, 'certificate', 'AOV-IKE-130', 13806, 'gateway'],
    [{ kind: 'authentication-failed', detail: 'x' }, 'certificate', 'AOV-IKE-150', 13801, 'certificate'],
    [{ kind: 'authentication-failed', detail: 'x' }, 'peap-tls', 'AOV-IKE-151', 812, 'radius'],
    [
      { kind: 'eap', failure: { kind: 'wrong-password', detail: 'x', number: 691 } },
      'mschapv2',
      'AOV-EAP-202',
      691,
      'credentials',
    ],
    [
      { kind: 'eap', failure: { kind: 'account-restricted', detail: 'x', number: 647 } },
      'mschapv2',
      'AOV-EAP-224',
      647,
      'radius',
    ],
    [{ kind: 'eap', failure: { kind: 'rejected', detail: 'x' } }, 'peap-mschapv2', 'AOV-EAP-201', 812, 'radius'],
    [
      { kind: 'eap', failure: { kind: 'tls', detail: 'x', tls: { reason: 'wrong-name', detail: 'y' } } },
      'eap-tls',
      'AOV-EAP-213',
      866,
      'radius',
    ],
    ...eap('mschapv2', [
      [{ kind: 'account-restricted', number: 646 }, 'AOV-EAP-223', 646, 'radius'],
      [{ kind: 'password-expired', number: 648 }, 'AOV-EAP-203', 648, 'credentials'],
      [{ kind: 'account-restricted', number: 649 }, 'AOV-EAP-225', 649, 'radius'],
      [{ kind: 'password-expired', number: 709 }, 'AOV-EAP-226', 709, 'credentials'],
      [{ kind: 'account-restricted' }, 'AOV-EAP-204', 649, 'radius'],
      [{ kind: 'account-restricted', number: 650 }, 'AOV-EAP-204', 650, 'radius'],
      [{ kind: 'no-secret' }, 'AOV-EAP-205', 691, 'credentials'],
      [{ kind: 'method-mismatch' }, 'AOV-EAP-206', 812, 'radius'],
      [{ kind: 'server-not-proven' }, 'AOV-EAP-207', 778, 'radius'],
      [{ kind: 'out-of-order' }, 'AOV-EAP-208', 13816, 'radius'],
      [{ kind: 'malformed' }, 'AOV-EAP-209', 13843, 'radius'],
    ]),
    ...eap('peap-tls', [
      [{ kind: 'rejected' }, 'AOV-EAP-201', 812, 'radius'],
      [{ kind: 'rejected', unexplained: 'certificate' }, 'AOV-EAP-216', 853, 'certificate'],
      [{ kind: 'cryptobinding-invalid' }, 'AOV-EAP-220', 823, 'radius'],
      [{ kind: 'cryptobinding-missing' }, 'AOV-EAP-221', 824, 'radius'],
      [{ kind: 'identity-mismatch' }, 'AOV-EAP-222', 867, 'radius'],
    ]),
    ...(['ttls-pap', 'ttls-mschapv2', 'ttls-gtc', 'peap-mschapv2', 'mschapv2'] as const).flatMap((kind) =>
      eap(kind, [
        // Right after the password, or at another moment.
        [{ kind: 'rejected', unexplained: 'secret' }, 'AOV-EAP-219', 691, 'credentials'],
        [{ kind: 'rejected' }, 'AOV-EAP-201', 812, 'radius'],
      ]),
    ),
    ...eap('eap-tls', [
      [tls('untrusted'), 'AOV-EAP-211', 864, 'radius'],
      [tls('expired'), 'AOV-EAP-212', 858, 'radius'],
      [tls('not-yet-valid'), 'AOV-EAP-231', 858, 'host'],
      [tls('wrong-name'), 'AOV-EAP-213', 866, 'radius'],
      [tls('wrong-eku'), 'AOV-EAP-232', 857, 'radius'],
      [tls('weak'), 'AOV-EAP-234', 860, 'radius'],
      [tls('invalid-root'), 'AOV-EAP-235', 865, 'radius'],
      [tls('revocation-unknown'), 'AOV-EAP-236', 860, 'radius'],
      [tls('revoked'), 'AOV-EAP-214', 859, 'radius'],
      [tls('no-client-certificate'), 'AOV-EAP-215', 798, 'certificate'],
      [tls('client-certificate-refused'), 'AOV-EAP-216', 853, 'certificate'],
      [tls('client-certificate-refused', 42), 'AOV-EAP-216', 853, 'certificate'],
      [tls('client-certificate-refused', 45), 'AOV-EAP-227', 854, 'certificate'],
      [tls('client-certificate-refused', 44), 'AOV-EAP-228', 855, 'certificate'],
      [tls('client-certificate-refused', 48), 'AOV-EAP-229', 861, 'certificate'],
      [tls('client-certificate-refused', 43), 'AOV-EAP-230', 856, 'certificate'],
      [tls('client-certificate-refused', 46), 'AOV-EAP-230', 856, 'certificate'],
      [tls('alert', 49), 'AOV-EAP-230', 856, 'certificate'],
      [tls('alert', 116), 'AOV-EAP-215', 798, 'certificate'],
      [tls('alert', 40), 'AOV-EAP-217', undefined, 'radius'],
      [tls('protocol'), 'AOV-EAP-218', undefined, 'radius'],
      // An alert number cannot make our own finding into something else.
      [tls('untrusted', 45), 'AOV-EAP-211', 864, 'radius'],
    ]),
    [{ kind: 'no-answer', phase: 'auth', seconds: 30 }, 'peap-tls', 'AOV-EAP-233', 718, 'radius'],
    [{ kind: 'no-answer', phase: 'auth', seconds: 11 }, 'peap-tls', 'AOV-IKE-102', 13805, 'network'],
    [{ kind: 'no-answer', phase: 'auth', seconds: 120 }, 'certificate', 'AOV-IKE-102', 13805, 'network'],
    [quiet({ kind: 'eap', failure: { kind: 'rejected', detail: 'x' } }, 14_000), 'peap-tls', 'AOV-EAP-233', 718, 'radius'],
    [quiet({ kind: 'eap', failure: { kind: 'rejected', detail: 'x' } }, 90), 'peap-tls', 'AOV-EAP-201', 812, 'radius'],
    [
      quiet({ kind: 'eap', failure: { kind: 'wrong-password', detail: 'x' } }, 14_000),
      'mschapv2',
      'AOV-EAP-202',
      691,
      'credentials',
    ],
    [quiet({ kind: 'authentication-failed', detail: 'x' }, 14_000), 'peap-tls', 'AOV-EAP-233', 718, 'radius'],
    [quiet({ kind: 'authentication-failed', detail: 'x' }, 14_000), 'certificate', 'AOV-IKE-150', 13801, 'certificate'],
    [{ kind: 'notify', type: 44, name: 'NO_ADDITIONAL_SAS', phase: 'child' }, 'eap-tls', 'AOV-IKE-180', 13816, 'gateway'],
  ];
  for (const [failure, authentication, code, windows, side] of cases) {
    test(`${JSON.stringify(failure)} is ${code}`, () => {
      const found = problemOf(failure, authentication);
      assert.deepEqual([found.code, found.windows, found.side], [code, windows, side]);
    });
  }

  test('what we closed ourselves is no problem', () => {
    assert.equal(problemOfEnd({ kind: 'closed', why: 'x' }, 'eap-tls'), undefined);
    assert.equal(problemOfEnd({ kind: 'peer-closed' }, 'eap-tls')?.code, 'AOV-IKE-190');
  });

  test('an error of a credential file is no reason to hurry, one of the machine is', () => {
    const ofFile = problemOfHost({ code: 'AOV-HOST-114', what: 'they do not belong together', cure: 'x' });
    assert.deepEqual([ofFile.side, ofFile.retry, ofFile.windows], ['certificate', 'never', 13806]);
    const ofMachine = problemOfHost({ code: 'AOV-HOST-201', what: 'no TUN', cure: 'x' });
    assert.deepEqual([ofMachine.side, ofMachine.retry], ['host', 'soon']);
  });

  test('a PIN is never tried twice unasked; a token or a keyring may come back', () => {
    const of = (number: number) => problemOfHost({ code: `AOV-HOST-${number}`, what: 'x', cure: 'y' });
    assert.deepEqual([of(152).side, of(152).retry], ['credentials', 'never']);
    assert.deepEqual([of(153).side, of(153).retry], ['credentials', 'never']);
    assert.deepEqual([of(155).side, of(155).retry, of(155).windows], ['certificate', 'slow', 798]);
    assert.deepEqual([of(501).side, of(501).retry], ['credentials', 'slow']);
  });
});

suite('a choice of certificates that ends without one', () => {
  const now = 1_800_000_000_000;
  const wish: CertificateWish = {
    purpose: 'eap-tls',
    extendedKeyUsage: [{ kind: 'none', what: 'any' }],
    simpleSelection: { value: false, what: 'SimpleCertSelection' },
    forUser: true,
  };
  const candidate: CertificateCandidate = {
    id: 'aa',
    source: 'file x',
    onToken: false,
    hasKey: true,
    subject: 'CN=x',
    issuer: 'CN=y',
    userPrincipalNames: ['x@y'],
    emailAddresses: [],
    dnsNames: [],
    notBefore: now - 1,
    notAfter: now + 1,
    extendedKeyUsage: undefined,
    digitalSignature: true,
    issuerHashes: [],
    issuerSubjects: [],
  };
  const cases: readonly [
    string,
    readonly CertificateCandidate[],
    Partial<CertificateWish>,
    string | undefined,
    number | undefined,
  ][] = [
    ['one fits', [candidate], {}, undefined, undefined],
    ['none at all', [], {}, 'AOV-SUPERVISOR-345', 798],
    ['none at all for IKE', [], { purpose: 'ike' }, 'AOV-SUPERVISOR-340', 13806],
    ['filter', [{ ...candidate, extendedKeyUsage: [] }], {}, 'AOV-SUPERVISOR-346', 798],
    ['filter for IKE', [{ ...candidate, extendedKeyUsage: [] }], { purpose: 'ike' }, 'AOV-SUPERVISOR-346', 13806],
    ['no token', [candidate], { onToken: { value: true, what: 'SmartCard' } }, 'AOV-SUPERVISOR-347', 798],
    ['two', [candidate, { ...candidate, id: 'bb' }], {}, 'AOV-SUPERVISOR-348', 798],
    ['expired', [{ ...candidate, notAfter: now - 1 }], {}, 'AOV-SUPERVISOR-349', 854],
    ['not yet', [{ ...candidate, notBefore: now + 1 }], {}, 'AOV-SUPERVISOR-350', 856],
    ['no key', [{ ...candidate, hasKey: false }], {}, 'AOV-SUPERVISOR-351', 13820],
  ];
  for (const [what, candidates, changes, code, windows] of cases) {
    test(what, () => {
      const found = problemOfCertificateChoice(chooseCertificate(candidates, { ...wish, ...changes }, now));
      assert.deepEqual([found?.code, found?.windows], [code, windows]);
    });
  }
});
