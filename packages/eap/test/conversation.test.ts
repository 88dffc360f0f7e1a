import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { concat, encodeUtf8, fromHex } from '@aovpn/bytes';
import { answerInner, forgetInner, receiveInner, startInnerPeer } from '../src/inner/inner-peer.ts';
import type { EapAction, EapEvent, EapFailure } from '../src/peer-contract.ts';
import { testCrypto } from './crypto.ts';
import { failure, mschapChallenge, mschapText, request, success, tls } from './packet-writer.ts';
import { find, passwordUser, Script, tlsUser } from './script.ts';
import { TtlsScript } from './ttls/ttls-script.ts';

// RFC 2759 §9.2.
const authenticator = fromHex('5b5d7c7d7b3f2f3e3c2c602132262628');
const peer = fromHex('21402324255e262a28295f2b3a337c7e');
const proof = 'S=407A5589115FD0D6209F510FE9C04566932CDA56';
const crypto = testCrypto((length) => (length === 16 ? peer.slice() : new Uint8Array(length)));

function isZero(octets: Uint8Array | undefined): boolean {
  return octets !== undefined && octets.length > 0 && octets.every((octet) => octet === 0);
}

function askedForPassword(): { readonly script: Script; readonly request: number } {
  const script = new Script(passwordUser, crypto);
  const { request: number } = find(script.packet(mschapChallenge(5, authenticator)), 'need-secret');
  return { script, request: number };
}

suite('secrets have an end', () => {
  test('a password for another question, or after the end, is overwritten all the same', () => {
    const { script, request: number } = askedForPassword();
    const stale = encodeUtf8('clientPass');
    assert.deepEqual(script.step({ kind: 'secret', request: number - 1, secret: stale }), []);
    assert.ok(isZero(stale));
    find(script.packet(failure(5)), 'failed');
    const late = encodeUtf8('clientPass');
    assert.deepEqual(script.step({ kind: 'secret', request: number, secret: late }), []);
    assert.ok(isZero(late));
  });

  test('keys of a TLS that nobody waits for are overwritten', () => {
    const script = new Script(tlsUser, crypto);
    const keyMaterial = new Uint8Array(128).fill(7);
    const state = { kind: 'established', version: '1.3', resumed: false, keyMaterial, sessionId: new Uint8Array() } as const;
    const none = new Uint8Array();
    script.step({ kind: 'tls-output', request: 9, records: none, state, applicationData: none });
    assert.ok(isZero(keyMaterial));
  });

  test('keys of a tunnel that is refused are overwritten', () => {
    const script = new TtlsScript({ kind: 'pap', userName: 'User' }, '1.2', crypto);
    const keyMaterial = new Uint8Array(128).fill(7);
    assert.equal(find(script.open({ resumed: true, keyMaterial }), 'failed').failure.kind, 'server-not-proven');
    assert.ok(isZero(keyMaterial));
  });

  test('the answer of EAP-GTC is in no Response that is kept', () => {
    const token = { identity: 'User', method: { kind: 'gtc', userName: 'User' } } as const;
    const asked = receiveInner(crypto, startInnerPeer(token), request(1, 6, encodeUtf8('Password: ')));
    const step = answerInner(crypto, asked.peer, { kind: 'secret', request: 1, secret: encodeUtf8('one') });
    const kept = step.peer.conversation.last?.response;
    assert.deepEqual(kept?.slice(5), encodeUtf8('one'));
    assert.notEqual(kept, step.response, 'whoever sends it owns a copy');
    const next = receiveInner(crypto, step.peer, request(2, 6, encodeUtf8('Code: ')));
    const second = answerInner(crypto, next.peer, { kind: 'secret', request: 1, secret: encodeUtf8('two') });
    assert.ok(isZero(kept), 'after the next Response');
    forgetInner(second.peer);
    assert.ok(isZero(second.peer.conversation.last?.response), 'at the end');
  });

  test('a Response that is sent again was not touched by whoever sent it first', () => {
    const script = new Script(passwordUser, crypto);
    const first = script.reply(request(1, 1));
    const wanted = first.slice();
    first.fill(0);
    assert.deepEqual(script.reply(request(1, 1)), wanted);
  });

  test("a method's own MSK is overwritten once it is handed out", () => {
    const seen: Uint8Array[] = [];
    const { script, request: number } = askedForPassword();
    script.step({ kind: 'secret', request: number, secret: encodeUtf8('clientPass') });
    const { terms } = script.state;
    const method = { ...terms.method, receive: wrap(terms.method, seen) };
    script.state = { ...script.state, terms: { ...terms, method } };
    const { msk } = find(script.packet(mschapText(6, 3, proof)), 'succeeded');
    assert.ok(!isZero(msk));
    assert.ok(isZero(seen[0]));
    assert.deepEqual(script.packet(success(6)), []);
  });
});

type Method = Script['state']['terms']['method'];

function wrap(method: Method, seen: Uint8Array[]): Method['receive'] {
  return (eapCrypto, state, data, identifier) => {
    const step = method.receive(eapCrypto, state, data, identifier);
    if (step.outcome?.kind === 'succeeded') seen.push(step.outcome.msk);
    return step;
  };
}

