import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Log } from '../src/log.ts';
import { Passwords, type PasswordOptions, type PasswordStore, type SecretQuestion } from '../src/passwords.ts';
import type { PromptQuestion, PromptReply } from '../src/prompt-desk.ts';

const octets = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (secret: Uint8Array | undefined): string | undefined => secret && new TextDecoder().decode(secret);

function store(place: string, content?: string, writable = true): PasswordStore & { content: string | undefined } {
  const made = {
    place,
    content,
    read: () => Promise.resolve(made.content === undefined ? undefined : octets(made.content)),
    ...(writable && {
      write: (secret: Uint8Array): Promise<void> => {
        made.content = text(secret.slice());
        return Promise.resolve();
      },
    }),
  };
  return made;
}

function make(options: Partial<PasswordOptions> = {}, replies: (string | PromptReply)[] = []) {
  const asked: PromptQuestion[] = [];
  const given: Uint8Array[] = [];
  const lines: string[] = [];
  const passwords = new Passwords({
    connection: 'corp',
    log: new Log({ level: 'debug', format: 'text', journal: false, write: (line) => lines.push(line), clock: Date.now }),
    ask: (question) => {
      asked.push(question);
      const reply = replies.shift() ?? { kind: 'none', why: 'nobody' };
      if (typeof reply !== 'string') return Promise.resolve(reply);
      const secret = octets(reply);
      given.push(secret);
      return Promise.resolve({ kind: 'secret', secret });
    },
    sources: ['file', 'credential', 'secret-service', 'prompt'],
    stores: {},
    remember: undefined,
    ...options,
  });
  return { passwords, asked, given, lines };
}

const question = (what: SecretQuestion['what'], retry = false): SecretQuestion => ({ what, userName: 'alice', retry });

suite('where a password comes from', () => {
  test('the sources in the order of the settings, a person last; nobody is asked when one is remembered', async () => {
    const stores = { file: store('file', 'from file'), credential: store('credential', 'from credential', false) };
    const { passwords, asked } = make({ stores });
    assert.equal(await passwords.prepare('alice'), undefined);
    assert.equal(text(await passwords.answer(question('password'))), 'from file');
    const other = make({ stores, sources: ['credential', 'file'] });
    assert.equal(text(await other.passwords.answer(question('password'))), 'from credential');
    assert.deepEqual([...asked, ...other.asked], []);
  });

  test('a source that fails is said and passed over', async () => {
    const broken: PasswordStore = { place: 'the keyring', read: () => Promise.reject(new Error('locked')) };
    const { passwords, lines } = make({
      sources: ['secret-service', 'file'],
      stores: { 'secret-service': broken, file: store('file', 'x') },
    });
    assert.equal(text(await passwords.answer(question('password'))), 'x');
    assert.match(lines.join(''), /no password from the keyring: locked/);
  });

  test('a person is asked before the connection is made, once; the answer is used in it', async () => {
    const { passwords, asked } = make({}, ['typed']);
    assert.equal(await passwords.prepare('alice'), undefined);
    assert.equal(text(await passwords.answer(question('password'))), 'typed');
    assert.deepEqual(
      asked.map(({ kind, userName }) => [kind, userName]),
      [['password', 'alice']],
    );
  });

  for (const [why, code, words] of [
    ['nobody', 'AOV-SUPERVISOR-342', /nobody is there/],
    ['expired', 'AOV-EAP-205', /in time/],
    ['refused', 'AOV-EAP-205', /refused to give/],
  ] as const) {
    test(`no answer (${why}) is a problem, and no connection is tried`, async () => {
      const { passwords } = make({}, [{ kind: 'none', why }]);
      const problem = await passwords.prepare('alice');
      assert.equal(problem?.code, code);
      assert.match(problem.message, words);
    });
  }

  test('"prompt" is not among the sources: nobody is asked', async () => {
    const { passwords, asked } = make({ sources: ['file'] }, ['typed']);
    assert.equal((await passwords.prepare('alice'))?.code, 'AOV-SUPERVISOR-342');
    assert.deepEqual(asked, []);
  });
});

suite('a refused password', () => {
  test('that is remembered is not tried again, but a person is asked; when it is another one it is tried', async () => {
    const file = store('file', 'old');
    const { passwords, asked } = make({ stores: { file } }, ['typed']);
    assert.equal(text(await passwords.answer(question('password'))), 'old');
    assert.equal(text(await passwords.answer(question('password', true))), 'typed');
    assert.equal(asked[0]?.retry, true);
    passwords.refused();
    assert.equal((await passwords.prepare('alice'))?.code, 'AOV-EAP-202', 'account lock-out: not even a connection');
    file.content = 'new';
    assert.equal(await passwords.prepare('alice'), undefined);
    assert.equal(text(await passwords.answer(question('password'))), 'new');
  });

  test('in one source does not keep the next from being tried', async () => {
    const stores = { file: store('file', 'old'), credential: store('credential', 'current', false) };
    const { passwords } = make({ stores });
    await passwords.answer(question('password'));
    assert.equal(text(await passwords.answer(question('password', true))), 'current');
  });

  test('is tried once more when a person says so', async () => {
    const { passwords } = make({ stores: { file: store('file', 'old') } });
    await passwords.answer(question('password'));
    passwords.refused();
    assert.equal(await passwords.isRemembered(), false);
    passwords.tryAgain();
    assert.equal(await passwords.isRemembered(), true);
  });

  test('is never in the log', async () => {
    const { passwords, lines } = make({ stores: { file: store('file', 'hunter2') } }, ['hunter3']);
    await passwords.answer(question('password'));
    await passwords.answer(question('password', true));
    passwords.refused();
    assert.ok(lines.length > 0);
    assert.doesNotMatch(lines.join(''), /hunter/);
  });
});

