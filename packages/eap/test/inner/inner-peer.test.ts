import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeUtf8, fromHex, toHex } from '@aovpn/bytes';
import type { InnerEapConfig } from '../../src/peer-contract.ts';
import {
  answerInner,
  forgetInner,
  receiveInner,
  startInnerPeer,
  type InnerPeer,
  type InnerStep,
} from '../../src/inner/inner-peer.ts';
import { testCrypto } from '../crypto.ts';
import { mschapChallenge, mschapText, request, success } from '../packet-writer.ts';
import { trust } from '../script.ts';

// RFC 2759 §9.2.
const authenticator = fromHex('5b5d7c7d7b3f2f3e3c2c602132262628');
const peerChallenge = fromHex('21402324255e262a28295f2b3a337c7e');
const proof = 'S=407A5589115FD0D6209F510FE9C04566932CDA56';
const crypto = testCrypto((length) => (length === 16 ? peerChallenge.slice() : new Uint8Array(length)));
const password: InnerEapConfig = { identity: 'User', method: { kind: 'mschapv2', userName: 'User' } };

function response(step: InnerStep): string {
  assert.ok(step.response);
  return toHex(step.response);
}

function responded(): InnerPeer {
  const asked = receiveInner(crypto, startInnerPeer(password), mschapChallenge(1, authenticator));
  assert.equal(asked.ask?.kind, 'need-secret');
  return answerInner(crypto, asked.peer, { kind: 'secret', request: 77, secret: encodeUtf8('clientPass') }).peer;
}

suite('inner EAP peer', () => {
  test('Identity, the inner one', () => {
    assert.equal(
      response(receiveInner(crypto, startInnerPeer(password), request(1, 1))),
      `0201000901${toHex(encodeUtf8('User'))}`,
    );
  });

  test('an answer finds its question whatever number the outer peer gave it', () => {
    assert.ok(responded().conversation.last);
  });

  test('EAP-MSCHAPv2 ends with its key, without an EAP-Success of its own', () => {
    const step = receiveInner(crypto, responded(), mschapText(2, 3, proof));
    assert.equal(response(step), '020200061a03');
    assert.ok(step.outcome?.kind === 'succeeded' && step.outcome.msk.length === 64);
  });

  test('an inner EAP-Success too early', () => {
    for (const peer of [startInnerPeer(password), responded()]) {
      const { outcome } = receiveInner(crypto, peer, success(1));
      assert.ok(outcome?.kind === 'failed' && outcome.failure.kind === 'out-of-order');
    }
  });

  test('EAP-GTC: complete with each answer, taken back by the next question', () => {
    const token: InnerEapConfig = { identity: 'User', method: { kind: 'gtc', userName: 'User' } };
    const first = receiveInner(crypto, startInnerPeer(token), request(1, 6, encodeUtf8('Password: ')));
    assert.equal(first.outcome, undefined);
    const answered = answerInner(crypto, first.peer, { kind: 'secret', request: 1, secret: encodeUtf8('one') });
    assert.ok(answered.outcome?.kind === 'succeeded' && answered.outcome.mayContinue);
    const second = receiveInner(crypto, answered.peer, request(2, 6, encodeUtf8('Code: ')));
    assert.equal(second.outcome, undefined);
    assert.equal(second.ask?.kind, 'need-secret');
  });

  test('TLS inside is the channel "inner"', () => {
    const peer = startInnerPeer({ identity: 'user', method: { kind: 'tls', trust } });
    const { ask } = receiveInner(crypto, peer, request(1, 13, Uint8Array.of(0x20)));
    assert.ok(ask?.kind === 'tls-start' && ask.channel === 'inner' && ask.clientCertificate && !ask.resume);
  });

  test('another method: Nak; an expanded type: Expanded Nak, or the legacy one on request (RFC 3748 §5.3)', () => {
    const vendor = fromHex('0109000dfe00013700000001aa');
    assert.equal(response(receiveInner(crypto, startInnerPeer(password), request(1, 6))), '02010006031a');
    assert.equal(response(receiveInner(crypto, startInnerPeer(password), vendor)), '02090014fe00000000000003fe0000000000001a');
    assert.equal(response(receiveInner(crypto, startInnerPeer(password, { expandedNak: false }), vendor)), '02090006031a');
  });

  test('tunnels do not nest', () => {
    assert.equal(response(receiveInner(crypto, startInnerPeer(password), request(1, 25, Uint8Array.of(0x20)))), '02010006031a');
    assert.equal(response(receiveInner(crypto, startInnerPeer(password), request(1, 21, Uint8Array.of(0x20)))), '02010006031a');
  });

  test('forgetting a peer that has not begun is harmless', () => forgetInner(startInnerPeer(password)));
});