suite('a rejection without a word of why', () => {
  const failed = (actions: readonly EapAction[]): EapFailure => find(actions, 'failed').failure;

  function ttls(kind: 'pap' | 'chap' | 'mschap' | 'mschapv2'): TtlsScript {
    const script = new TtlsScript({ kind, userName: 'User' }, '1.2', crypto);
    script.secret(script.open(), encodeUtf8('wrong'));
    return script;
  }

  for (const kind of ['pap', 'chap', 'mschap', 'mschapv2'] as const) {
    test(`right after the password, EAP-TTLS/${kind}: most likely that`, () => {
      const script = ttls(kind);
      const found = failed(script.packet(failure(script.identifier)));
      assert.deepEqual([found.kind, found.unexplained], ['rejected', 'secret']);
      assert.match(found.detail, /^EAP-Failure; the server gives no reason/);
    });
  }

  test('EAP-MSCHAPv2 without a Failure Request', () => {
    const { script, request: number } = askedForPassword();
    script.step({ kind: 'secret', request: number, secret: encodeUtf8('wrong') });
    assert.equal(failed(script.packet(failure(5))).unexplained, 'secret');
  });

  test('before the password, and after the server has proven that it knows it: something else', () => {
    const { script, request: number } = askedForPassword();
    assert.equal(failed(script.packet(failure(5))).unexplained, undefined);
    const other = askedForPassword();
    assert.equal(other.request, number);
    other.script.step({ kind: 'secret', request: number, secret: encodeUtf8('clientPass') });
    find(other.script.packet(mschapText(6, 3, proof)), 'succeeded');
    assert.equal(failed(other.script.packet(failure(6))).unexplained, undefined);
    const tunnel = new TtlsScript({ kind: 'pap', userName: 'User' }, '1.2', crypto);
    tunnel.open();
    assert.equal(failed(tunnel.packet(failure(tunnel.identifier))).unexplained, undefined);
    const tls = new Script(tlsUser, crypto);
    tls.packet(request(1, 13, Uint8Array.of(0x20)));
    assert.equal(failed(tls.packet(failure(1))).unexplained, undefined);
  });

  // Handshake record of a TLS 1.2 client: Certificate of three octets more than an empty list, or an empty one.
  const shown = fromHex('1603030010 0b000006 000003 aabbcc'.replaceAll(' ', ''));
  const nothingShown = fromHex('1603030007 0b000003 000000'.replaceAll(' ', ''));
  const secondHello = fromHex('1603030004 01000000'.replaceAll(' ', ''));
  const none = new Uint8Array();
  const keyMaterial = (): Uint8Array => new Uint8Array(128).fill(7);
  type TlsState = Extract<EapEvent, { kind: 'tls-output' }>['state'];
  const handshaking: TlsState = { kind: 'handshaking' };
  const established = (version: '1.2' | '1.3'): TlsState =>
    ({ kind: 'established', version, resumed: false, keyMaterial: keyMaterial(), sessionId: none }) as const;

  /** The client's second flight, TLS standing where `state` says; then the server's answer to that, if any. */
  function flown(flight: Uint8Array, state: TlsState): Script {
    const script = new Script(tlsUser);
    const answer = (request: number, records: Uint8Array, now: TlsState): void => {
      script.step({ kind: 'tls-output', request, records, state: now, applicationData: none });
    };
    answer(find(script.packet(tls(1, 0x20)), 'tls-start').request, secondHello, handshaking);
    answer(find(script.packet(tls(2, 0, Uint8Array.of(1))), 'tls-input').request, flight, state);
    return script;
  }

  for (const [version, script] of [
    ['1.2', () => flown(shown, handshaking)],
    ['1.3', () => flown(Uint8Array.of(0x17), established('1.3'))],
  ] as const) {
    test(`right after our certificate, EAP-TLS with TLS ${version}: most likely that`, () => {
      const found = failed(script().packet(failure(2)));
      assert.deepEqual([found.kind, found.unexplained], ['rejected', 'certificate']);
      assert.match(found.detail, /certificate that it has just been shown/);
    });
  }

  test('before our certificate was shown, or once the server has taken it: something else', () => {
    const early = new Script(tlsUser);
    const { request: number } = find(early.packet(tls(1, 0x20)), 'tls-start');
    early.step({ kind: 'tls-output', request: number, records: secondHello, state: handshaking, applicationData: none });
    assert.equal(failed(early.packet(failure(1))).unexplained, undefined);
    for (const flight of [nothingShown, secondHello, shown.subarray(0, 9), concat(shown, new Uint8Array(1500))]) {
      assert.equal(failed(flown(flight, handshaking).packet(failure(2))).unexplained, undefined, `${flight.length} octets`);
    }
    const taken = flown(shown, handshaking);
    const { request: next } = find(taken.packet(tls(3, 0, Uint8Array.of(2))), 'tls-input');
    taken.step({ kind: 'tls-output', request: next, records: none, state: established('1.2'), applicationData: none });
    assert.equal(failed(taken.packet(failure(3))).unexplained, undefined);
  });

  test('with a number there is a reason', () => {
    const { script, request: number } = askedForPassword();
    script.step({ kind: 'secret', request: number, secret: encodeUtf8('wrong') });
    const found = failed(script.packet(mschapText(6, 4, 'E=999 R=0 M=No')));
    assert.deepEqual([found.kind, found.number, found.unexplained], ['rejected', 999, undefined]);
  });
});
