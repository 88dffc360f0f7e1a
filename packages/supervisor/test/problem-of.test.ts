import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { IkeFailure } from '@aovpn/ike';
import { problemCatalogue } from '../src/problem-catalogue.ts';
import { problemOf, problemOfEnd, problemOfHost } from '../src/problem-of.ts';

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

  const cases: readonly [IkeFailure, 'certificate' | 'eap', string, number | undefined, string][] = [
    [{ kind: 'no-answer', phase: 'init', seconds: 9.1 }, 'certificate', 'AOV-IKE-101', 809, 'network'],
    [{ kind: 'no-answer', phase: 'auth', seconds: 9 }, 'certificate', 'AOV-IKE-102', 13805, 'network'],
    [{ kind: 'no-answer', phase: 'established', seconds: 9 }, 'eap', 'AOV-IKE-103', 829, 'network'],
    [{ kind: 'no-proposal-chosen', what: 'ike' }, 'certificate', 'AOV-IKE-110', 13868, 'gateway'],
    [{ kind: 'gateway-refused', refusal: 'untrusted', detail: 'CN=x' }, 'certificate', 'AOV-IKE-131', 13801, 'gateway'],
    [{ kind: 'gateway-refused', refusal: 'no-certificate', detail: '' }, 'certificate', 'AOV-IKE-130', 13806, 'gateway'],
    [{ kind: 'authentication-failed', detail: 'x' }, 'certificate', 'AOV-IKE-150', 13801, 'certificate'],
    [{ kind: 'authentication-failed', detail: 'x' }, 'eap', 'AOV-IKE-151', 812, 'radius'],
    [{ kind: 'eap', failure: { kind: 'wrong-password', detail: 'x', number: 691 } }, 'eap', 'AOV-EAP-202', 691, 'credentials'],
    [{ kind: 'eap', failure: { kind: 'account-restricted', detail: 'x', number: 647 } }, 'eap', 'AOV-EAP-204', 647, 'radius'],
    [{ kind: 'eap', failure: { kind: 'rejected', detail: 'x' } }, 'eap', 'AOV-EAP-201', 812, 'radius'],
    [
      { kind: 'eap', failure: { kind: 'tls', detail: 'x', tls: { reason: 'wrong-name', detail: 'y' } } },
      'eap',
      'AOV-EAP-213',
      866,
      'radius',
    ],
    [{ kind: 'notify', type: 44, name: 'NO_ADDITIONAL_SAS', phase: 'child' }, 'eap', 'AOV-IKE-180', 13816, 'gateway'],
  ];
  for (const [failure, authentication, code, windows, side] of cases) {
    test(`${JSON.stringify(failure)} is ${code}`, () => {
      const found = problemOf(failure, authentication);
      assert.deepEqual([found.code, found.windows, found.side], [code, windows, side]);
    });
  }

  test('what we closed ourselves is no problem', () => {
    assert.equal(problemOfEnd({ kind: 'closed', why: 'x' }, 'eap'), undefined);
    assert.equal(problemOfEnd({ kind: 'peer-closed' }, 'eap')?.code, 'AOV-IKE-190');
  });

  test('an error of a credential file is no reason to hurry, one of the machine is', () => {
    const ofFile = problemOfHost({ code: 'AOV-HOST-114', what: 'they do not belong together', cure: 'x' });
    assert.deepEqual([ofFile.side, ofFile.retry, ofFile.windows], ['certificate', 'never', 13806]);
    const ofMachine = problemOfHost({ code: 'AOV-HOST-201', what: 'no TUN', cure: 'x' });
    assert.deepEqual([ofMachine.side, ofMachine.retry], ['host', 'soon']);
  });
});
