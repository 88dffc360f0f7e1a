// A bug of ours anywhere in the daemon: it ends loudly, what refuses stays in force, and its unit starts it anew.
import assert from 'node:assert/strict';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { answeredAgain, App } from '../../../lab/app.ts';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile, deviceProfile } from '../../../lab/profile-xml.ts';
import { installed, type Product } from '../../../lab/product.ts';
import { Stage } from '../../../lab/stage.ts';
import { Systemd } from '../../../lab/systemd.ts';
import { until } from '../../../lab/until.ts';
import { World } from '../../../lab/world.ts';
import { leaks, physicalLink } from '../../net/lockdown/leaker.ts';

const { corp, internet } = network;
const preload = '/run/fault.mjs';
const wanted = '/run/fault';
/** Node's own option loads it before the daemon; the product knows nothing of it. */
const environment = `--import=${preload}`;
const faults = { rejection: 'a promise that nobody heeds', exception: 'an exception that nobody catches' } as const;

/** Waits for a signal, then does what no code of ours should. */
const injector = `
import { readFileSync } from 'node:fs';
const bug = () => new Error('a bug that the test has put in');
process.on('SIGUSR2', () => {
  if (readFileSync('${wanted}', 'utf8') === 'rejection') void Promise.reject(bug());
  else setImmediate(() => { throw bug(); });
});
`;

/** A stream of datagrams of somebody without privilege past the tunnel: it would find any instant that is open. */
const leaker = [
  'setpriv',
  '--reuid=65534',
  '--regid=65534',
  '--clear-groups',
  'perl',
  '-MSocket=:all',
  '-e',
  `socket(A,AF_INET,SOCK_DGRAM,17);socket(B,AF_INET6,SOCK_DGRAM,17);while(1){send(A,"stream-leak",0,pack_sockaddr_in(4999,inet_pton(AF_INET,"${internet.web4}")));send(B,"stream-leak",0,pack_sockaddr_in6(4999,inet_pton(AF_INET6,"${internet.web6}")));select(undef,undef,undef,0.0005)}`,
];

suite('main/crash: LockDown, by the units', () => {
  let world: World;
  let product: Product;
  let systemd: Systemd;
  before(async () => {
    world = await World.create();
    await world.startGateway();
    product = world.product();
    const { client, pki } = world;
    const machine = pki.machine();
    client.write(preload, injector);
    client.write(
      '/etc/aovpn/profiles.d/device.xml',
      deviceProfile({ routing: 'ForceTunnel', extra: '<LockDown>true</LockDown>' }),
    );
    client.write('/etc/aovpn/profiles.d/device.pem', machine.chainPem);
    client.write('/etc/aovpn/profiles.d/device.key', machine.keyPem, 0o600);
    client.write('/etc/aovpn/profiles.d/device.ca.pem', pki.root.certificatePem);
    systemd = await Systemd.boot(client, ['aovpn-lockdown.service', 'aovpn.service'], {
      'aovpn.service': `[Unit]\nStartLimitIntervalSec=0\n[Service]\nEnvironment=NODE_OPTIONS=${environment}\n`,
    });
    await systemd.until('aovpn.service', 'StatusText', /^1 of 1 up$/);
  });
  after(async () => {
    await systemd?.[Symbol.asyncDispose]();
    await world?.close();
  });

  for (const [fault, what] of Object.entries(faults))
    test(`${what}: not a packet leaves, and the tunnel is back`, async () => {
      const { client } = world;
      const { mac } = await physicalLink(client);
      const [pid, restarts] = [await systemd.property('aovpn.service', 'MainPID'), await restartsOf(systemd)];
      const capture = await world.capture();
      const stream = client.spawn(leaker, { name: 'stream' });
      client.write(wanted, fault);
      await systemd.exec(['kill', '-USR2', pid]);
      await systemd.until('aovpn.service', 'NRestarts', new RegExp(`^${restarts + 1}$`));
      assert.match(await client.exec(['nft', 'list', 'table', 'inet', 'aovpn_lockdown']), /policy drop/);
      await systemd.startedAnew('aovpn.service', pid);
      await systemd.until('aovpn.service', 'StatusText', /^1 of 1 up$/);
      assert.match((await world.application.fetch(`http://${corp.web}/`)).body, new RegExp(canary));
      await stream.stop();
      const packets = await capture.stop();
      assert.deepEqual(leaks(packets, mac), []);
      assert.ok(packets.length > 0);
      const said = (await systemd.journal('-u', 'aovpn.service')).map(({ MESSAGE }) => MESSAGE);
      assert.ok(
        said.some((text) => text?.includes('bug, the daemon ends') && text.includes('a bug that the test has put in')),
        'it says why',
      );
      assert.equal((await product.status()).lockdown?.state, 'engaged');
    });
});

suite('main/crash: a forced app', () => {
  let stage: Stage;
  let forced: App;
  before(async () => {
    stage = await Stage.set();
    const { world, product } = stage;
    forced = new App(world.client, 'forced');
    const filter = `<TrafficFilter><App><Id>${forced.file}</Id></App><RoutingPolicyType>ForceTunnel</RoutingPolicyType></TrafficFilter>`;
    world.client.write(preload, injector);
    await product.stop();
    await begin(product);
    await product.put('corp', certificateProfile({ extra: filter }), stage.machine());
    await product.waitForState('corp', 'up');
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  for (const [fault, what] of Object.entries(faults))
    test(`${what}: not one of its answers comes past the tunnel`, async () => {
      const { product, world } = stage;
      const { client } = world;
      const { daemon } = product;
      const asking = forced.askOnAndOn(internet.web4, corp.echoPort);
      await asking.saysWithin(/^\d+\.\d+/m);
      client.write(wanted, fault);
      await daemon.signal('SIGUSR2');
      await until(
        () => `the daemon ends:\n${daemon.output().slice(-2000)}`,
        () => daemon.exit !== undefined,
      );
      assert.equal(daemon.exit?.status, 1, daemon.output().slice(-2000));
      // As its unit does (systemd.exec(5), ExecStopPost).
      await client.run([...installed('aovpnd'), '--clean-up'], { env: { ...process.env, SERVICE_RESULT: 'exit-code' } });
      await sleep(300);
      await begin(product);
      await product.waitForState('corp', 'up');
      const answers = await answeredAgain(asking);
      assert.deepEqual(
        answers.filter((to) => to === network.client.home.v4),
        [],
        'answers past the tunnel',
      );
    });
});

async function begin(product: Product): Promise<void> {
  await product.start({ env: { ...process.env, NODE_OPTIONS: environment } });
}

async function restartsOf(systemd: Systemd): Promise<number> {
  return Number(await systemd.property('aovpn.service', 'NRestarts'));
}
