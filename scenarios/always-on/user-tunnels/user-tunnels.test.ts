// Tunnels of people: there while they are signed in, theirs alone, beside the device tunnel and beside each other.
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { App, assertRefused } from '../../../lab/app.ts';
import { Capture } from '../../../lab/capture.ts';
import { canary, network } from '../../../lab/network.ts';
import { deviceProfile, mschapv2Profile } from '../../../lab/profile-xml.ts';
import { Stage, users as gatewayUsers } from '../../../lab/stage.ts';
import { homeOf, otherCompany, startOtherCompany } from './two-companies.ts';

const { corp } = network;
const people = { alice: 1001, bob: 1002, eve: 1003 } as const;
type Person = keyof typeof people;
const bobsPassword = 'bob is 2nd';
/** The device tunnel leads to a corner of the company, as real ones do. */
const device = deviceProfile({
  routes: [
    { address: corp.dns4, prefixSize: 32 },
    { address: corp.radius4, prefixSize: 32 },
  ],
  names: { '.ad.corp.example': [corp.dns4] },
  dnsSuffix: '',
});

suite('always-on/user-tunnels', () => {
  let stage: Stage;
  let program: App;
  before(async () => {
    stage = await Stage.set({ authentication: ['pubkey', 'eap-mschapv2'] });
    const { client } = stage.world;
    for (const [name, uid] of Object.entries(people)) {
      appendFileSync(client.file('/etc/passwd'), `${name}:x:${uid}:${uid}::${homeOf(name)}:/bin/sh\n`);
      appendFileSync(client.file('/etc/group'), `${name}:x:${uid}:\n`);
    }
    program = new App(client, 'program');
    await startOtherCompany(stage.world, { bob: bobsPassword });
    mkdirSync(client.file('/run/systemd/sessions'), { recursive: true });
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  // As systemd-logind writes it.
  const signIn = (person: Person, id = `c${people[person]}`): void =>
    stage.world.client.write(
      `/run/systemd/sessions/${id}`,
      `# This is private data. Do not parse.\nUID=${people[person]}\nUSER=${person}\nACTIVE=1\nSTATE=active\nREMOTE=0\nTYPE=tty\nCLASS=user\n`,
    );
  const signOut = (person: Person, id = `c${people[person]}`): void =>
    rmSync(stage.world.client.file(`/run/systemd/sessions/${id}`));
  const ask = (person: Person | 'root', address: string, timeoutMs = 5000): ReturnType<App['ask']> =>
    program.ask('tcp', address, 80, { text: '', timeoutMs, ...(person !== 'root' && { uid: people[person] }) });
  const look = async (person: Person | 'root', name: string, server = network.internet.dns4): Promise<string | undefined> => {
    const { said } = await program.ask('name', server, 53, {
      text: name,
      timeoutMs: 6000,
      ...(person !== 'root' && { uid: people[person] }),
    });
    // The last four octets of an answer without any are those of the question's type and class.
    return said === '0.1.0.1' ? 'none' : said;
  };
  const install = (person: Person, profile: string, user: string, password: string, name = 'Corp'): void => {
    const { client } = stage.world;
    const file = (ending: string): string => `/etc/aovpn/users.d/${person}/${name}${ending}`;
    client.write(file('.user'), user);
    client.write(file('.secret'), `${password}\n`, 0o600);
    client.write(file('.ca.pem'), stage.world.pki.root.certificatePem);
    client.write(file('.xml'), profile);
  };
  const traces = async (): Promise<string> =>
    [
      await stage.world.client.exec(['ip', '-o', 'link']),
      await stage.world.client.exec(['ip', 'rule']),
      await stage.world.client.exec(['ip', '-6', 'rule']),
      await stage.world.client.exec(['ip', 'route', 'show', 'table', 'all']),
      await stage.world.client.exec(['nft', 'list', 'ruleset']),
      await stage.world.client.exec(['ss', '-Hlnu']),
    ].join('\n');

  test('device tunnels, two of them, are up before anybody signs in, and are called so', async () => {
    await stage.product.put('Device', device, stage.machine());
    await stage.product.put(
      'Management',
      deviceProfile({ routes: [{ address: corp.web4, prefixSize: 32 }], names: {} }),
      stage.machine(),
    );
    for (const name of ['Device', 'Management']) await stage.product.waitForState(name, 'up');
    const { stdout } = await stage.product.aovpn(['status']);
    for (const name of ['Device', 'Management'])
      assert.match(stdout, new RegExp(`${name} \\(device tunnel\\): up\\n +for +the machine, also before anybody signs in`));
    assert.deepEqual((await stage.product.status()).signedIn, []);
    assert.ok((await ask('root', corp.web4)).said?.includes(canary));
    await stage.product.remove('Management');
    await stage.product.waitForGone('Management');
  });

  test('sign-in: the user’s tunnel with the user’s password, beside the device tunnel; sign-out: gone without trace', async () => {
    install('alice', mschapv2Profile(), 'alice', gatewayUsers.alice);
    const before = await traces();
    await sleep(300);
    assert.equal(await stage.product.connection('alice/Corp'), undefined, 'nobody is signed in');
    signIn('alice');
    const up = await stage.product.waitForState('alice/Corp', 'up');
    assert.deepEqual(up.owner, { uid: people.alice, name: 'alice' });
    assert.equal(up.scope, 'user');
    assert.match(up.crypto?.authentication ?? '', /MSCHAPv2/);
    assert.equal((await stage.product.connection('Device'))?.state, 'up');
    const page = await ask('alice', corp.web4);
    assert.ok(page.said?.includes(canary), JSON.stringify(page));
    assert.match(page.from ?? '', network.pool.any4);
    // The device tunnel has a route of its own within the user's network: the more specific one counts, as in one table.
    const { stdout } = await stage.world.client.run(['ip', 'route', 'get', corp.radius4, 'uid', String(people.alice)]);
    assert.match(stdout, /dev aov-device/);
    // A second session changes nothing, and the end of the first one neither.
    signIn('alice', '77');
    signOut('alice');
    await sleep(1000);
    assert.equal((await stage.product.connection('alice/Corp'))?.connectedAt, up.connectedAt);
    signOut('alice', '77');
    await stage.product.waitForGone('alice/Corp');
    await stage.product.waitFor('Device', 'alone', () => true);
    const left = await traces();
    assert.equal(normal(left), normal(before));
    assert.equal((await stage.product.connection('Device'))?.state, 'up');
  });

  test('two users, two companies with the same addresses: each reaches their own, and a third neither', async () => {
    install(
      'bob',
      mschapv2Profile({ servers: otherCompany.name, names: { '.other.example': [corp.dns4] }, dnsSuffix: '' }),
      'bob',
      bobsPassword,
    );
    signIn('alice');
    signIn('bob');
    signIn('eve');
    await Promise.all(['alice/Corp', 'bob/Corp'].map((name) => stage.product.waitForState(name, 'up')));
    const [alices, bobs, eves] = [await ask('alice', corp.web4), await ask('bob', corp.web4), await ask('eve', corp.web4, 1000)];
    assert.ok(alices.said?.includes(canary), JSON.stringify(alices));
    assert.ok(bobs.said?.includes(otherCompany.page), JSON.stringify(bobs));
    assert.equal(eves.said, undefined, 'the internet has no such address');
    assert.equal((await ask('root', corp.web4, 1000)).said, undefined);
    // Names go by whose question it is, whatever resolver it is meant for.
    assert.equal(await look('bob', otherCompany.host), corp.web4);
    assert.equal(await look('alice', otherCompany.host), 'none');
    assert.equal(await look('eve', otherCompany.host), 'none');
    assert.equal(await look('alice', corp.web), corp.web4);
    assert.equal(await look('bob', corp.web), 'none');
    assert.equal(await look('bob', network.internet.web), network.internet.web4, 'other names are asked as ever');
  });

  test('nobody else gets into a user’s tunnel, by routes, by the device or by the name server, and nothing comes in', async () => {
    const { client, corp: inside } = stage.world;
    const { device = '', addresses } = (await stage.product.connection('alice/Corp'))!;
    const capture = await Capture.start(client, device);
    const bound = async (uid: number, text: string): Promise<string> => {
      const owner = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--'];
      const { stdout } = await client.run([
        ...owner,
        program.file,
        '-e',
        throughDevice,
        device,
        corp.web4,
        String(corp.echoPort),
        text,
      ]);
      return stdout;
    };
    for (const [uid, text] of [
      [people.eve, 'eve-was-here'],
      [people.bob, 'bob-was-here'],
      [0, 'root-was-here'],
    ] as const)
      assert.match(await bound(uid, text), /refused/, text);
    assert.match(await bound(people.alice, 'alice-was-here'), /^said alice-was-here/);
    // Her part of the resolver answers nobody else.
    const port = Number(/dport (\d+) meta skuid != \{ 0, 1001/.exec(await client.exec(['nft', '-n', 'list', 'ruleset']))?.[1]);
    const direct = async (uid: number): ReturnType<App['ask']> =>
      program.ask('name', '127.0.0.96', port, { text: corp.web, uid, timeoutMs: 5000 });
    assert.equal((await direct(people.alice)).said, corp.web4);
    assertRefused(await direct(people.eve), 'the name server of alice');
    // From inside: the device tunnel lets in what it always did, the user's nothing.
    const listener = await program.listen(4711);
    const colleague = new App(inside, 'colleague');
    const common = (await stage.product.connection('Device'))!.addresses[0]!;
    assert.ok((await colleague.ask('tcp', common, 4711, { timeoutMs: 5000 })).said, 'the way is there');
    assert.equal((await colleague.ask('tcp', addresses[0]!, 4711)).error, 'ETIMEDOUT');
    await listener.stop();
    const packets = await capture.stopRaw();
    assert.ok(packets.includes('alice-was-here'), 'the capture sees what is sent');
    for (const who of ['eve', 'bob', 'root']) assert.ok(!packets.includes(`${who}-was-here`), who);
  });
});

/** Sends to an echo server from a socket that is bound to a device, and says what came of it. */
const throughDevice = `
use strict; use Socket qw(:all);
my ($device, $address, $port, $text) = @ARGV;
socket(my $socket, AF_INET, SOCK_DGRAM, 0) or die $!;
setsockopt($socket, SOL_SOCKET, 25, $device) or die $!;
connect($socket, pack_sockaddr_in($port, inet_aton($address))) or do { print "refused $!"; exit };
$SIG{ALRM} = sub { print 'silent'; exit }; alarm 5;
send($socket, $text, 0) or do { print "refused $!"; exit };
defined recv($socket, my $answer, 100, 0) or do { print "refused $!"; exit };
print "said $answer";
`;

/** Without what counts or is numbered anew. */
function normal(text: string): string {
  return text
    .split('\n')
    .map((line) =>
      line
        .replace(/^\d+: /, '')
        .replaceAll(/counter packets \d+ bytes \d+/g, 'counter')
        .replaceAll(/ # handle \d+/g, ''),
    )
    .filter((line) => !/^\s*$/.test(line))
    .join('\n');
}
