import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { suite, test } from 'node:test';
import { concat, encodeUtf8 } from '@aovpn/bytes';
import { notify, pickAll, pickNotify } from '../../src/machine/pick.ts';
import type { Message, Payload } from '../../src/message/payload.ts';
import { createPair, established, talk } from '../../testkit/conversation.ts';
import { certificateConfig, clientKey, gatewayKey } from '../../testkit/world.ts';

const hash = new Uint8Array(20).fill(7);
const url = 'http://pki.example.com/gateway.der';
const reference = (encoding: number, where = url): Payload => ({ kind: 'CERT', encoding, data: concat(hash, encodeUtf8(where)) });
const fetching = { ...certificateConfig, fetchesCertificates: true };

/** The gateway's certificates are these instead. */
function sending(...certificates: readonly Payload[]) {
  const impair = (payloads: readonly Payload[], { header }: Message): readonly Payload[] =>
    header.exchange === 35 ? [...certificates, ...payloads.filter(({ kind }) => kind !== 'CERT')] : payloads;
  return { impair };
}

/*
 * IKE_AUTH SK { IDi, CERT, CERTREQ, N(HTTP_CERT_LOOKUP_SUPPORTED), … } -->
 *                                                   <-- IKE_AUTH SK { IDr, CERT (Hash and URL), AUTH, … }
 */
suite('certificates by hash and URL (RFC 7296 §3.6)', () => {
  test('that we fetch them is said beside CERTREQ, and only where the host may', () => {
    const said = ({ responder }: ReturnType<typeof established>) => pickNotify(responder.heard[1]!.payloads, 16392);
    assert.ok(said(established(fetching)));
    assert.equal(said(established()), undefined);
  });

  test('what is elsewhere is handed to the host in its place, with its digest, and nothing is believed before the verdict', () => {
    const inline: Payload = { kind: 'CERT', encoding: 4, data: gatewayKey.spki };
    const pair = createPair(fetching, sending(reference(12), inline, reference(13, 'http://pki.example.com/more')));
    pair.client.host.verify = false;
    talk(pair);
    const question = pair.client.last('verify-gateway')!;
    assert.deepEqual(question.certificates, [gatewayKey.spki]);
    assert.deepEqual(question.references, [
      { before: 0, bundle: false, hash, url },
      { before: 1, bundle: true, hash, url: 'http://pki.example.com/more' },
    ]);
    assert.equal(pair.client.phase, 'auth-await-verdict');
    pair.client.answer(question);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
  });

  test('the only certificate may be elsewhere', () => {
    const { client } = established(fetching, sending(reference(12)));
    assert.equal(client.last('verify-gateway')!.references.length, 1);
  });

  test('unasked they count for nothing: no question to the host, no connection', () => {
    const pair = createPair(certificateConfig, sending(reference(12), reference(13)));
    talk(pair);
    assert.equal(pair.client.count('verify-gateway'), 0);
    assert.ok(pair.client.end?.kind === 'failed' && pair.client.end.failure.kind === 'gateway-refused');
    const beside = established(certificateConfig, sending(reference(12), { kind: 'CERT', encoding: 4, data: gatewayKey.spki }));
    assert.deepEqual(beside.client.last('verify-gateway')!.references, []);
  });

  test('more than four, and what is no URL, are passed over', () => {
    const many = Array.from({ length: 9 }, (_, i) => reference(12, `${url}?${i}`));
    const wrong = ['', 'http://pki.example.com/a b', `http://pki.example.com/${'x'.repeat(1100)}`, 'http://\u0000'].map((where) =>
      reference(12, where),
    );
    const short: Payload = { kind: 'CERT', encoding: 12, data: new Uint8Array(19) };
    const { client } = established(fetching, sending(...wrong, short, ...many));
    assert.deepEqual(
      client.last('verify-gateway')!.references.map((one) => one.url),
      [0, 1, 2, 3].map((i) => `${url}?${i}`),
    );
  });

  test('ours goes so to a gateway that fetches, with the digest of the certificate; to any other as it is', () => {
    const { auth } = certificateConfig;
    assert.ok(auth.kind === 'certificate');
    const above = Uint8Array.of(9, 9);
    const own = { ...auth, certificates: [clientKey.spki, above], certificateUrl: 'http://pki.example.com/laptop.der' };
    const config = { ...certificateConfig, auth: own };
    const announces = (payloads: readonly Payload[], { header }: Message) =>
      header.exchange === 34 ? [...payloads, notify(16392)] : payloads;
    const pair = createPair(config, { impair: announces });
    talk(pair);
    const digest = new Uint8Array(createHash('sha1').update(clientKey.spki).digest());
    assert.deepEqual(pickAll(pair.responder.heard[1]!.payloads, 'CERT'), [
      { kind: 'CERT', encoding: 12, data: concat(digest, encodeUtf8(own.certificateUrl)) },
      { kind: 'CERT', encoding: 4, data: above },
    ]);
    const plain = established(config);
    assert.deepEqual(
      pickAll(plain.responder.heard[1]!.payloads, 'CERT').map(({ encoding }) => encoding),
      [4, 4],
    );
  });
});
