// Tunnels of people: there while they are signed in, theirs alone, beside the device tunnel and beside each other.
import assert from 'node:assert/strict';
import { appendFileSync, chmodSync, chownSync, existsSync, readdirSync, rmSync, symlinkSync, truncateSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionStatus } from '@aovpn/api';
import { App, assertRefused } from '../../../lab/app.ts';
import { Capture } from '../../../lab/capture.ts';
import type { Strongswan } from '../../../lab/gateway/strongswan.ts';
import { canary, network } from '../../../lab/network.ts';
import { Logind, noLogind, type SignedIn } from '../../../lab/server/logind.ts';
import { deviceProfile, mschapv2Profile } from '../../../lab/profile-xml.ts';
import { Stage, users as gatewayUsers } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';
import { inCheckout } from '../../../lab/host.ts';
import { installed } from '../../../lab/product.ts';
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

suite('always-on/user-tunnels', { skip: noLogind }, () => {
  let stage: Stage;
  let program: App;
  let logind: Logind;
  let other: Strongswan;
  const here = new Map<string, SignedIn>();
  before(async () => {
    stage = await Stage.set({ authentication: ['pubkey', 'eap-mschapv2'] });
    const { client } = stage.world;
    for (const [name, uid] of Object.entries(people)) {
      appendFileSync(client.file('/etc/passwd'), `${name}:x:${uid}:${uid}::${homeOf(name)}:/bin/sh\n`);
      appendFileSync(client.file('/etc/group'), `${name}:x:${uid}:\n`);
    }
    program = new App(client, 'program');
    other = await startOtherCompany(stage.world, { bob: bobsPassword });
    logind = await Logind.start(client);
  });
  after(async () => {
    await stage?.[Symbol.asyncDispose]();
    await logind?.stop();
  });

  const signIn = async (person: Person, key: string = person): Promise<void> => void here.set(key, await logind.signIn(person));
  const signOut = async (key: string): Promise<void> => {
    await here.get(key)?.signOut();
    here.delete(key);
  };
  const ask = (person: Person | 'root', address: string, timeoutMs = 30_000): ReturnType<App['ask']> =>
    program.ask('tcp', address, 80, { text: '', timeoutMs, ...(person !== 'root' && { uid: people[person] }) });
  const look = async (person: Person | 'root', name: string, server = network.internet.dns4): Promise<string | undefined> => {
    const { said } = await program.ask('name', server, 53, {
      text: name,
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
  /** A file in the user's home, the user's own. */
  const bring = (person: Person, name: string, content: string): void => {
    const { client } = stage.world;
    const file = path.join(homeOf(person), '.config/aovpn/profiles.d', name);
    client.write(file, content, 0o600);
    for (let place = file; place !== path.dirname(homeOf(person)); place = path.dirname(place))
      chownSync(client.file(place), people[person], people[person]);
    chmodSync(client.file(homeOf(person)), 0o700);
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
      assert.match(stdout, new RegExp(`${name} {2}up {2}device tunnel\\n +for +the machine, also before anybody signs in`));
    assert.deepEqual((await stage.product.status()).signedIn, []);
    assert.ok((await ask('root', corp.web4)).said?.includes(canary));
    await stage.product.remove('Management');
    await stage.product.waitForGone('Management');
  });

  test('sign-in: the user’s tunnel with the user’s password, beside the device tunnel; sign-out: gone without trace', async () => {
    install('alice', mschapv2Profile(), 'alice', gatewayUsers.alice);
    // Neither a login screen nor a cron job is a person.
    const others = [await logind.signIn('alice', 'greeter'), await logind.signIn('alice', 'background')];
    const before = await traces();
    await sleep(500);
    assert.equal(await stage.product.connection('alice/Corp'), undefined, 'nobody is signed in');
    for (const other of others) await other.signOut();
    await signIn('alice');
    const up = await stage.product.waitForState('alice/Corp', 'up');
    assert.deepEqual(up.owner, { uid: people.alice, name: 'alice' });
    assert.equal(up.scope, 'user');
    assert.deepEqual(
      up.routes.map(({ prefix }) => prefix).filter((prefix) => prefix.startsWith('10.20.0.')),
      ['10.20.0.0/24', '10.20.0.53/32'],
    );
    assert.deepEqual(
      up.dns.rules.map(({ name }) => name),
      ['.corp.example'],
    );
    assert.match(up.crypto?.authentication ?? '', /MSCHAPv2/);
    assert.equal((await stage.product.connection('Device'))?.state, 'up');
    const page = await ask('alice', corp.web4);
    assert.ok(page.said?.includes(canary), JSON.stringify(page));
    assert.match(page.from ?? '', network.pool.any4);
    // The device tunnel has a route of its own within the user's network: the more specific one counts, as in one table.
    const { stdout } = await stage.world.client.run(['ip', 'route', 'get', corp.radius4, 'uid', String(people.alice)]);
    assert.match(stdout, /dev aov-device/);
    // A second session changes nothing, and the end of the first one neither.
    await signIn('alice', 'second');
    await signOut('alice');
    await sleep(1000);
    assert.equal((await stage.product.connection('alice/Corp'))?.connectedAt, up.connectedAt);
    await signOut('second');
    await stage.product.waitForGone('alice/Corp');
    await stage.product.waitFor('Device', 'alone', () => true);
    assert.equal(normal(await traces()), normal(before));
    assert.equal((await stage.product.connection('Device'))?.state, 'up');
  });

  test('two users, two companies with the same addresses: each reaches their own, and a third neither', async () => {
    install(
      'bob',
      mschapv2Profile({ servers: otherCompany.name, names: { '.other.example': [corp.dns4] }, dnsSuffix: '' }),
      'bob',
      bobsPassword,
    );
    for (const person of ['alice', 'bob', 'eve'] as const) await signIn(person);
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
      program.ask('name', '127.0.0.96', port, { text: corp.web, uid });
    assert.equal((await direct(people.alice)).said, corp.web4);
    assertRefused(await direct(people.eve), 'the name server of alice');
    // From inside: the device tunnel lets in what it always did, the user's nothing.
    const listener = await program.listen(4711);
    const colleague = new App(inside, 'colleague');
    const common = (await stage.product.connection('Device'))!.addresses[0]!;
    assert.ok((await colleague.ask('tcp', common, 4711)).said, 'the way is there');
    assert.equal((await colleague.ask('tcp', addresses[0]!, 4711, { timeoutMs: 1000 })).error, 'ETIMEDOUT');
    await listener.stop();
    const packets = await capture.stopRaw();
    assert.ok(packets.includes('alice-was-here'), 'the capture sees what is sent');
    for (const who of ['eve', 'bob', 'root']) assert.ok(!packets.includes(`${who}-was-here`), who);
  });

  test('a hold until the next sign-in ends with it; a user’s own with that user’s', async () => {
    await stage.product.settings('[profile.Device]\ndown-ends = "sign-in"\n[profile."*/Corp"]\ndown-ends = "sign-in"\n');
    await signOut('eve');
    for (const name of ['Device', 'alice/Corp']) {
      await stage.product.down(name);
      await stage.product.waitForState(name, 'held');
    }
    await signIn('eve');
    await stage.product.waitForState('Device', 'up');
    assert.equal((await stage.product.connection('alice/Corp'))?.state, 'held');
    await signIn('alice', 'second');
    await stage.product.waitForState('alice/Corp', 'up');
    await signOut('second');
  });

  test('a user takes their own down and up, by its name alone; nobody else does, or sees it', async () => {
    const { client } = stage.world;
    const aovpn = async (person: Person, ...args: readonly string[]): ReturnType<typeof client.run> => {
      const uid = people[person];
      const command = [...installed('aovpn').map(inCheckout), ...args];
      return await client.run(['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--', ...command]);
    };
    const own = await aovpn('alice', 'status');
    assert.match(
      own.stdout,
      /alice\/Corp {2}up {2}user tunnel\n +for +alice \(user 1001\), while signed in; carries nobody else’s traffic/,
    );
    assert.doesNotMatch(own.stdout, /bob\/|Device/);
    assert.doesNotMatch((await aovpn('eve', 'status')).stdout, /alice|bob/);
    for (const args of [
      ['down', 'alice/Corp'],
      ['down', 'Corp'],
    ])
      assert.notEqual((await aovpn('eve', ...args)).status, 0);
    assert.notEqual((await aovpn('bob', 'down', 'alice/Corp')).status, 0);
    assert.equal((await stage.product.connection('alice/Corp'))?.state, 'up');
    const down = await aovpn('alice', 'down', 'Corp');
    assert.equal(down.status, 0, down.stderr);
    await stage.product.waitForState('alice/Corp', 'held');
    const up = await aovpn('alice', 'up', 'Corp');
    assert.equal(up.status, 0, up.stderr);
    await stage.product.waitForState('alice/Corp', 'up');
  });

  test('a force tunnel of one user holds that user, v4 and v6, and leaves everybody else as they were', async () => {
    const { client } = stage.world;
    install('alice', mschapv2Profile({ routing: 'ForceTunnel', dnsSuffix: '' }), 'alice', gatewayUsers.alice);
    const isForced = ({ state, routes }: ConnectionStatus): boolean =>
      state === 'up' && routes.some(({ prefix }) => prefix === '::/0');
    await stage.product.waitFor('alice/Corp', 'a force tunnel', isForced);
    const { internet, gateway, client: own } = network;
    const from = async (person: Person, address: string): Promise<string | undefined> =>
      (await program.ask('tcp', address, 80, { uid: people[person] })).said;
    assert.equal(await from('alice', internet.web4), gateway.v4, 'by the gateway, which hides the inner address');
    assert.equal(await from('eve', internet.web4), own.home.v4);
    assert.equal(await from('alice', internet.web6), gateway.v6);
    assert.equal(await from('eve', internet.web6), own.home.v6);
    const bound = async (uid: number): Promise<string> => {
      const owner = ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--'];
      const args = [own.device, internet.web4, String(corp.echoPort), 'by-the-link'];
      return (await client.run([...owner, program.file, '-e', throughDevice, ...args])).stdout;
    };
    assert.match(await bound(people.alice), /refused/);
    assert.match(await bound(people.eve), /^said by-the-link/);
    const { stdout } = await stage.product.aovpn(['explain', '--user', 'alice', internet.web4]);
    assert.match(stdout, /alice\/Corp/);
    assert.doesNotMatch((await stage.product.aovpn(['explain', internet.web4])).stdout, /alice/);
  });

  test('one profile for everybody, and each user’s own password from their home, where root allows it', async () => {
    const { client, pki } = stage.world;
    for (const person of ['alice', 'bob'] as const) await signOut(person);
    rmSync(client.file('/etc/aovpn/users.d'), { recursive: true });
    client.write('/etc/aovpn/users.d/Staff.xml', mschapv2Profile());
    client.write('/etc/aovpn/users.d/Staff.ca.pem', pki.root.certificatePem);
    bring('alice', 'Staff.user', 'alice');
    bring('alice', 'Staff.secret', `${gatewayUsers.alice}\n`);
    // Whom to believe is root's word: this one would let anybody be the gateway.
    bring('alice', 'Staff.ca.pem', pki.stranger.certificatePem);
    bring('alice', 'Home.xml', mschapv2Profile());
    await signIn('alice');
    await stage.product.waitForProblem('alice/Staff');
    assert.equal(existsSync(client.file('/run/aovpn/users/alice')), false, 'nothing is read that root does not allow');
    await stage.product.settings('[users]\nown-files = "credentials"\n');
    await stage.product.waitForState('alice/Staff', 'up');
    assert.equal(await stage.product.connection('alice/Home'), undefined);
    await signOut('alice');
    await stage.product.waitForGone('alice/Staff');
    await until('copies go with the user', () => !existsSync(client.file('/run/aovpn/users/alice')));
    rmSync(client.file('/etc/aovpn/users.d'), { recursive: true });
  });

  test('a user’s own profiles: theirs alone; what would harm others is refused with a code, and strange files do nothing', async () => {
    const { client, pki } = stage.world;
    await stage.product.settings('[users]\nown-files = "profiles"\nown-files-of = ["bob"]\n');
    await other.configure({ pools: { v4: true, v6: false, range4: '10.31.0.10-10.31.0.99' } });
    const begun = (await stage.product.connection('Device'))?.connectedAt;
    const home = { servers: otherCompany.name, names: { '.other.example': [corp.dns4] }, dnsSuffix: '' };
    for (const [ending, content] of [
      ['.xml', mschapv2Profile(home)],
      ['.user', 'bob'],
      ['.secret', `${bobsPassword}\n`],
      ['.ca.pem', pki.root.certificatePem],
    ] as const)
      bring('bob', `Home${ending}`, content);
    bring('bob', 'Device.xml', deviceProfile());
    bring('bob', 'Lock.xml', mschapv2Profile({ routing: 'ForceTunnel', extra: '<LockDown>true</LockDown>' }));
    bring('bob', 'Trigger.xml', mschapv2Profile({ extra: '<AppTrigger><App><Id>/usr/bin/ssh</Id></App></AppTrigger>' }));
    const place = path.join(homeOf('bob'), '.config/aovpn/profiles.d');
    symlinkSync('/etc/shadow', client.file(path.join(place, 'Shadow.xml')));
    await client.exec(['mkfifo', path.join(place, 'Fifo.xml')]);
    bring('bob', 'Huge.xml', '');
    truncateSync(client.file(path.join(place, 'Huge.xml')), 2 ** 30);
    await signIn('bob');
    await stage.product.waitForState('bob/Home', 'up');
    assert.ok((await ask('bob', corp.web4)).said?.includes(otherCompany.page));
    const { profiles, connections } = await stage.product.status();
    const codesOf = (name: string): readonly string[] =>
      profiles
        .find((profile) => profile.name === name)
        ?.diagnostics.filter(({ severity }) => severity === 'error')
        .map(({ code }) => code) ?? [];
    assert.deepEqual(codesOf('bob/Device'), ['AOV-DAEMON-560']);
    assert.deepEqual(codesOf('bob/Lock'), ['AOV-DAEMON-560']);
    assert.deepEqual(codesOf('bob/Trigger'), ['AOV-DAEMON-561']);
    for (const name of ['Shadow', 'Fifo', 'Huge']) assert.ok(!profiles.some((profile) => profile.name === `bob/${name}`), name);
    assert.deepEqual(
      connections.map(({ name }) => name),
      ['Device', 'bob/Home'],
    );
    // The machine's profile of the same name is its own.
    assert.equal(connections.find(({ name }) => name === 'Device')?.connectedAt, begun);
    assert.deepEqual(readdirSync(client.file('/run/aovpn/users/bob')).sort(), [
      'Device.xml',
      'Home.ca.pem',
      'Home.secret',
      'Home.user',
      'Home.xml',
      'Lock.xml',
      'Trigger.xml',
    ]);
    const names = (await client.exec(['cat', '/etc/resolv.conf'])).trim();
    assert.doesNotMatch(names, /other\.example/, 'nothing of it is everybody’s');
    // An address that the device tunnel leads to is not theirs to have.
    await stage.product.put('Device', deviceProfile({ routes: [{ address: '10.31.0.0', prefixSize: 24 }], names: {} }));
    await stage.product.down('bob/Home');
    await stage.product.waitForState('bob/Home', 'held');
    await stage.product.up('bob/Home');
    assert.equal((await stage.product.waitForProblem('bob/Home')).problem?.code, 'AOV-DAEMON-565');
  });

  test('PAM tells where logind does not; who says so for somebody else without being root is refused', async () => {
    const signedIn = async (): Promise<readonly string[]> => (await stage.product.status()).signedIn.map(({ name }) => name);
    await signOut('eve');
    const pam = async (what: string, user: string): Promise<void> => {
      const { status, stderr } = await stage.product.aovpn(['session', what], { env: { ...process.env, PAM_USER: user } });
      assert.equal(status, 0, stderr);
    };
    await pam('open', 'eve');
    await pam('open', 'eve');
    await pam('close', 'eve');
    assert.ok((await signedIn()).includes('eve'));
    // A daemon that is started again still knows.
    await stage.product.stop();
    await stage.product.start();
    assert.ok((await signedIn()).includes('eve'));
    await pam('close', 'eve');
    assert.ok(!(await signedIn()).includes('eve'));
    const bob = ['setpriv', `--reuid=${people.bob}`, `--regid=${people.bob}`, '--clear-groups', '--'];
    const command = [...installed('aovpn').map(inCheckout), 'session', 'open', 'eve'];
    const refused = await stage.world.client.run([...bob, ...command]);
    assert.equal(refused.status, 4, refused.stderr);
    assert.match(refused.stderr, /AOV-DAEMON-564|AOV-HOST-417/);
  });
});

/** Sends to an echo server from a socket that is bound to a device, and says what came of it. */
const throughDevice = `
use strict; use Socket qw(:all);
my ($device, $address, $port, $text) = @ARGV;
socket(my $socket, AF_INET, SOCK_DGRAM, 0) or die $!;
setsockopt($socket, SOL_SOCKET, 25, $device) or die $!;
connect($socket, pack_sockaddr_in($port, inet_aton($address))) or do { print "refused $!"; exit };
$SIG{ALRM} = sub { print 'silent'; exit }; alarm 30;
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
