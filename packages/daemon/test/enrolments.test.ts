// When certificates are asked for, as files, settings and failures come and go. Who issues them is made up here; see packages/host/test/enrol for the real thing.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { enrolledFile, pendingFile, type CertificateObtained, type CertificateWanted } from '@aovpn/host';
import { Authority } from '../../../lab/pki/authority.ts';
import { DaemonError } from '../src/daemon-error.ts';
import { checkEnrolments } from '../src/enrolment-doctor.ts';
import { defaultEnrolmentSettings, type EnrolmentSettings } from '../src/enrolment-settings.ts';
import { enrolledDirectory, Enrolments } from '../src/enrolments.ts';

const root = new Authority('Example Root CA');

suite('enrolments', () => {
  let directory: string;
  let settings: Map<string, EnrolmentSettings>;
  let asked: (CertificateWanted & { readonly text: string | undefined })[];
  let answers: (CertificateObtained | 'issue')[];
  let changes: number;
  /** What whoever hears of it does. */
  let onChange: () => void;
  let active = 0;
  /** What an answer waits for. */
  let answered: () => Promise<void>;
  let atOnce: number;
  let logged: string[];
  let enrolments: Enrolments;
  const basic: EnrolmentSettings = { ...defaultEnrolmentSettings, url: 'https://est.example/', caFingerprint: '00'.repeat(32) };

  const issue = (validity: 'day' | 'expired' = 'day'): void => {
    const { keyPem, certificatePem } = root.issue({ commonName: 'laptop', validity });
    mkdirSync(enrolledDirectory(directory), { recursive: true });
    const file = enrolledFile(enrolledDirectory(directory), 'machine');
    // Whole or not at all, as the real one is written: somebody may be reading it.
    writeFileSync(`${file}.new`, keyPem + certificatePem, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  };
  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'aovpn-enrolments-'));
    settings = new Map([['machine', basic]]);
    asked = [];
    answers = [];
    changes = 0;
    onChange = () => undefined;
    answered = () => sleep(1);
    atOnce = 0;
    logged = [];
    const log = (level: string, text: string): void => void logged.push(`${level} ${text}`);
    enrolments = new Enrolments({
      configDir: directory,
      directory: enrolledDirectory(directory),
      settings: () => settings,
      hostName: () => 'laptop.corp.example',
      usedBy: () => ['corp'],
      obtain: async (wanted) => {
        asked.push({ ...wanted, text: wanted.secret && Buffer.from(wanted.secret.octets).toString() });
        atOnce = Math.max(atOnce, ++active);
        await answered();
        active--;
        const answer = answers.shift() ?? { kind: 'failed', failure: 'unreachable', detail: 'no answer was prepared' };
        if (answer !== 'issue') return answer;
        issue();
        return { kind: 'issued' };
      },
      onChange: () => {
        changes++;
        onChange();
      },
      log: { write: log, info: (text: string) => log('info', text), error: (text: string) => log('error', text) } as never,
    });
  });
  afterEach(() => {
    enrolments.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const state = (): ReturnType<Enrolments['status']>[number] => enrolments.status()[0]!;
  async function until(what: () => boolean): Promise<void> {
    for (const end = performance.now() + 60_000; !what();) {
      assert.ok(performance.now() < end, `${String(what)}: ${JSON.stringify([state(), logged])}`);
      await sleep(5);
    }
  }
  const secret = (text: string): void => {
    writeFileSync(path.join(directory, 'secret'), text, { mode: 0o600 });
  };

  test('one that the settings have no more is not asked for again, also when its last try ends later', async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((what) => what === 'Timeout').length;
    const before = timers();
    secret('once');
    settings = new Map([['machine', { ...basic, secretFile: 'secret' }]]);
    answers = [{ kind: 'pending', retryAfter: 0 }];
    const answer = Promise.withResolvers<void>();
    answered = () => answer.promise;
    await enrolments.look();
    await until(() => active === 1);
    settings = new Map();
    await enrolments.look();
    assert.equal(active, 1, 'it is still under way');
    answer.resolve();
    await until(() => active === 0);
    await sleep(10);
    assert.equal(timers(), before, 'nothing is planned any more');
  });

  test('a try that ends in a bug of ours does not stand in the way of the next one', async () => {
    answers = ['issue', 'issue'];
    onChange = () => {
      throw new Error('bug');
    };
    await assert.rejects(enrolments.enrol('machine', Buffer.from('first')), /bug/);
    onChange = () => undefined;
    assert.equal((await enrolments.enrol('machine', Buffer.from('second'))).state, 'valid');
    assert.equal(asked.length, 2);
  });

  test('one that is taken out of the settings and put there again during a try waits for it, and takes what it brings', async () => {
    secret('once');
    const wanted = new Map([['machine', { ...basic, secretFile: 'secret' }]]);
    const away = async (): Promise<void> => {
      settings = new Map();
      await enrolments.look();
      settings = wanted;
    };
    const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    settings = wanted;
    answers = ['issue', 'issue', 'issue'];
    answered = () => first.promise;
    await enrolments.look();
    await until(() => active === 1);
    await away();
    await enrolments.look();
    assert.equal(state().state, 'none');
    await sleep(50);
    first.resolve();
    await until(() => state().state === 'valid');
    assert.deepEqual([atOnce, asked.length, state().next?.what], [1, 1, 'renew'], 'the secret is good for one');
    // By hand it is another one, after the one under way.
    answered = () => second.promise;
    const renewals = [enrolments.renew('machine')];
    await until(() => active === 1);
    await away();
    renewals.push(enrolments.renew('machine'));
    await sleep(50);
    second.resolve();
    for (const { state: found } of await Promise.all(renewals)) assert.equal(found, 'valid');
    assert.deepEqual([atOnce, asked.length], [1, 3]);
  });

  test('a secret in its file enrols by itself, once, for the machine’s full name; what was read is overwritten', async () => {
    settings = new Map([['machine', { ...basic, secretFile: 'secret', userName: 'us' }]]);
    await enrolments.look();
    assert.equal(state().problem?.code, 'AOV-SUPERVISOR-366');
    assert.equal(asked.length, 0);
    answers = ['issue'];
    secret('once\n');
    await enrolments.look();
    await until(() => changes === 1);
    const [wanted] = asked;
    assert.equal(wanted?.text, 'once');
    assert.ok(wanted.secret!.octets.every((octet) => octet === 0));
    assert.deepEqual([wanted.how, wanted.secret!.userName, wanted.names.dns], ['enrol', 'us', ['laptop.corp.example']]);
    assert.deepEqual(wanted.names.subject, [{ type: '2.5.4.3', text: 'laptop.corp.example', as: 'utf8' }]);
    assert.deepEqual([state().state, state().next?.what, state().problem], ['valid', 'renew', undefined]);
    await enrolments.look();
    assert.equal(asked.length, 1);
    assert.match(logged.join('\n'), /info certificate "machine" enrolled: .*CN=laptop/);
  });

  test('a secret that was refused is not tried again before it is another one', async () => {
    settings = new Map([['machine', { ...basic, secretFile: 'secret' }]]);
    secret('wrong');
    answers = [{ kind: 'failed', failure: 'secret-refused', detail: 'HTTP 401' }];
    await enrolments.look();
    await until(() => state().problem?.code === 'AOV-SUPERVISOR-362');
    assert.equal(state().next, undefined);
    await enrolments.look();
    enrolments.wayFound();
    assert.equal(asked.length, 1);
    assert.match(
      logged.join('\n'),
      /error certificate "machine": The enrolment server refused the secret: HTTP 401 \[AOV-SUPERVISOR-362\]/,
    );
    answers = ['issue'];
    rmSync(path.join(directory, 'secret'));
    secret('the right one');
    await enrolments.look();
    await until(() => state().state === 'valid');
  });

  test('a failure changes nothing about the certificate in use, says when it is tried again, and is a warning', async () => {
    issue();
    await enrolments.look();
    answers = [{ kind: 'failed', failure: 'refused', detail: 'HTTP 403: "stolen"' }];
    const told = await enrolments.renew('machine');
    assert.equal(asked[0]?.how, 'renew');
    assert.equal(asked[0]?.secret, undefined);
    assert.deepEqual([told.state, told.problem?.code, told.problem?.side], ['valid', 'AOV-SUPERVISOR-363', 'certificate']);
    assert.ok(Date.parse(told.next!.at) > Date.now());
    assert.match(logged[0]!, /^warn .*HTTP 403: "stolen"/);
    const [check] = checkEnrolments([told]);
    assert.equal(check?.verdict, 'warning');
    assert.equal(check.cure, told.problem?.cure);
    // Another server may say something else.
    settings = new Map([['machine', { ...basic, url: 'https://other.example/' }]]);
    await enrolments.look();
    assert.equal(state().problem, undefined);
  });

  test('one that has expired says so, and a secret by hand helps; without one there is an error', async () => {
    issue('expired');
    await enrolments.look();
    assert.deepEqual([state().state, state().problem?.code], ['expired', 'AOV-SUPERVISOR-367']);
    await enrolments.look();
    assert.equal(changes, 1, 'told once');
    assert.equal(enrolments.hasExpired('machine'), true);
    assert.equal(checkEnrolments(enrolments.status())[0]?.verdict, 'failed');
    const code = (wanted: string) => (error: unknown) => error instanceof DaemonError && error.code === wanted;
    await assert.rejects(enrolments.enrol('machine', undefined), code('AOV-DAEMON-573'));
    await assert.rejects(enrolments.renew('machine'), code('AOV-DAEMON-571'));
    await assert.rejects(enrolments.renew('nobody'), code('AOV-DAEMON-570'));
    answers = ['issue'];
    const octets = new TextEncoder().encode('by hand');
    assert.equal((await enrolments.enrol('machine', octets)).state, 'valid');
    assert.equal(asked[0]?.text, 'by hand');
    assert.ok(octets.every((octet) => octet === 0));
    assert.equal(enrolments.hasExpired('machine'), false);
  });

  test('a secret that a person gave and that was refused is told to that person, and stops nothing', async () => {
    issue();
    await enrolments.look();
    answers = [{ kind: 'failed', failure: 'secret-refused', detail: 'HTTP 401' }];
    const told = await enrolments.enrol('machine', new TextEncoder().encode('mistyped'));
    assert.equal(told.problem?.code, 'AOV-SUPERVISOR-362');
    assert.equal(asked[0]?.anew, true);
    assert.deepEqual([state().state, state().problem], ['valid', undefined]);
  });

  test('what is pending by SCEP is polled without a secret, also after a restart; by EST it is not', async () => {
    mkdirSync(enrolledDirectory(directory), { recursive: true });
    writeFileSync(pendingFile(enrolledDirectory(directory), 'machine'), 'a key');
    await enrolments.look();
    assert.equal(state().problem?.code, 'AOV-SUPERVISOR-366');
    settings = new Map([['machine', { ...basic, protocol: 'scep' }]]);
    answers = [{ kind: 'pending' }];
    await enrolments.look();
    await until(() => state().state === 'pending');
    assert.deepEqual([asked[0]?.anew, asked[0]?.secret], [false, undefined]);
    assert.equal(state().problem?.code, 'AOV-SUPERVISOR-368');
    assert.equal(state().next?.what, 'enrol');
  });

  test('by ACME the secret makes an account; who has one, or needs none, asks by itself, also when the secret is gone or the certificate has expired', async () => {
    const acme: EnrolmentSettings = {
      ...defaultEnrolmentSettings,
      protocol: 'acme',
      url: 'https://acme.example/dir',
      ca: 'ca.pem',
      userName: 'kid-1',
      secretFile: 'secret',
      dnsUpdateKey: 'laptop.key',
    };
    writeFileSync(path.join(directory, 'ca.pem'), root.certificatePem);
    settings = new Map([['machine', acme]]);
    await enrolments.look();
    assert.equal(state().problem?.code, 'AOV-SUPERVISOR-366');
    assert.equal(asked.length, 0);
    const where = enrolledDirectory(directory);
    mkdirSync(where, { recursive: true });
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const account = { server: acme.url, keyId: 'kid-1', key, account: 'https://acme.example/account/1', records: [] };
    // One that was asked for and has not come is none.
    writeFileSync(path.join(where, 'machine.acme'), JSON.stringify({ ...account, account: undefined }), { mode: 0o600 });
    await enrolments.look();
    assert.equal(state().problem?.code, 'AOV-SUPERVISOR-366');
    writeFileSync(path.join(where, 'machine.acme'), JSON.stringify(account), { mode: 0o600 });
    issue('expired');
    answers = ['issue'];
    await enrolments.look();
    await until(() => state().state === 'valid');
    const [wanted] = asked;
    assert.deepEqual([wanted?.how, wanted?.secret, wanted?.authorities], ['enrol', undefined, root.certificatePem]);
    const proofs = { credential: { kind: 'tsig', keyFile: path.join(directory, 'laptop.key') } };
    assert.deepEqual(wanted?.acme, { keyId: 'kid-1', termsAgreed: false, proofs });
    // A renewal has the secret with it where it is there: an authority that was set up anew knows nobody.
    secret('mac key');
    answers = ['issue'];
    await enrolments.renew('machine');
    assert.deepEqual([asked[1]?.how, asked[1]?.text], ['renew', 'mac key']);
    // One that it refused is not tried again, but another one is.
    answers = [
      { kind: 'failed', failure: 'secret-refused', detail: 'unauthorized' },
      { kind: 'failed', failure: 'refused', detail: 'it wants a bound account' },
    ];
    for (const text of ['mac key', undefined]) {
      await enrolments.renew('machine');
      assert.equal(asked.at(-1)?.text, text);
    }
    rmSync(path.join(directory, 'secret'));
    secret('another mac key');
    answers = ['issue'];
    await enrolments.renew('machine');
    assert.equal(asked.at(-1)?.text, 'another mac key');
    rmSync(path.join(where, 'machine.acme'));
    rmSync(path.join(where, 'machine.pem'));
    const { secretFile: _, dnsUpdateKey: __, ...open } = acme;
    settings = new Map([['machine', { ...open, userName: '' }]]);
    answers = [{ kind: 'pending', detail: '192.0.2.53 has not got it yet' }];
    await enrolments.look();
    await until(() => state().state === 'pending');
    assert.match(state().problem?.message ?? '', /192\.0\.2\.53 has not got it yet/);
    assert.deepEqual(asked.at(-1)?.acme, { keyId: '', termsAgreed: false });
  });

  test('a name that could not be proven is told as such', async () => {
    issue();
    await enrolments.look();
    answers = [{ kind: 'failed', failure: 'unproven', detail: 'REFUSED' }];
    const told = await enrolments.renew('machine');
    assert.deepEqual([told.state, told.problem?.code, told.problem?.side], ['valid', 'AOV-SUPERVISOR-370', 'certificate']);
  });

  test('who asks several times at once is served one after the other', async () => {
    issue();
    await enrolments.look();
    answers = ['issue', 'issue', 'issue'];
    await Promise.all([1, 2, 3].map(() => enrolments.renew('machine')));
    assert.equal(asked.length, 3);
    assert.equal(atOnce, 1);
  });

  test('a file that cannot be used is told, and nothing overwrites it but a person', async () => {
    settings = new Map([['machine', { ...basic, secretFile: 'secret' }]]);
    secret('once');
    mkdirSync(enrolledDirectory(directory), { recursive: true });
    writeFileSync(enrolledFile(enrolledDirectory(directory), 'machine'), 'no certificate', { mode: 0o600 });
    await enrolments.look();
    assert.match(state().problem?.code ?? '', /^AOV-HOST-1/);
    assert.equal(asked.length, 0);
    answers = ['issue'];
    assert.equal((await enrolments.enrol('machine', undefined)).problem, undefined);
  });

  test('without its file of authorities nobody is asked', async () => {
    settings = new Map([['machine', { ...basic, ca: 'not-there.pem' }]]);
    await enrolments.look();
    const told = await enrolments.enrol('machine', new TextEncoder().encode('x'));
    assert.equal(told.problem?.side, 'host');
    assert.match(told.problem?.message ?? '', /AOV-DAEMON-572/);
    assert.equal(asked.length, 0);
  });
});
