import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { explainRefusal, type SentCertificate } from '../src/explain-refusal.ts';
import { problem } from '../src/problem-catalogue.ts';

const now = Date.UTC(2026, 10, 30, 8, 47);
const day = 86_400_000;
const laptop: SentCertificate = {
  subject: 'CN=laptop',
  commonName: 'laptop',
  userPrincipalNames: [],
  source: 'file /etc/aovpn/corp.pem',
  notBefore: now - 2 * day,
  notAfter: now,
};
const refused = problem('refusedCertificate', 'the gateway refuses the certificate');
const refusal = 'The gateway refuses our certificate or identity: the gateway refuses the certificate [AOV-IKE-150]';

suite('why our certificate was refused', () => {
  test('a certificate in its time explains nothing', () => {
    assert.equal(explainRefusal(refused, { ike: laptop }, now), refused);
    assert.equal(explainRefusal(refused, { ike: { ...laptop, notBefore: now } }, now), refused);
    assert.equal(explainRefusal(refused, {}, now), refused);
  });

  test('one that has expired does: which, since when, where it lies; it may be the clock, so another try comes', () => {
    const found = explainRefusal(refused, { ike: laptop }, now + 1);
    assert.equal(
      found.message,
      `Our certificate has expired: laptop (file /etc/aovpn/corp.pem) expired on 2026-11-30 08:47 UTC. ${refusal}`,
    );
    assert.deepEqual([found.code, found.windows, found.side, found.retry], ['AOV-SUPERVISOR-349', 13806, 'certificate', 'slow']);
    assert.match(found.cure, /Get a new certificate .* clock/);
  });

  test('one that is not valid yet', () => {
    const found = explainRefusal(refused, { ike: laptop }, now - 3 * day);
    assert.equal(
      found.message,
      `Our certificate is not valid yet: laptop (file /etc/aovpn/corp.pem) begins on 2026-11-28 08:47 UTC. ${refusal}`,
    );
    assert.deepEqual([found.code, found.windows, found.side], ['AOV-SUPERVISOR-350', 13806, 'host']);
  });

  test('a refusal is about the certificate that its speaker has seen', () => {
    const fresh = { ...laptop, notAfter: now + day };
    assert.equal(explainRefusal(refused, { ike: fresh, eap: laptop }, now + 1), refused);
    const byRadius = problem('eapTlsClientCertificateRefused');
    assert.equal(explainRefusal(byRadius, { ike: laptop, eap: fresh }, now + 1), byRadius);
    const found = explainRefusal(byRadius, { ike: fresh, eap: laptop }, now + 1);
    assert.deepEqual([found.code, found.windows, found.retry], ['AOV-SUPERVISOR-349', 854, 'slow']);
    const other = problem('eapWrongPassword');
    assert.equal(explainRefusal(other, { eap: laptop }, now + 1), other);
  });
});
