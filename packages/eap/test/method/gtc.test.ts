import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeUtf8, toHex } from '@aovpn/bytes';
import type { EapAction } from '../../src/peer-contract.ts';
import { answerInner, receiveInner, startInnerPeer, type InnerPeer, type InnerStep } from '../../src/inner/inner-peer.ts';
import { gtcMethod, secretAskedFor } from '../../src/method/gtc.ts';
import { testCrypto } from '../crypto.ts';
import { failure, request, success } from '../packet-writer.ts';

const crypto = testCrypto();

/** A peer in a tunnel that remembers its state. */
class GtcScript {
  peer: InnerPeer = startInnerPeer({ identity: 'bob@example.com', method: { kind: 'gtc', userName: 'bob' } });

  ask(identifier: number, message: string | Uint8Array): InnerStep {
    return this.#take(
      receiveInner(crypto, this.peer, request(identifier, 6, typeof message === 'string' ? encodeUtf8(message) : message)),
    );
  }

  packet(packet: Uint8Array): InnerStep {
    return this.#take(receiveInner(crypto, this.peer, packet));
  }

  answer(secret: Uint8Array | undefined): InnerStep {
    return this.#take(answerInner(crypto, this.peer, { kind: 'secret', request: 0, secret }));
  }

  #take(step: InnerStep): InnerStep {
    this.peer = step.peer;
    return step;
  }
}

function asked({ ask }: InnerStep): Omit<Extract<EapAction, { kind: 'need-secret' }>, 'kind' | 'request'> {
  assert.equal(ask?.kind, 'need-secret');
  const { what, userName, retry, message } = ask as Extract<EapAction, { kind: 'need-secret' }>;
  return message === undefined ? { what, userName, retry } : { what, userName, retry, message };
}

suite('EAP-GTC (RFC 3748 §5.6), in a tunnel: Request(message) ⟶ ⟵ Response(answer), EAP-Success ⟶', () => {
  test('the stored password, as FreeRADIUS asks for it', () => {
    const script = new GtcScript();
    assert.deepEqual(asked(script.ask(1, 'Password: ')), {
      what: 'password',
      userName: 'bob',
      retry: false,
      message: 'Password:',
    });
    const secret = encodeUtf8('hello');
    const { response, outcome } = script.answer(secret);
    assert.equal(toHex(response!), `0201000a06${toHex(encodeUtf8('hello'))}`);
    assert.deepEqual(secret, new Uint8Array(5), 'the password is overwritten once used');
    assert.ok(outcome?.kind === 'succeeded' && outcome.mayContinue && outcome.msk.length === 0);
    assert.deepEqual(script.packet(success(1)).outcome?.kind, 'succeeded');
  });

  test('a code, then the next code: nothing has succeeded while a question is open', () => {
    const script = new GtcScript();
    assert.deepEqual(asked(script.ask(1, 'Enter PASSCODE:')).what, 'token');
    script.answer(encodeUtf8('123456'));
    const next = script.ask(2, 'Wait for the code to change, then enter it');
    assert.deepEqual(asked(next), {
      what: 'token',
      userName: 'bob',
      retry: false,
      message: 'Wait for the code to change, then enter it',
    });
    assert.equal(next.outcome, undefined);
    assert.equal(script.packet(success(2)).outcome?.kind, 'failed', 'a Success while we think');
  });

  test('the same question again: the answer was wrong, and is not sent twice', () => {
    const script = new GtcScript();
    script.ask(1, 'Password: ');
    script.answer(encodeUtf8('hello'));
    assert.equal(asked(script.ask(2, 'Password: ')).retry, true);
    const { outcome, response } = script.answer(encodeUtf8('hello'));
    assert.ok(outcome?.kind === 'failed' && outcome.failure.kind === 'wrong-password');
    assert.equal(response, undefined);
  });

  test('a wrong password and no other', () => {
    const script = new GtcScript();
    script.ask(1, 'Password: ');
    script.answer(encodeUtf8('hello'));
    script.ask(2, 'Password: ');
    const { outcome } = script.answer(undefined);
    assert.ok(outcome?.kind === 'failed' && outcome.failure.kind === 'wrong-password');
  });

  for (const [name, secret] of [
    ['none', undefined],
    ['empty', new Uint8Array(0)],
    ['longer than any', new Uint8Array(1025).fill(0x41)],
  ] as const) {
    test(`no answer: ${name}`, () => {
      const script = new GtcScript();
      script.ask(1, 'Password: ');
      const { outcome, response } = script.answer(secret);
      assert.ok(outcome?.kind === 'failed' && outcome.failure.kind === 'no-secret');
      assert.equal(response, undefined);
    });
  }

  test('a server that never stops asking', () => {
    const script = new GtcScript();
    for (let i = 1; i <= 8; i++) {
      asked(script.ask(i, `Code ${i}`));
      assert.equal(script.answer(encodeUtf8(String(i))).outcome?.kind, 'succeeded');
    }
    const { outcome } = script.ask(9, 'Code 9');
    assert.ok(outcome?.kind === 'failed' && outcome.failure.kind === 'out-of-order');
  });

  test('EAP-Failure after the answer', () => {
    const script = new GtcScript();
    script.ask(1, 'Password: ');
    script.answer(encodeUtf8('hello'));
    const { outcome } = script.packet(failure(1));
    assert.ok(outcome?.kind === 'failed' && outcome.failure.kind === 'rejected');
  });

  test('what the server says is shown without control characters', () => {
    const script = new GtcScript();
    assert.equal(asked(script.ask(1, '\u001b[2JPass\u202eword\n:')).message, '[2JPass word :');
  });

  test('messages of 0, 1, 1015 and 1016 octets', () => {
    assert.deepEqual(asked(new GtcScript().ask(1, '')), { what: 'password', userName: 'bob', retry: false });
    assert.equal(asked(new GtcScript().ask(1, '?')).what, 'token');
    assert.equal(asked(new GtcScript().ask(1, new Uint8Array(1015).fill(0x41))).message?.length, 512);
    const { outcome } = new GtcScript().ask(1, new Uint8Array(1016).fill(0x41));
    assert.ok(outcome?.kind === 'failed' && outcome.failure.kind === 'malformed');
  });

  test('forgetting overwrites the last answer', () => {
    let state = gtcMethod.begin({ kind: 'gtc', userName: 'bob' }, 'inner');
    state = gtcMethod.receive(crypto, state, encodeUtf8('Password:'), 1).state;
    state = gtcMethod.answer(crypto, state, { kind: 'secret', request: 0, secret: encodeUtf8('hello') }).state;
    assert.equal(toHex(state.previous!), toHex(encodeUtf8('hello')));
    gtcMethod.forget(state);
    assert.deepEqual(state.previous, new Uint8Array(5));
  });
});

suite('EAP-GTC: what a question asks for', () => {
  const cases = [
    ['', 'password'],
    ['Password: ', 'password'],
    ['Enter your domain password', 'password'],
    ['Passwort eingeben', 'password'],
    ['Mot de passe :', 'password'],
    ['PASSCODE', 'token'],
    ['Enter the code of your token', 'token'],
    ['One-time password:', 'token'],
    ['OTP password', 'token'],
    ['New password required', 'token'],
    ['PIN', 'token'],
  ] as const;
  for (const [message, what] of cases) test(`"${message}": ${what}`, () => assert.equal(secretAskedFor(message), what));
});
