// What an ACME server may say besides what pebble says: orders that are ready at once, that take long, refusals, and nonsense.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, suite, test } from 'node:test';
import { acmeFile } from '../../src/enrol/acme/acme-state.ts';
import { enrolledFile, pendingFile } from '../../src/enrol/enrolled-file.ts';
import { obtainCertificate, type CertificateObtained, type CertificateWanted } from '../../src/enrol/obtain-certificate.ts';
import { loadCredential } from '../../src/keys/credential.ts';
import { authority, server as forServer, TestPki } from '../trust/test-pki.ts';
import { ScriptedAcme, type Change, type Reply } from './scripted-acme.ts';

const pki = new TestPki();
const root = pki.issue('Company Root', { extensions: authority });
const tls = pki.issue('acme', { issuer: root, extensions: [...forServer, 'subjectAltName=IP:127.0.0.1'] });
const mac = randomBytes(32).toString('base64url');
const urn = 'urn:ietf:params:acme:error:';

/** A problem document in the place of an answer. */
function problem(status: number, type: string, detail: string, more: object = {}, headers: Record<string, string> = {}): Change {
  return () => ({
    status,
    body: { type: urn + type, detail, ...more },
    headers: { 'content-type': 'application/problem+json', ...headers },
  });
}

/** The first time only. */
function once(change: Change): Change {
  let done = false;
  return (ordinary, heard) => {
    if (done) return ordinary;
    done = true;
    return change(ordinary, heard);
  };
}