suite('what a person typed', () => {
  test('is kept when the profile says so, and only once it has worked', async () => {
    const file = store('file');
    const { passwords } = make({ stores: { file }, remember: file }, ['typed']);
    await passwords.prepare('alice');
    await passwords.answer(question('password'));
    assert.equal(file.content, undefined);
    await passwords.succeeded();
    assert.equal(file.content, 'typed');
  });

  test('is not kept when it was refused, nor without RememberCredentials', async () => {
    const file = store('file');
    const refused = make({ stores: { file }, remember: file }, ['wrong']);
    await refused.passwords.answer(question('password'));
    refused.passwords.refused();
    await refused.passwords.succeeded();
    const forgetful = make({ stores: { file } }, ['right']);
    await forgetful.passwords.answer(question('password'));
    await forgetful.passwords.succeeded();
    assert.equal(file.content, undefined);
    assert.ok((await forgetful.passwords.prepare('alice')) !== undefined, 'asked again next time');
  });

  test('serves the next attempt when nobody judged it, and is overwritten in the end', async () => {
    const { passwords, asked, given } = make({}, ['typed']);
    await passwords.prepare('alice');
    const first = await passwords.answer(question('password'));
    first!.fill(0);
    passwords.undecided();
    assert.equal(await passwords.prepare('alice'), undefined);
    const second = await passwords.answer(question('password'));
    assert.equal(text(second), 'typed');
    assert.equal(asked.length, 1);
    second!.fill(0);
    passwords.undecided();
    passwords.forget();
    assert.ok(given.every((secret) => secret.every((octet) => octet === 0)));
  });
});

suite('a new password', () => {
  test('goes where the old one came from, once the server has taken it', async () => {
    const file = store('file', 'old');
    const { passwords, asked } = make({ stores: { file } }, ['too short', 'new']);
    await passwords.answer(question('password'));
    await passwords.answer(question('new-password'));
    assert.equal(text(await passwords.answer(question('new-password', true))), 'new');
    assert.equal(file.content, 'old');
    await passwords.succeeded();
    assert.equal(file.content, 'new');
    assert.deepEqual(
      asked.map(({ kind }) => kind),
      ['new-password', 'new-password'],
    );
  });

  test('is said when it cannot go there', async () => {
    const { passwords, lines } = make({ stores: { credential: store('the credential x', 'old', false) } }, ['new']);
    await passwords.answer(question('password'));
    await passwords.answer(question('new-password'));
    await passwords.succeeded();
    assert.match(lines.join(''), /the password was changed, but the credential x cannot be written/);
  });

  test('a disk that is full does not end the connection', async () => {
    const file: PasswordStore = {
      place: 'file',
      read: () => Promise.resolve(octets('old')),
      write: () => Promise.reject(new Error('ENOSPC')),
    };
    const { passwords, lines } = make({ stores: { file } }, ['new']);
    await passwords.answer(question('password'));
    await passwords.answer(question('new-password'));
    await passwords.succeeded();
    assert.match(lines.join(''), /could not be remembered in file: ENOSPC/);
  });
});

suite('one-time codes', () => {
  test('are asked of a person each time and never kept', async () => {
    const file = store('file');
    const { passwords, asked } = make({ stores: { file }, remember: file }, ['typed', '123456', '654321']);
    await passwords.answer(question('password'));
    assert.equal(text(await passwords.answer({ ...question('token'), message: 'Code?' })), '123456');
    assert.equal(text(await passwords.answer(question('token', true))), '654321');
    await passwords.succeeded();
    assert.equal(file.content, 'typed');
    assert.equal(asked[1]?.message, 'Code?');
  });

  test('EAP-GTC alone: a remembered secret answers the first question, never the second', async () => {
    const { passwords, asked } = make({ stores: { file: store('file', 'static') } }, ['123456']);
    await passwords.prepare('alice');
    assert.equal(text(await passwords.answer(question('token'))), 'static');
    assert.equal(text(await passwords.answer(question('token'))), '123456');
    assert.equal(asked.length, 1);
  });

  test('after a password was given, the remembered password is no code', async () => {
    const { passwords } = make({ stores: { file: store('file', 'password') } }, ['123456']);
    await passwords.answer(question('password'));
    assert.equal(text(await passwords.answer(question('token'))), '123456');
  });
});
