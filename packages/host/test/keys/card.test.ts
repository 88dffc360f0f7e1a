import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, suite, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { HostError } from '../../src/host-error.ts';
import { CKM, CKR } from '../../src/keys/pkcs11/constant.ts';
import type { AskPin, PinQuestion } from '../../src/keys/pkcs11/pin.ts';
import { Token } from '../../src/keys/pkcs11/token.ts';
import { FakeCard } from './fake-cryptoki.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'aovpn-card-'));
after(() => rmSync(directory, { recursive: true, force: true }));

let files = 0;
function pinFileOf(pin: string): string {
  const file = path.join(directory, `pin-${++files}`);
  writeFileSync(file, pin, { mode: 0o600 });
  return file;
}

let cards = 0;
/** Each with a serial number of its own: PINs that were refused are remembered by it. */
function newCard(): FakeCard {
  const card = new FakeCard();
  card.name.serial = `4711-${++cards}`;
  return card;
}

/** A person who types these, one after another, and then nothing. */
function person(...typed: readonly string[]): { askPin: AskPin; questions: PinQuestion[] } {
  const questions: PinQuestion[] = [];
  const answers = [...typed];
  const askPin = (question: PinQuestion): Promise<Uint8Array | undefined> => {
    questions.push(question);
    const answer = answers.shift();
    return Promise.resolve(answer === undefined ? undefined : new TextEncoder().encode(answer));
  };
  return { askPin, questions };
}

function tokenOf(card: FakeCard, pinFile?: string, askPin?: AskPin): Token {
  return new Token(card.module, { ...card.name }, { pinFile, askPin });
}

const id = Uint8Array.of(1);
const mechanism = { type: CKM.ECDSA };
const data = new TextEncoder().encode('data');

