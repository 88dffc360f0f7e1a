import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { fromHex } from '@aovpn/bytes';
import { chooseScheme, ownAnnouncements } from '../../src/crypto/auth-signature.ts';
import { notify, pickAll, pickNotify } from '../../src/machine/pick.ts';
import { decodeAuthAnnouncements, encodeAuthAnnouncements } from '../../src/message/auth-announcement.ts';
import type { Message, Payload } from '../../src/message/payload.ts';
import { established } from '../../testkit/conversation.ts';
import { certificateConfig, hybridConfig, sharedPpk } from '../../testkit/world.ts';

const sha384 = fromHex('300a06082a8648ce3d040303');
const announced = (algorithm?: Uint8Array) => [{ method: 14, certificateLink: 0, ...(algorithm && { algorithm }) }];

suite('announcing authentication methods (RFC 9593)', () => {
  test('what the gateway understands comes before what we want most', () => {
    const own = ['ecdsa-sha256', 'ecdsa-sha384'] as const;
    assert.deepEqual(chooseScheme(own, [2, 3], announced(sha384)), { scheme: 'ecdsa-sha384', rfc7427: true });
    assert.deepEqual(chooseScheme(own, [2, 3], announced()), { scheme: 'ecdsa-sha256', rfc7427: true });
    assert.deepEqual(chooseScheme(own, [2, 3], [{ method: 10, certificateLink: 0 }]), { scheme: 'ecdsa-sha384', rfc7427: false });
  });

  test('a list without anything of ours is no reason not to try', () => {
    assert.deepEqual(chooseScheme(['ecdsa-sha256'], [2], announced(sha384)), { scheme: 'ecdsa-sha256', rfc7427: true });
    assert.deepEqual(chooseScheme(['ecdsa-sha256'], undefined, []), { scheme: 'ecdsa-sha256', rfc7427: false });
  });

  /* <-- IKE_SA_INIT { …, N(SUPPORTED_AUTH_METHODS) }   IKE_AUTH SK { IDi, …, N(SUPPORTED_AUTH_METHODS) } --> */
  test('ours go to a gateway that has named its own: every scheme but SHA-1, and no shared key', () => {
    const { responder } = established(certificateConfig, { authMethods: announced() });
    const told = decodeAuthAnnouncements(pickNotify(responder.heard[1]!.payloads, 16443)!.data);
    assert.deepEqual(told, ownAnnouncements());
    assert.equal(told.length, 10);
    assert.ok(told.every(({ method }) => method === 14));
  });

  test('nobody else hears of it', () => {
    assert.equal(pickNotify(established().responder.heard[1]!.payloads, 16443), undefined);
  });

  test('several notifications are one list', () => {
    const split = (payloads: readonly Payload[], { header }: Message) =>
      header.exchange === 34
        ? [...payloads, ...[announced(sha384), announced()].map((list) => notify(16443, encodeAuthAnnouncements(list)))]
        : payloads;
    const { client } = established(certificateConfig, { impair: split });
    assert.deepEqual(client.sa.peer.authMethods, [...announced(sha384), ...announced()]);
  });

  /*
   * <-- IKE_SA_INIT { …, CERTREQ, N(SUPPORTED_AUTH_METHODS)() }
   * <-- IKE_INTERMEDIATE SK { [KEr(1),] [N(PPK_IDENTITY),] CERTREQ, N(SUPPORTED_AUTH_METHODS)(…) }
   */
  test('an empty one says that the list comes in IKE_INTERMEDIATE, beside CERTREQ: it is taken from there, and ours goes to the gateway', () => {
    const later = (payloads: readonly Payload[], { header }: Message): readonly Payload[] =>
      header.exchange === 43
        ? [
            ...payloads,
            { kind: 'CERTREQ', encoding: 4, authorities: new Uint8Array(20) },
            notify(16443, encodeAuthAnnouncements(announced(sha384))),
          ]
        : payloads;
    const { ikeProposals } = hybridConfig;
    const ppk = { ...sharedPpk, required: true };
    for (const [config, options] of [
      [hybridConfig, { ikeProposals }],
      [
        { ...certificateConfig, ppk },
        { ppk, ppkEarly: true },
      ],
    ] as const) {
      const { client, responder } = established(config, { ...options, authMethods: [], impair: later });
      assert.deepEqual(client.sa.peer.authMethods, announced(sha384));
      const [, intermediate, auth] = responder.heard;
      assert.equal(intermediate!.header.exchange, 43);
      assert.ok(pickNotify(auth!.payloads, 16443));
    }
  });

  test('an empty one without an IKE_INTERMEDIATE exchange: none is made for it, and the hashes of RFC 7427 decide', () => {
    const { client, responder } = established(certificateConfig, { authMethods: [] });
    assert.deepEqual(client.sa.peer.authMethods, []);
    assert.equal(responder.heard[1]!.header.exchange, 35);
  });
});

suite('OCSP in IKEv2 (RFC 4806)', () => {
  const responses = [Uint8Array.of(1), Uint8Array.of(2)];
  /* IKE_AUTH SK { IDi, CERTREQ, CERTREQ(OCSP), … } -->   <-- IKE_AUTH SK { IDr, CERT, CERT(OCSP), AUTH, … } */
  test('asked for, and handed on with the question about the certificate', () => {
    const { client, responder } = established({ ...certificateConfig, ocsp: true }, { ocspResponses: responses });
    const requests = pickAll(responder.heard[1]!.payloads, 'CERTREQ');
    assert.deepEqual(
      requests.map(({ encoding, authorities }) => [encoding, authorities.length]),
      [
        [4, 20],
        [14, 0],
      ],
    );
    const question = client.last('verify-gateway')!;
    assert.deepEqual(question.ocspResponses, responses);
    assert.equal(question.certificates.length, 1, 'they are no certificates');
  });

  test('unasked there are none; more than eight are not looked at', () => {
    const { client, responder } = established(certificateConfig, { ocspResponses: responses });
    assert.equal(pickAll(responder.heard[1]!.payloads, 'CERTREQ').length, 1);
    assert.deepEqual(client.last('verify-gateway')!.ocspResponses, []);
    const many = established(
      { ...certificateConfig, ocsp: true },
      { ocspResponses: Array.from({ length: 9 }, () => responses[0]!) },
    );
    assert.equal(many.client.last('verify-gateway')!.ocspResponses.length, 8);
  });
});
