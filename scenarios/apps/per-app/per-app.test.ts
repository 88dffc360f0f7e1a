// Applications by name: who may use the tunnel, who must, and by which way their packets and their names go.
import assert from 'node:assert/strict';
import { after, afterEach, before, suite, test } from 'node:test';
import { App, assertRefused } from '../../../lab/app.ts';
import { network, publicCanary } from '../../../lab/network.ts';
import { certificateProfile, type ProfileOptions } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';

const { corp, internet } = network;
const webs = [corp.web4, corp.web6];
const outside = [internet.web4, internet.web6];

function filter(app: App, more = ''): string {
  return `<TrafficFilter><App><Id>${app.file}</Id></App>${more}</TrafficFilter>`;
}

function trigger(app: App): string {
  return `<AppTrigger><App><Id>${app.file}</Id></App></AppTrigger>`;
}

suite('apps/per-app', () => {
  let stage: Stage;
  let office: App;
  let other: App;
  before(async () => {
    stage = await Stage.set();
    office = new App(stage.world.client, 'office');
    other = new App(stage.world.client, 'other');
  });
  afterEach(() => stage.clear());
  after(async () => await stage?.[Symbol.asyncDispose]());

  const bring = async (extra: string, options: ProfileOptions = {}) => {
    await stage.product.put('corp', certificateProfile({ extra, ...options }), stage.machine());
    return await stage.product.waitForState('corp', 'up');
  };

  test('per-app VPN: the app reaches the intranet, nobody else does, and the internet stays where it is', async () => {
    await bring(filter(office) + trigger(office));
    for (const web of webs) {
      assert.match((await office.ask('tcp', web, 80)).said ?? '', /^(10\.30\.0\.|fd30::)/);
      assert.equal((await office.ask('udp', web, corp.echoPort)).said, 'who');
      assertRefused(await other.ask('tcp', web, 80), 'TCP of another program');
      assertRefused(await other.ask('connected', web, corp.echoPort), 'UDP of another program');
      assertRefused(await other.ask('tcp', web, 80, { uid: 1000 }), 'TCP of a user');
    }
    for (const web of outside)
      for (const app of [office, other])
        assert.match((await app.ask('tcp', web, 80, { text: '' })).said ?? '', new RegExp(publicCanary));
    // Children are the app as well, whatever program they are.
    const child = await office.run(`system(@ARGV)`, [other.file, '-e', ask, corp.web4]);
    assert.equal(child, 'reached');
    const { stdout } = await stage.product.aovpn(['status', 'corp']);
    assert.match(stdout, /app\s+.*\/run\/apps\/office/);
  });

  test('a program whose first act is a UDP packet: never one packet on the wrong path', async () => {
    await bring(filter(office) + trigger(office));
    const { world } = stage;
    const count = 100;
    // Counted where they arrive: the corporate echo server hears the app only, by both families.
    await world.corp.exec(['nft', '-f', '-'], { input: counters });
    await world.client.exec(
      ['sh', '-c', `i=0; while [ $i -lt ${count} ]; do "$@"; i=$((i+1)); done`, 'sh', office.file, '-e', first],
      {
        timeoutMs: 240_000,
      },
    );
    await world.client.exec(
      ['sh', '-c', `i=0; while [ $i -lt ${count} ]; do "$@"; i=$((i+1)); done`, 'sh', other.file, '-e', first],
      {
        timeoutMs: 240_000,
      },
    );
    const heard = async (): Promise<[string, number][]> =>
      [...(await world.corp.exec(['nft', 'list', 'counters'])).matchAll(/counter (v[46]) \{\s+packets (\d+)/g)].map(
        ([, family, packets]) => [family!, Number(packets)],
      );
    // The last ones may be on their way still when their program has ended.
    await until(
      async () => `all have arrived: ${(await heard()).join()}`,
      async () => (await heard()).every(([, packets]) => packets >= count),
    );
    assert.deepEqual(await heard(), [
      ['v4', count],
      ['v6', count],
    ]);
  });

  test('one app forced through the tunnel beside another that is split: addresses, sockets of every kind, and names', async () => {
    const up = await bring(filter(office, '<RoutingPolicyType>ForceTunnel</RoutingPolicyType>') + filter(other));
    const [v4, v6] = up.addresses as [string, string];
    for (const [web, source] of [
      [internet.web4, v4],
      [internet.web6, v6],
    ] as const) {
      for (const kind of ['tcp', 'connected', 'udp'] as const) {
        const port = kind === 'tcp' ? 80 : corp.echoPort;
        const through = await office.ask(kind, web, port);
        assert.ok(through.said !== undefined, `${kind} ${web}: ${JSON.stringify(through)}`);
        if (kind !== 'udp') assert.equal(through.from, source, `${kind}: the source address is the tunnel's`);
        const direct = await other.ask(kind, web, port);
        assert.ok(direct.said !== undefined && direct.from !== source, `${kind} ${web}: ${JSON.stringify(direct)}`);
      }
      // The far side saw whom: the app came by the gateway, the other directly.
      assert.equal((await office.ask('tcp', web, 80)).said, web.includes(':') ? network.gateway.v6 : network.gateway.v4);
      assert.match(
        (await other.ask('tcp', web, 80)).said ?? '',
        new RegExp(`^(${network.client.home.v4}|${network.client.home.v6})$`),
      );
    }
    for (const web of webs) for (const app of [office, other]) assert.ok((await app.ask('tcp', web, 80)).said !== undefined);
    // Whatever resolver the app asks, the tunnel's answers; everybody else's questions go where they did.
    assert.equal((await office.ask('name', internet.dns4, 53, { text: corp.web })).said, corp.web4);
    assert.equal((await office.ask('name', '127.0.0.96', 53, { text: corp.web })).said, corp.web4);
    assert.notEqual((await other.ask('name', internet.dns4, 53, { text: corp.web })).said, corp.web4);
  });

  test('while its tunnel is wanted and down, a forced app reaches nothing; when nobody wants it, it is free', async () => {
    const { product, world } = stage;
    await bring(filter(office, '<RoutingPolicyType>ForceTunnel</RoutingPolicyType>'));
    await world.gateway.stop();
    await world.client.exec(['ip', 'link', 'delete', (await product.connection('corp'))!.device!]).catch(() => undefined);
    await product.waitFor('corp', 'down', ({ state }) => state !== 'up' && state !== 'recovering');
    for (const web of outside) assertRefused(await office.ask('tcp', web, 80), 'the app without its tunnel');
    for (const web of outside) assert.ok((await other.ask('tcp', web, 80)).said !== undefined);
    await product.down('corp');
    await product.waitForState('corp', 'held');
    await until(
      'the app is let go after down',
      async () => (await office.ask('tcp', internet.web4, 80, { timeoutMs: 1000 })).said !== undefined,
    );
    await world.gateway.start();
    await product.up('corp');
  });

  test('Claims: by user and by group, and by members of a group of the directory', async () => {
    const { product, world } = stage;
    const sid = 'S-1-5-21-1-2-3-1107';
    world.client.write('/etc/aovpn/sids.d/corp.toml', `[[sid]]\nsid = "${sid}"\nusers = [4711]\ngroups = ["lab-staff"]\n`);
    const passwd = await world.client.exec(['cat', '/etc/passwd']);
    const group = await world.client.exec(['cat', '/etc/group']);
    world.client.write('/etc/passwd', `${passwd}lab-kim:x:4712:4712::/:/bin/false\n`);
    world.client.write('/etc/group', `${group}lab-staff:x:4800:lab-kim\n`);
    await bring(`<TrafficFilter><Claims>O:SYG:SYD:(A;;CC;;;${sid})</Claims></TrafficFilter>`);
    for (const web of webs) {
      for (const [who, owner] of [
        ['the user', { uid: 4711 }],
        ['a process of the group', { uid: 4713, gid: 4800 }],
        ['a member of the group', { uid: 4712 }],
      ] as const)
        assert.ok((await other.ask('tcp', web, 80, owner)).said !== undefined, `${who} reaches ${web}`);
      assertRefused(await other.ask('tcp', web, 80, { uid: 4713 }), 'another user');
    }
    // A mapping that goes takes its rights along.
    world.client.write('/etc/aovpn/sids.d/corp.toml', '# nobody\n');
    await until(
      'the user is let in no more',
      async () => (await other.ask('tcp', corp.web4, 80, { uid: 4711, timeoutMs: 1000 })).said === undefined,
    );
    // Told as soon as all of the change is in force, which is a moment after the first refusal.
    await until('it is told that the SID is unknown', async () =>
      JSON.stringify((await product.status()).profiles).includes('AOV-POLICY-404'),
    );
  });

  const hex = (address: string): string =>
    address.includes(':')
      ? `${address.replace('::', '').padStart(4, '0').slice(0, 4)}${'0'.repeat(24)}0080`
      : Buffer.from(address.split('.').map(Number)).toString('hex');
  const first =
    `socket(A,2,2,17);send(A,"x",0,pack("SnH8x8",2,${corp.echoPort},"${hex(corp.web4)}"));` +
    `socket(B,10,2,17);send(B,"x",0,pack("SnNH32N",10,${corp.echoPort},0,"${hex(corp.web6)}",0));`;
  const ask =
    'use Socket; socket(S,PF_INET,SOCK_STREAM,6); $SIG{ALRM}=sub{exit 1}; alarm 30; ' +
    'print connect(S,pack_sockaddr_in(80,inet_aton($ARGV[0]))) ? "reached" : "refused"';
  const counters = `table inet heard {
    counter v4 { }
    counter v6 { }
    chain input {
      type filter hook prerouting priority raw; policy accept;
      udp dport ${corp.echoPort} meta nfproto ipv4 counter name v4
      udp dport ${corp.echoPort} meta nfproto ipv6 counter name v6
    }
  }\n`;
});