suite('answers of an ACME server', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'aovpn-acme-'));
  let acme: ScriptedAcme;
  let count = 0;
  before(async () => {
    acme = await ScriptedAcme.start(tls, root);
  });
  beforeEach(() => {
    count++;
    acme.heard.length = 0;
    acme.changes = {};
  });
  after(() => {
    acme.close();
    pki[Symbol.dispose]();
    rmSync(directory, { recursive: true, force: true });
  });

  const wanted = (more: Partial<CertificateWanted> = {}): CertificateWanted => ({
    directory,
    name: `m${count}`,
    protocol: 'acme',
    url: acme.url,
    authorities: root.pem,
    names: { subject: [], dns: ['laptop.corp.example'], email: [], upn: [] },
    how: 'enrol',
    weak: false,
    anew: false,
    secret: { userName: 'kid-1', octets: new TextEncoder().encode(mac) },
    acme: { keyId: 'kid-1', termsAgreed: false },
    ...more,
  });
  const file = (): string => enrolledFile(directory, `m${count}`);
  const obtain = (more: Partial<CertificateWanted> = {}): Promise<CertificateObtained> => obtainCertificate(wanted(more));
  async function fails(
    failure: string,
    detail: RegExp,
    more: Partial<CertificateWanted> = {},
  ): Promise<CertificateObtained & { kind: 'failed' }> {
    const result = await obtain(more);
    assert.ok(result.kind === 'failed', JSON.stringify(result));
    assert.equal(result.failure, failure, result.detail);
    assert.match(result.detail, detail);
    return result;
  }

  test('an order that is ready at once: five requests, each signed for its URL with a nonce of its own, and no question of the DNS', async () => {
    assert.deepEqual(await obtain(), { kind: 'issued' });
    assert.deepEqual(acme.topics(), ['directory', 'nonce', 'account', 'new-order', 'finalize', 'certificate']);
    assert.deepEqual(acme.faults, []);
    const [, , account, order, finalize, certificate] = acme.heard;
    assert.ok(account?.payload?.['externalAccountBinding']);
    assert.equal(account.payload['termsOfServiceAgreed'], undefined);
    assert.deepEqual(order?.payload, { identifiers: [{ type: 'dns', value: 'laptop.corp.example' }] });
    assert.deepEqual(Object.keys(finalize?.payload ?? {}), ['csr']);
    assert.equal(certificate?.payload, undefined, 'POST-as-GET');
    assert.equal(certificate?.headers.accept, 'application/pem-certificate-chain');
    assert.ok(acme.heard.every(({ headers }) => headers['user-agent'] === 'aovpn' && headers['accept-language'] === 'en'));
    assert.deepEqual((await loadCredential({ certificate: file() })).names.dns, ['laptop.corp.example']);
  });

  test('a server that has not proven who it is is told nothing', async () => {
    const stranger = pki.issue('Somebody Else', { extensions: authority });
    await fails('untrusted', /127\.0\.0\.1/, { authorities: stranger.pem });
    assert.deepEqual(acme.heard, []);
  });

  test('a refused nonce is followed by the one that came with the refusal, and by no more than ten', async () => {
    const fresh = randomBytes(16).toString('base64url');
    const refuse = problem(400, 'badNonce', 'used before');
    acme.changes = { 'new-order': once((ordinary, heard) => ({ ...refuse(ordinary, heard), nonce: fresh })) };
    assert.deepEqual(await obtain(), { kind: 'issued' });
    assert.equal(acme.heard.filter(({ topic }) => topic === 'new-order')[1]?.protected?.nonce, fresh);
    acme.faults.length = 0;
    acme.changes = { 'new-order': refuse };
    acme.heard.length = 0;
    await fails('unreachable', /none of 10 nonces/);
    assert.equal(acme.topics().filter((topic) => topic === 'new-order').length, 10);
  });

  test('a nonce that is none is passed over, and another one is asked for', async () => {
    acme.changes = { account: (ordinary) => ({ ...ordinary, nonce: 'not a nonce!' }) };
    assert.deepEqual(await obtain(), { kind: 'issued' });
    assert.deepEqual(acme.topics().slice(0, 5), ['directory', 'nonce', 'account', 'nonce', 'new-order']);
    assert.deepEqual(acme.faults, []);
  });

  test('names are asked for as DNS has them, each once', async () => {
    const dns = ['Laptop.CORP.example', 'laptop.corp.example.'];
    assert.deepEqual(await obtain({ names: { subject: [], dns, email: [], upn: [] } }), { kind: 'issued' });
    const order = acme.heard.find(({ topic }) => topic === 'new-order');
    assert.deepEqual(order?.payload, { identifiers: [{ type: 'dns', value: 'laptop.corp.example' }] });
  });

  test('a rate limit is waited out as long as the server says', async () => {
    acme.changes = { 'new-order': problem(429, 'rateLimited', 'too many', {}, { 'retry-after': '3600' }) };
    const result = await fails('unreachable', /HTTP 429 when a certificate was ordered, rateLimited: "too many"/);
    assert.equal(result.retryAfter, 3_600_000);
  });

  test('what the authority has not decided is asked for when it says, with the same order and key; the certificate in use stays until then', async () => {
    await obtain();
    const before = readFileSync(file(), 'utf8');
    acme.heard.length = 0;
    acme.changes = {
      finalize: (ordinary) => ({
        ...ordinary,
        body: { ...(ordinary.body as object), status: 'processing' },
        headers: { 'retry-after': '600' },
      }),
      order: (ordinary) => ({
        ...ordinary,
        body: { ...(ordinary.body as object), status: 'processing' },
        headers: { 'retry-after': '300' },
      }),
    };
    assert.deepEqual(await obtain(), { kind: 'pending', retryAfter: 600_000 });
    const pending = pendingFile(directory, `m${count}`);
    assert.equal(statSync(pending).mode & 0o777, 0o600);
    const key = readFileSync(pending, 'utf8');
    assert.deepEqual(await obtain(), { kind: 'pending', retryAfter: 300_000 });
    assert.equal(readFileSync(file(), 'utf8'), before);
    acme.changes = {};
    assert.deepEqual(await obtain(), { kind: 'issued' });
    assert.equal(acme.topics().filter((topic) => topic === 'new-order').length, 1);
    assert.ok(readFileSync(file(), 'utf8').startsWith(key));
    assert.throws(() => statSync(pending));
  });

  test('an order that is gone meanwhile is followed by another one', async () => {
    acme.changes = {
      finalize: (ordinary) => ({
        ...ordinary,
        body: { ...(ordinary.body as object), status: 'processing' },
        headers: { 'retry-after': '600' },
      }),
    };
    assert.equal((await obtain()).kind, 'pending');
    acme.changes = { order: problem(404, 'malformed', 'no such order') };
    assert.deepEqual(await obtain(), { kind: 'issued' });
    assert.equal(acme.topics().filter((topic) => topic === 'new-order').length, 2);
  });

  test('an order that is not ready yet is looked at again, and asked for again', async () => {
    acme.changes = {
      finalize: once(problem(403, 'orderNotReady', 'wait')),
      order: once((ordinary) => ({ ...ordinary, body: { ...(ordinary.body as object), status: 'ready' } })),
    };
    assert.deepEqual(await obtain(), { kind: 'issued' });
    assert.deepEqual(acme.topics().slice(-4), ['finalize', 'order', 'finalize', 'certificate']);
  });

  test('who did not get the answer to newAccount asks with the same key again', async () => {
    acme.changes = { account: once((ordinary) => ({ ...ordinary, cut: true })) };
    await fails('unreachable', /./);
    assert.deepEqual(await obtain(), { kind: 'issued' });
    const accounts = acme.heard.filter(({ topic }) => topic === 'account');
    assert.equal(accounts.length, 2);
    assert.deepEqual(accounts[0]?.protected?.jwk, accounts[1]?.protected?.jwk);
  });

  test('the server’s words are told, with those of its parts, and never our secret', async () => {
    acme.changes = {
      'new-order': problem(403, 'malformed', `rejected (${mac})`, {
        subproblems: [
          { type: `${urn}rejectedIdentifier`, detail: 'not here', identifier: { type: 'dns', value: 'laptop.corp.example' } },
        ],
      }),
    };
    const { detail } = await fails('refused', /malformed: "rejected \(\(secret\)\); laptop\.corp\.example: not here"/);
    assert.ok(!detail.includes(mac));
    acme.changes = { 'new-order': problem(403, 'userActionRequired', 'new terms', { instance: 'https://acme.example/agree' }) };
    await fails('refused', /userActionRequired: "new terms": "https:\/\/acme\.example\/agree"/);
  });

  for (const [what, challenges, detail] of [
    [
      'only ways that a laptop cannot go',
      ['http-01', 'tls-alpn-01', 'device-attest-01'],
      /no dns-01 \(but "http-01", "tls-alpn-01", "device-attest-01"\)/,
    ],
    ['none at all', [], /no dns-01 \(but nothing\)/],
  ] as const)
    test(`a proof for which the server offers ${what}`, async () => {
      acme.changes = {
        'new-order': (ordinary) => ({ ...ordinary, body: { ...(ordinary.body as object), status: 'pending' } }),
        authorization: (ordinary) => ({
          ...ordinary,
          body: {
            status: 'pending',
            identifier: { type: 'dns', value: 'laptop.corp.example' },
            challenges: challenges.map((type) => ({
              type,
              url: `${acme.origin}/challenge/1`,
              status: 'pending',
              token: 'A'.repeat(22),
            })),
          },
        }),
      };
      await fails('refused', detail);
    });

  const json =
    (body: unknown): Change =>
    (ordinary) => ({ ...ordinary, body: JSON.stringify(body) });
  const part =
    (more: object): Change =>
    (ordinary) => ({ ...ordinary, body: { ...(ordinary.body as object), ...more } });
  const other = pki.issue('other', { issuer: root });
  const hostile: readonly (readonly [
    string,
    Partial<Record<'directory' | 'account' | 'new-order' | 'order' | 'finalize' | 'certificate', Change>>,
    RegExp,
  ])[] = [
    ['a directory that is no JSON', { directory: (ordinary) => ({ ...ordinary, body: '<html>' }) }, /directory: not JSON/],
    ['a directory that is a list', { directory: json([]) }, /no object/],
    ['nesting without end', { directory: (ordinary) => ({ ...ordinary, body: '['.repeat(200_000) }) }, /not JSON/],
    ['another server in the directory', { directory: part({ newOrder: 'https://elsewhere.example/order' }) }, /another server/],
    ['plain http', { directory: part({ newOrder: 'http://127.0.0.1/order' }) }, /another server/],
    ['an order without a URL', { 'new-order': (ordinary) => ({ ...ordinary, headers: {} }) }, /URL of the order/],
    [
      'an order at another server',
      { 'new-order': (ordinary) => ({ ...ordinary, headers: { location: 'https://elsewhere.example/1' } }) },
      /another server/,
    ],
    [
      'an order for another name',
      { 'new-order': part({ identifiers: [{ type: 'dns', value: 'other.example' }] }) },
      /other names/,
    ],
    [
      'an order for more names',
      { 'new-order': part({ identifiers: ['laptop.corp.example', 'other.example'].map((value) => ({ type: 'dns', value })) }) },
      /other names/,
    ],
    [
      'an order that turns into one for another name',
      {
        'new-order': part({ status: 'pending', authorizations: [] }),
        order: part({ identifiers: [{ type: 'dns', value: 'other.example\nsend' }] }),
      },
      /other names/,
    ],
    [
      'an order that was one for another name all along',
      { finalize: part({ identifiers: [{ type: 'dns', value: 'other.example' }] }) },
      /other names/,
    ],
    ['an order in no state', { 'new-order': part({ status: 'maybe' }) }, /status "maybe"/],
    [
      'authorisations without number',
      { 'new-order': part({ status: 'pending', authorizations: Array.from({ length: 5000 }, () => 'x') }) },
      /5000 authorizations/,
    ],
    [
      'an account at another server',
      { account: (ordinary) => ({ ...ordinary, headers: { location: 'https://elsewhere.example/1' } }) },
      /another server/,
    ],
    [
      'an answer that is too long',
      { 'new-order': (ordinary) => ({ ...ordinary, body: 'x'.repeat(300_000) }) },
      /more than 262144 octets/,
    ],
    ['a certificate at another server', { finalize: part({ certificate: 'https://elsewhere.example/1' }) }, /another server/],
    [
      'a certificate of another type',
      { certificate: (ordinary) => ({ ...ordinary, headers: { 'content-type': 'text/html' } }) },
      /type "text\/html"/,
    ],
    [
      'a chain with a private key',
      { certificate: (ordinary) => ({ ...ordinary, body: (ordinary.body as string) + other.key }) },
      /not all certificates/,
    ],
    ['a chain of a hundred', { certificate: (ordinary) => ({ ...ordinary, body: other.pem.repeat(100) }) }, /chain of 100/],
    ['a certificate for another key', { certificate: (ordinary) => ({ ...ordinary, body: other.pem }) }, /for our key/],
    ['nothing', { certificate: (ordinary) => ({ ...ordinary, body: '' }) }, /chain of 0/],
  ];
  for (const [what, changes, detail] of hostile)
    test(`${what} changes nothing`, async () => {
      const mine = pki.issue('in use', { issuer: root, extensions: ['subjectAltName=DNS:laptop.corp.example'] });
      writeFileSync(file(), mine.key + mine.pem, { mode: 0o600 });
      acme.changes = changes;
      await fails('unusable', detail, { how: 'renew' });
      assert.equal(readFileSync(file(), 'utf8'), mine.key + mine.pem);
    });

  test('a signed request is sent to nobody else: a redirect is an answer like any other', async () => {
    const away: Change = (ordinary): Reply => ({ ...ordinary, status: 307, headers: { location: `${acme.origin}/new-order/2` } });
    acme.changes = { 'new-order': away };
    await fails('refused', /HTTP 307/);
    assert.equal(acme.topics().filter((topic) => topic === 'new-order').length, 1);
  });

  test('a file of the account that is not as it was written is said to be so, and stays', async () => {
    const state = acmeFile(directory, `m${count}`);
    writeFileSync(state, '{"key": "x"}', { mode: 0o600 });
    await fails('host', /not as it was written/);
    assert.equal(readFileSync(state, 'utf8'), '{"key": "x"}');
  });
});
