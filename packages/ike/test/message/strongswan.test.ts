// Whole exchanges with a responder that we did not write, as captured: keys, protection, fragments and AUTH of another implementation.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { encodeUtf8, formatPrefix, fromHex, toHex } from '@aovpn/bytes';
import {
  acceptIkeProposal,
  checkExchange,
  decodeConfigurationReply,
  deriveIkeKeys,
  emptyReassembly,
  encodeMessage,
  encodePayloadBody,
  openDatagram,
  sharedKeyAuth,
  signedOctets,
  suiteName,
  type DirectionKeys,
  type Message,
  type Payload,
} from '@aovpn/ike';
import { crypto } from './sample.ts';

interface Capture {
  readonly preSharedKey: string;
  readonly secret: string;
  readonly initRequest: string;
  readonly initResponse: string;
  readonly authRequest: readonly string[];
  readonly authResponse: readonly string[];
}

for (const [name, wanted] of [
  ['aes-gcm-256-x25519', 'AES-GCM-16-256 / PRF-HMAC-SHA2-256 / X25519'],
  ['aes-cbc-256-modp2048', 'AES-CBC-256 / HMAC-SHA2-384-192 / PRF-HMAC-SHA2-384 / MODP2048'],
] as const) {
  suite(`strongSwan, ${name}`, () => {
    const capture = JSON.parse(readFileSync(join(import.meta.dirname, 'fixtures', `strongswan-${name}.json`), 'utf8')) as Capture;
    const request = openInit(capture.initRequest);
    const response = openInit(capture.initResponse);
    const accepted = acceptIkeProposal(find(request, 'SA').proposals, find(response, 'SA').proposals);
    assert.ok('spi' in accepted);
    const { spiI, spiR } = response.header;
    const [nonceI, nonceR] = [find(request, 'NONCE').data, find(response, 'NONCE').data];
    const keys = deriveIkeKeys(crypto, accepted, { sharedSecret: fromHex(capture.secret), nonceI, nonceR, spiI, spiR });

    const openAll = (datagrams: readonly string[], direction: DirectionKeys): Message => {
      let reassembly = emptyReassembly;
      for (const datagram of datagrams) {
        const outcome = openDatagram(crypto, fromHex(datagram), { suite: accepted, keys: direction, reassembly });
        if (outcome.kind === 'message') return outcome.message;
        assert.ok(outcome.kind === 'partial', JSON.stringify(outcome));
        ({ reassembly } = outcome);
      }
      return assert.fail('not complete');
    };

    test('IKE_SA_INIT: read, in order, written again to the same octets', () => {
      assert.equal(suiteName(accepted), wanted);
      assert.deepEqual([checkExchange(request, 'ike-sa-init'), checkExchange(response, 'ike-sa-init')], [[], []]);
      assert.equal(toHex(encodeMessage(request)), capture.initRequest);
      assert.equal(toHex(encodeMessage(response)), capture.initResponse);
    });

    test('IKE_AUTH in fragments, in order and backwards: both AUTH values are right', () => {
      assert.ok(capture.authRequest.length > 1 && capture.authResponse.length > 1);
      for (const order of [capture.authResponse, capture.authResponse.toReversed()]) {
        const auth = openAll(order, keys.responder);
        assert.deepEqual(checkExchange(auth, 'ike-auth-first'), []);
        const body = encodePayloadBody(find(auth, 'IDr'));
        const octets = signedOctets(crypto, accepted.prf, keys.skPr, fromHex(capture.initResponse), nonceI, body);
        const expected = sharedKeyAuth(crypto, accepted.prf, encodeUtf8(capture.preSharedKey), octets);
        assert.equal(toHex(find(auth, 'AUTH').data), toHex(expected));
        const configuration = decodeConfigurationReply(find(auth, 'CP').attributes);
        assert.deepEqual('subnets' in configuration && configuration.subnets.map(formatPrefix), ['10.7.0.0/16']);
      }
      const sent = openAll(capture.authRequest, keys.initiator);
      assert.deepEqual(checkExchange(sent, 'ike-auth-first'), []);
      const octets = signedOctets(
        crypto,
        accepted.prf,
        keys.skPi,
        fromHex(capture.initRequest),
        nonceR,
        encodePayloadBody(find(sent, 'IDi')),
      );
      assert.equal(
        toHex(find(sent, 'AUTH').data),
        toHex(sharedKeyAuth(crypto, accepted.prf, encodeUtf8(capture.preSharedKey), octets)),
      );
    });

    test('cut anywhere, each of its datagrams is ignored', () => {
      for (const datagram of [...capture.authResponse, capture.initResponse].map(fromHex)) {
        for (let length = 0; length < datagram.length; length++) {
          const outcome = openDatagram(crypto, datagram.subarray(0, length), {
            suite: accepted,
            keys: keys.responder,
            reassembly: emptyReassembly,
          });
          assert.equal(outcome.kind, 'ignore');
        }
      }
    });
  });
}

function openInit(datagram: string): Message {
  const outcome = openDatagram(crypto, fromHex(datagram), { reassembly: emptyReassembly });
  return outcome.kind === 'message' ? outcome.message : assert.fail(JSON.stringify(outcome));
}

function find<Kind extends Payload['kind']>(message: Message, kind: Kind): Extract<Payload, { kind: Kind }> {
  const found = message.payloads.find((payload) => payload.kind === kind);
  return (found ?? assert.fail(`no ${kind}`)) as Extract<Payload, { kind: Kind }>;
}