async function fails(code: string, promise: Promise<unknown>): Promise<void> {
  const error = await promise.then(
    () => assert.fail('no error'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof HostError, String(error));
  assert.equal(error.code, code, error.message);
}

suite('a card that counts wrong PINs', () => {
  test('a wrong PIN in a file costs one try, however often we sign', async () => {
    const card = newCard();
    const token = tokenOf(card, pinFileOf('9999'));
    await fails('AOV-HOST-152', token.sign(id, mechanism, data));
    for (let i = 0; i < 5; i++) await fails('AOV-HOST-157', token.sign(id, mechanism, data));
    assert.deepEqual(card.pinsTried, ['9999']);
    assert.equal(card.tries, 2);
  });

  test('several tunnels at once with the same wrong PIN cost one try', async () => {
    const card = newCard();
    const login = card.login.bind(card);
    // A card takes its time.
    card.login = async (...args) => {
      for (let i = 0; i < 50; i++) await nextTurn();
      return login(...args);
    };
    const pinFile = pinFileOf('9999');
    const outcomes = await Promise.allSettled([1, 2, 3].map(() => tokenOf(card, pinFile).sign(id, mechanism, data)));
    assert.ok(outcomes.every(({ status }) => status === 'rejected'));
    assert.deepEqual(card.pinsTried, ['9999']);
    const typed = [person('8888'), person('8888'), person('8888')];
    await Promise.allSettled(typed.map(({ askPin }) => tokenOf(card, undefined, askPin).sign(id, mechanism, data)));
    assert.deepEqual(card.pinsTried, ['9999', '8888']);
  });

  test('several at once with different ones in files leave the last try', async () => {
    const card = newCard();
    const login = card.login.bind(card);
    card.login = async (...args) => {
      for (let i = 0; i < 50; i++) await nextTurn();
      return login(...args);
    };
    const files = ['1', '2', '3', '4'].map(pinFileOf);
    await Promise.allSettled(files.map((file) => tokenOf(card, file).sign(id, mechanism, data)));
    assert.equal(card.pinsTried.length, 2);
    assert.equal(card.tries, 1);
  });

  test('a wrong PIN is remembered whichever module it comes by', async () => {
    const card = newCard();
    await fails('AOV-HOST-152', tokenOf(card, pinFileOf('9999')).sign(id, mechanism, data));
    const other = new Token(
      { ...card.module, path: '/other.so' },
      { ...card.name },
      { pinFile: pinFileOf('9999'), askPin: undefined },
    );
    await fails('AOV-HOST-157', other.sign(id, mechanism, data));
    assert.deepEqual(card.pinsTried, ['9999']);
  });

  test('the last try is nobody’s but a person’s, who is told', async () => {
    const card = newCard();
    card.tries = 1;
    await fails('AOV-HOST-157', tokenOf(card, pinFileOf('1234')).sign(id, mechanism, data));
    assert.deepEqual(card.pinsTried, []);
    const { askPin, questions } = person('1234');
    await tokenOf(card, pinFileOf('1234'), askPin).sign(id, mechanism, data);
    assert.equal(questions[0]?.finalTry, true);
    assert.equal(questions[0]?.countLow, true);
    assert.equal(card.tries, 3);
  });

  test('a person sees the tries run out, and what is locked says so', async () => {
    const card = newCard();
    const { askPin, questions } = person('1', '2', '3', '1234');
    const token = tokenOf(card, undefined, askPin);
    await fails('AOV-HOST-153', token.sign(id, mechanism, data));
    assert.deepEqual(
      questions.map(({ retry, countLow, finalTry }) => [retry, countLow, finalTry]),
      [
        [false, false, false],
        [true, true, false],
        [true, true, true],
      ],
    );
    // Locked: neither card nor person is troubled again.
    await fails('AOV-HOST-153', token.sign(id, mechanism, data));
    assert.equal(questions.length, 3);
    assert.deepEqual(card.pinsTried, ['1', '2', '3']);
  });

  test('a locked card with the right PIN in the file', async () => {
    const card = newCard();
    card.tries = 0;
    await fails('AOV-HOST-153', tokenOf(card, pinFileOf('1234')).sign(id, mechanism, data));
    assert.deepEqual(card.pinsTried, []);
  });

  test('the file is wrong, the person right; then nobody is asked again', async () => {
    const card = newCard();
    const { askPin, questions } = person('1234');
    const token = tokenOf(card, pinFileOf('9999'), askPin);
    await token.sign(id, mechanism, data);
    await token.sign(id, mechanism, data);
    assert.equal(questions.length, 1);
    assert.equal(questions[0]?.retry, true);
  });

  test('two signatures at once ask once', async () => {
    const card = newCard();
    const { askPin, questions } = person('1234', '1234');
    const token = tokenOf(card, undefined, askPin);
    await Promise.all([token.sign(id, mechanism, data), token.sign(id, mechanism, data), token.unlock(id)]);
    assert.equal(questions.length, 1);
  });

  test('a reader with its own keys: no PIN passes through us', async () => {
    const card = newCard();
    card.hasPinPad = true;
    const { askPin, questions } = person('1234');
    await tokenOf(card, undefined, askPin).sign(id, mechanism, data);
    assert.deepEqual(card.pinsTried, [null]);
    assert.equal(questions.length, 0);
  });

  test('merely looking never troubles a person', async () => {
    const card = newCard();
    const { askPin, questions } = person('1234');
    await tokenOf(card, undefined, askPin).certificates();
    assert.equal(questions.length, 0);
    assert.deepEqual(card.pinsTried, []);
  });
});

suite('a key that wants the PIN every time (CKA_ALWAYS_AUTHENTICATE)', () => {
  test('from a file, for IKE and for TLS', async () => {
    const card = newCard();
    card.alwaysAuthenticate = true;
    const token = tokenOf(card, pinFileOf('1234'));
    await token.sign(id, mechanism, data);
    await token.sign(id, mechanism, data);
    await token.unlock(id);
    token.signNow(id, mechanism, data);
    assert.equal(card.pinsTried.length, 4);
  });

  test('TLS gets the PIN for one signature, not for two', async () => {
    const card = newCard();
    card.alwaysAuthenticate = true;
    const { askPin, questions } = person('1234', '1234');
    const token = tokenOf(card, undefined, askPin);
    await token.unlock(id);
    assert.deepEqual(
      questions.map(({ perSignature }) => perSignature),
      [false, true],
    );
    token.signNow(id, mechanism, data);
    assert.throws(() => token.signNow(id, mechanism, data), HostError);
  });

  test('a wrong one that TLS used is not used again', async () => {
    const card = newCard();
    card.alwaysAuthenticate = true;
    const { askPin } = person('1234', '8888', '8888', '8888', '8888');
    const token = tokenOf(card, undefined, askPin);
    await token.unlock(id);
    assert.throws(() => token.signNow(id, mechanism, data), /PIN_INCORRECT/);
    await fails('AOV-HOST-152', token.unlock(id));
    assert.deepEqual(card.pinsTried, ['1234', '8888']);
  });
});

suite('PINs for a single signature that turn out wrong', () => {
  test('one that IKE used is not used again', async () => {
    const card = newCard();
    card.alwaysAuthenticate = true;
    const { askPin } = person('1234', '8888', '8888');
    const token = tokenOf(card, undefined, askPin);
    await token.unlock(id);
    await fails('AOV-HOST-156', token.sign(id, mechanism, data));
    await fails('AOV-HOST-152', token.unlock(id));
    assert.deepEqual(card.pinsTried, ['1234', '8888']);
  });

  test('taking another one makes nobody forget them', async () => {
    const card = newCard();
    card.alwaysAuthenticate = true;
    const { askPin } = person('1234', '8888', '7777', '8888');
    const token = tokenOf(card, undefined, askPin);
    for (const _ of ['8888', '7777']) {
      await token.unlock(id);
      assert.throws(() => token.signNow(id, mechanism, data), /PIN_/);
    }
    await fails('AOV-HOST-152', token.unlock(id));
    assert.deepEqual(card.pinsTried, ['1234', '8888', '7777']);
  });
});

suite('a card that is taken out', () => {
  test('and put back: logged in again by the file', async () => {
    const card = newCard();
    const token = tokenOf(card, pinFileOf('1234'));
    await token.sign(id, mechanism, data);
    card.takeOut();
    await fails('AOV-HOST-151', token.sign(id, mechanism, data));
    assert.throws(() => token.signNow(id, mechanism, data), HostError);
    assert.ok(card.restarts > 0);
    card.isIn = true;
    await token.sign(id, mechanism, data);
    assert.equal(card.pinsTried.length, 2);
  });

  test('and put back while we did not look: the next signature knows', async () => {
    const card = newCard();
    const { askPin, questions } = person('1234', '1234');
    const token = tokenOf(card, undefined, askPin);
    await token.sign(id, mechanism, data);
    card.takeOut();
    card.isIn = true;
    await token.sign(id, mechanism, data);
    assert.equal(questions.length, 2);
  });

  for (const [result, name] of [
    [CKR.DEVICE_REMOVED, 'DEVICE_REMOVED'],
    [CKR.SESSION_HANDLE_INVALID, 'SESSION_HANDLE_INVALID'],
    [CKR.TOKEN_NOT_PRESENT, 'TOKEN_NOT_PRESENT'],
    [CKR.DEVICE_ERROR, 'DEVICE_ERROR'],
    [CKR.GENERAL_ERROR, 'GENERAL_ERROR'],
  ] as const) {
    test(`CKR_${name} in the middle: once more, then a clean error, then well again`, async () => {
      const card = newCard();
      const token = tokenOf(card, pinFileOf('1234'));
      await token.sign(id, mechanism, data);
      card.failing.set('sign', [result]);
      await token.sign(id, mechanism, data);
      card.failing.set('sign', [result, result, result]);
      await fails('AOV-HOST-155', token.sign(id, mechanism, data));
      card.failing.clear();
      await token.sign(id, mechanism, data);
    });
  }

  test('what the card itself refuses is no removal', async () => {
    const card = newCard();
    const token = tokenOf(card, pinFileOf('1234'));
    card.failing.set('sign', [CKR.MECHANISM_INVALID]);
    await fails('AOV-HOST-156', token.sign(id, mechanism, data));
    await token.sign(id, mechanism, data);
    assert.equal(card.pinsTried.length, 1);
  });
});
