// TrustedNetworkDetection: no tunnel in the network of the organisation, one everywhere else; and who can make us believe where we are.
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { after, afterEach, before, suite, test } from 'node:test';
import type { ConnectionStatus } from '@aovpn/api';
import { countSorts } from '../../../lab/capture.ts';
import { network } from '../../../lab/network.ts';
import type { Issued } from '../../../lab/pki/authority.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import type { Running } from '../../../lab/running.ts';
import { leaseAddress, startDhcpServer } from '../../../lab/server/dhcp.ts';
import { Stage } from '../../../lab/stage.ts';

const { home } = network.client;
const zone = network.corp.zone;
const beaconName = `beacon.${zone}`;
const beaconPort = 8443;
const trusting = `<TrustedNetworkDetection>lan.example,${zone.toUpperCase()}</TrustedNetworkDetection>`;

suite('always-on/trusted-network', () => {
  let stage: Stage;
  let beacon: Running | undefined;
  before(async () => {
    stage = await Stage.set();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());
  afterEach(async () => {
    await beacon?.stop('SIGKILL');
    beacon = undefined;
    await stage.clear();
    await stage.product.settings('');
    arrive('hotel.example');
  });

  /** A DHCP client has taken a lease with this suffix. */
  const arrive = (suffix: string): void =>
    stage.world.client.write('/etc/resolv.conf', `search ${suffix}\nnameserver ${network.internet.dns4}\n`);
  /** A TLS server that only this network has. */
  const light = async ({ chainPem, keyPem }: Pick<Issued, 'chainPem' | 'keyPem'>, ...more: string[]): Promise<void> => {
    const { router } = stage.world;
    router.write('/run/beacon.pem', chainPem);
    router.write('/run/beacon.key', keyPem, 0o600);
    const files = ['-cert', '/run/beacon.pem', '-key', '/run/beacon.key'];
    beacon = router.spawn(['openssl', 's_server', '-accept', `${home.router4}:${beaconPort}`, ...files, '-www', ...more], {
      name: 'beacon',
    });
    await beacon.saysWithin(/ACCEPT/);
  };
  const put = async (extra: string = trusting): Promise<void> => {
    await stage.product.put('corp', certificateProfile({ extra }), stage.machine());
  };
  const becomes = (state: ConnectionStatus['state']): Promise<ConnectionStatus> => stage.product.waitForState('corp', state);

  test('by suffix: down on arrival, up on leaving, with the line; not one packet to the gateway while it is trusted', async () => {
    arrive(zone);
    const capture = await stage.world.capture();
    await put();
    const status = await becomes('trusted');
    assert.match(status.reason, new RegExp(`trusted DNS suffix ${zone}, which any network can hand out`));
    assert.equal(status.trust?.spoofable, true);
    assert.match(status.trust.because ?? '', /corp\.xml:\d+|line \d+|TrustedNetworkDetection/);
    assert.equal(status.attempts, 0);
    const quiet = countSorts(await capture.stop());
    assert.equal(quiet.ike + quiet.esp, 0, JSON.stringify(quiet));
    const control = await stage.world.capture();
    arrive('hotel.example');
    await becomes('up');
    assert.ok(countSorts(await control.stop()).ike > 0, 'the capture sees a handshake');
    arrive(zone);
    const left = await becomes('trusted');
    assert.equal(left.device, undefined);
    assert.deepEqual(left.addresses, []);
    await stage.world.gateway.quiet();
    const text = (await stage.product.aovpn(['status'])).stdout;
    assert.match(text, /network +trusted: .*\(trusted-beacon would prove it\)/);
  });

  test('the names of name rules stand in for the list that is missing, and the plan says so', async () => {
    arrive(zone);
    await put('');
    const { trust } = await becomes('trusted');
    assert.match(trust?.because ?? '', /DomainNameInformation, as TrustedNetworkDetection is absent/);
  });

  test('a person may connect on a trusted network all the same', async () => {
    arrive(zone);
    await put();
    await becomes('trusted');
    await stage.product.up('corp');
    await becomes('up');
    await stage.product.down('corp');
    await becomes('held');
    await stage.product.up('corp');
  });

  test('a beacon of the company’s authority: trusted and proven; elsewhere the suffix alone does nothing', async () => {
    const { world, product } = stage;
    world.client.write('/etc/aovpn/beacon-ca.pem', world.pki.root.certificatePem);
    world.client.write('/etc/hosts', `127.0.0.1 localhost\n${home.router4} ${beaconName}\n`);
    await product.settings(
      `[profile.corp]\ntrusted-beacon = "${beaconName}:${beaconPort}"\ntrusted-beacon-ca = "beacon-ca.pem"\n`,
    );
    await light(world.pki.root.issue({ commonName: beaconName, dns: [beaconName], usages: ['serverAuth'] }));
    arrive(zone);
    await put();
    const { trust } = await becomes('trusted');
    assert.equal(trust?.spoofable, false);
    assert.match(trust.why, /beacon beacon\.corp\.example has proven itself/);
    // A hotel whose DHCP server hands out the company's suffix.
    await beacon?.stop('SIGKILL');
    await world.moveClient('away');
    const outside = await becomes('up');
    assert.equal(outside.trust?.verdict, 'untrusted');
    assert.match(outside.trust.why, /has not proven itself/);
    await world.moveClient('home');
  });

  test('a beacon that asks for the certificate of the machine: it is shown it; one that refuses it is none', async () => {
    const { world, product } = stage;
    world.client.write('/etc/aovpn/beacon-ca.pem', world.pki.root.certificatePem);
    await product.settings(
      `[profile.corp]\ntrusted-beacon = "${beaconName}:${beaconPort}"\ntrusted-beacon-ca = "beacon-ca.pem"\ntrusted-beacon-certificate = true\n`,
    );
    world.client.write('/etc/hosts', `127.0.0.1 localhost\n${home.router4} ${beaconName}\n`);
    const real = world.pki.root.issue({ commonName: beaconName, dns: [beaconName], usages: ['serverAuth'] });
    const demanding = ['-Verify', '3', '-verify_return_error', '-CAfile', '/run/beacon-clients.pem'];
    world.router.write('/run/beacon-clients.pem', world.pki.root.certificatePem);
    await light(real, ...demanding);
    arrive(zone);
    await put();
    assert.equal((await becomes('trusted')).trust?.spoofable, false);
    const { subject } = new X509Certificate(stage.machine().certificatePem!);
    const commonName = /CN=(.*)/.exec(subject)![1]!;
    await beacon!.saysWithin(new RegExp(`CN ?= ?${commonName.replaceAll('.', '\\.')}`));
    await stage.clear();
    await beacon?.stop('SIGKILL');
    world.router.write('/run/beacon-clients.pem', real.chainPem);
    await light(real, ...demanding);
    await put();
    assert.match((await becomes('up')).trust?.why ?? '', /does not take our certificate/);
  });

  test('a rogue DHCP server that hands out the company’s suffix: believed without a beacon, and told so; not with one', async () => {
    const { world, product } = stage;
    const { device } = network.client;
    await world.client.exec(['ip', '-4', 'addr', 'flush', 'dev', device]);
    const server = await startDhcpServer(world.router, {
      device: network.router.toClient,
      address: '192.0.2.50',
      length: 24,
      router: home.router4,
      routes: [],
      dns: network.internet.dns4,
      domain: zone,
    });
    const client = await leaseAddress(world.client, device);
    try {
      await put();
      const { trust } = await becomes('trusted');
      assert.equal(trust?.spoofable, true);
      assert.match(trust.trace.join('\n'), /wan0 has the DNS suffix corp\.example \((?:dhclient|resolv\.conf)\)/);
      await product.settings(
        `[profile.corp]\ntrusted-beacon = "${home.router4}:${beaconPort}"\ntrusted-beacon-pin = "sha256/${'A'.repeat(43)}="\n`,
      );
      const up = await becomes('up');
      assert.match(up.trust?.why ?? '', /trusted DNS suffix corp\.example, but the beacon .* has not proven itself/);
    } finally {
      await stage.clear();
      await client.stop('SIGTERM');
      await server.stop('SIGTERM');
      await world.client.exec(['rm', '-f', '/var/lib/dhcp/dhclient.leases']);
      await world.client.exec(['ip', '-4', 'addr', 'flush', 'dev', device]);
      await world.client.exec(['ip', 'addr', 'add', `${home.v4}/24`, 'dev', device]);
      await world.plug(true);
    }
  });

  test('an impostor at the address of a pinned beacon, with a better certificate than the real one, is not believed', async () => {
    const { world, product } = stage;
    const issue = (): Issued => world.pki.root.issue({ commonName: beaconName, dns: [beaconName], usages: ['serverAuth'] });
    const real = issue();
    const key = new X509Certificate(real.chainPem).publicKey.export({ type: 'spki', format: 'der' });
    const pin = createHash('sha256').update(key).digest('base64');
    await product.settings(
      `[profile.corp]\ntrusted-beacon = "${home.router4}:${beaconPort}"\ntrusted-beacon-pin = "sha256/${pin}"\n`,
    );
    await light(issue());
    arrive(zone);
    await put();
    const { trust } = await becomes('up');
    assert.match(trust?.why ?? '', /which is not pinned/);
    await stage.clear();
    await beacon?.stop('SIGKILL');
    await light(real);
    await put();
    assert.equal((await becomes('trusted')).trust?.spoofable, false);
  });
});
