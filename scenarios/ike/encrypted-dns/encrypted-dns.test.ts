// Resolvers by TLS that a gateway names (RFC 9464, RFC 7858): unbound behind the testkit's responder, which routes what comes out of the tunnel.
// No gateway on Debian sends these attributes.
import assert from 'node:assert/strict';
import { createHash, createPublicKey } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionStatus, DoctorReport } from '@aovpn/api';
import { parseAddress } from '@aovpn/bytes';
import { assertOnlyEsp, Capture } from '../../../lab/capture.ts';
import { network } from '../../../lab/network.ts';
import type { WirePacket } from '../../../lab/pcap.ts';
import { TestkitGateway } from '../../../lab/peer/testkit-gateway.ts';
import type { Issued, LeafRequest } from '../../../lab/pki/authority.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import type { Product } from '../../../lab/product.ts';
import type { Running } from '../../../lab/running.ts';
import { startUnbound } from '../../../lab/server/unbound.ts';
import { World } from '../../../lab/world.ts';
import { encodeDigest, encodeEncryptedDns } from '../../../packages/ike/src/message/encrypted-dns.ts';

const name = 'encrypted';
const resolverName = 'dns.corp.example';
/** The resolver by TLS; who asks it in the clear is lied to. */
const place = '10.20.0.54';
const hidden = 'hidden.corp.example';
const truth = '10.20.0.99';
const lie = '10.20.0.66';
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

suite('ike/encrypted-dns', () => {
  let world: World;
  let product: Product;
  let gateway: TestkitGateway;
  let unbound: Running;
  let liar: Running;
  let good: Issued;
  const issue = (more: Partial<LeafRequest> = {}): Issued =>
    world.pki.root.issue({ commonName: resolverName, dns: [resolverName], ...more });

  async function serve(tls: Issued): Promise<void> {
    await unbound?.stop('SIGKILL');
    unbound = await startUnbound(world.corp, [place], { [hidden]: [truth] }, { tls, name: 'unbound-tls' });
  }
  /** What the gateway says of names, beside an address and a clear name server. */
  const configuration = (more: { protocols?: readonly string[]; digest?: Uint8Array } = {}) => [
    { type: 1, value: Uint8Array.of(10, 30, 0, 10) },
    { type: 3, value: parseAddress(network.corp.dns4)!.bytes },
    { type: 25, value: text('corp.example') },
    {
      type: 27,
      value: encodeEncryptedDns({
        priority: 1,
        name: resolverName,
        addresses: [parseAddress(place)!],
        protocols: more.protocols ?? ['dot'],
      }),
    },
    ...(more.digest ? [{ type: 29, value: encodeDigest({ hash: 'sha256', octets: more.digest }) }] : []),
  ];
  /** Puts settings into force. @param shows what the status says of the resolver, or of who is asked, from then on */
  async function settings(lines: string, shows: RegExp): Promise<void> {
    await product.settings(`[profile.${name}]\n${lines}\n`);
    for (let turn = 0; ; turn++) {
      const { dns } = (await product.connection(name))!;
      const shown = [
        ...dns.rules.flatMap(({ servers }) => servers),
        ...dns.encrypted!.map((one) => one.notAsked ?? one.provenBy),
      ];
      if (shows.test(shown.join(' '))) return;
      assert.ok(turn < 240, shown.join(' '));
      await sleep(250);
    }
  }
  const byAuthority = (): Promise<void> => settings('dns-ca = "dns.pem"', /^10\.20\.0\.54 a certificate .* of dns-ca$/);
  async function reconnect(more: Parameters<typeof configuration>[0] = {}): Promise<void> {
    await gateway.tell({ op: 'options', options: { configuration: configuration(more) } });
    await product.down(name);
    await product.up(name);
    await product.waitForState(name, 'up');
  }
  const resolver = async () => ((await product.connection(name)) as ConnectionStatus).dns.encrypted![0]!;
  /** The address of the hidden name, or `none`. */
  const look = async (): Promise<string> => {
    const found = await world.application.resolve(hidden, 4).catch((): string[] => []);
    assert.ok(!found.includes(lie), 'who answers in the clear at the resolver’s place is believed');
    return found.join() || 'none';
  };
  const lookUntil = async (wanted: string): Promise<void> => {
    for (let turn = 0; ; turn++) {
      const found = await look();
      if (found === wanted) return;
      assert.ok(turn < 240, `${found} instead of ${wanted}: ${JSON.stringify(await resolver())}`);
      await sleep(250);
    }
  };
  /** What a capture behind the gateway holds of questions in the clear: those that name the hidden host, whatever their port. */
  const clearOnes = (packets: readonly WirePacket[]): readonly WirePacket[] =>
    packets.filter(({ payload }) => payload?.includes('\x06hidden\x04corp') ?? false);

  before(async () => {
    world = await World.create();
    good = issue();
    await world.corp.ip(`addr add ${place}/24 dev ${network.corp.device}`);
    await serve(good);
    liar = await startUnbound(world.corp, [`${place}@53`], { [hidden]: [lie] }, { name: 'unbound-liar' });
    product = world.product();
    await product.start();
    world.client.write('/etc/aovpn/dns.pem', world.pki.root.certificatePem);
    await product.settings(`[profile.${name}]\ndns-ca = "dns.pem"\n`);
    gateway = await TestkitGateway.start(world.gatewayHost, {
      certificate: world.pki.gateway(),
      authorities: [world.pki.root.certificatePem],
      options: { configuration: configuration() },
      route: true,
    });
    const issued = world.pki.machine();
    await product.put(name, certificateProfile({ names: {}, dnsSuffix: '' }), {
      certificatePem: issued.chainPem,
      keyPem: issued.keyPem,
      gatewayCaPem: world.pki.root.certificatePem,
    });
    await product.waitForState(name, 'up');
  });
  after(async () => {
    await gateway?.stop();
    await unbound?.stop('SIGKILL');
    await liar?.stop('SIGKILL');
    await world?.close();
  });

  test('names inside are asked by TLS alone, and no question in the clear passes, neither outside nor inside', async () => {
    const inside = await Capture.start(world.gatewayHost, network.gateway.inside);
    const outside = await world.capture();
    assert.equal(await look(), truth);
    assert.deepEqual(await world.application.resolve(network.internet.web, 4), [network.internet.web4]);
    const packets = await inside.stop();
    assert.deepEqual(clearOnes(packets), []);
    assert.ok(packets.some(({ destination, destinationPort }) => destination === place && destinationPort === 853));
    assert.ok(!packets.some(({ destinationPort }) => destinationPort === 53));
    assertOnlyEsp(await outside.stop(), ['hidden'], { publicDns: [network.internet.dns4, network.internet.dns6] });

    // Control: asked in the clear it is seen.
    await settings('encrypted-dns = "off"', /encrypted-dns is off/);
    const control = await Capture.start(world.gatewayHost, network.gateway.inside);
    await lookUntil('none');
    const seen = clearOnes(await control.stop());
    assert.ok(seen.some(({ destination, destinationPort }) => destination === network.corp.dns4 && destinationPort === 53));
    await byAuthority();
    await lookUntil(truth);
  });

  test('status, explain and doctor say who is asked, and what proves it', async () => {
    assert.equal(await look(), truth);
    const { dns } = (await product.connection(name))!;
    assert.deepEqual(dns.rules[0]!.encrypted, [`${place} (TLS, ${resolverName})`]);
    assert.deepEqual(dns.encrypted, [
      {
        name: resolverName,
        addresses: [place],
        protocols: ['dot'],
        provenBy: `a certificate for ${resolverName} from an authority of dns-ca`,
        servers: [{ address: place, state: 'proven' }],
      },
    ]);
    const shown = (await product.aovpn(['status', name])).stdout;
    assert.match(shown, new RegExp(`${resolverName} \\(${place}\\): proven by a certificate`));
    const explained = (await product.aovpn(['explain', hidden])).stdout;
    assert.match(explained, /asked by TLS alone, and only when proven by/);
    const report = JSON.parse((await product.aovpn(['doctor', name, '--json'])).stdout) as DoctorReport;
    const check = report.checks.find((one) => one.name.startsWith('encrypted resolver'));
    assert.equal(check?.verdict, 'ok', check?.found);
  });

  for (const [what, request, code] of [
    ['a certificate of another name', { dns: ['dns.other.example'] }, 'AOV-HOST-343'],
    ['an expired certificate', { validity: 'expired' }, 'AOV-HOST-344'],
  ] as const)
    test(`${what}: no answer, and nobody is asked in the clear, though the gateway names a clear server`, async () => {
      await serve(issue(request));
      const inside = await Capture.start(world.gatewayHost, network.gateway.inside);
      await lookUntil('none');
      assert.equal(await look(), 'none');
      assert.deepEqual(clearOnes(await inside.stop()), []);
      const [server] = (await resolver()).servers!;
      assert.deepEqual([server!.state, server!.problem?.code, server!.problem?.side], ['failing', code, 'gateway']);
      assert.match((await product.aovpn(['explain', hidden])).stdout, new RegExp(code));
      const report = JSON.parse((await product.aovpn(['doctor', name, '--json'])).stdout) as DoctorReport;
      const check = report.checks.find((one) => one.name.startsWith('encrypted resolver'));
      assert.equal(check?.verdict, 'failed');
      assert.match(check?.found ?? '', new RegExp(code));
      assert.ok(check?.cure);
    });

  test('where the settings permit, the clear servers of the gateway answer instead', async () => {
    await settings('dns-ca = "dns.pem"\nencrypted-dns = "fallback"', /^10\.20\.0\.54 10\.20\.0\.53 /);
    const inside = await Capture.start(world.gatewayHost, network.gateway.inside);
    await world.application.resolve(hidden, 4).catch((): string[] => []);
    assert.deepEqual(await world.application.resolve(network.corp.web, 4), [network.corp.web4]);
    const seen = clearOnes(await inside.stop());
    assert.ok(seen.length > 0 && seen.every((packet) => [packet.source, packet.destination].includes(network.corp.dns4)));
    await byAuthority();
    await serve(good);
    await lookUntil(truth);
  });

  test('it dies in the middle and comes back', async () => {
    assert.equal(await look(), truth);
    await unbound.stop('SIGKILL');
    const inside = await Capture.start(world.gatewayHost, network.gateway.inside);
    assert.equal(await look(), 'none');
    assert.equal((await resolver()).servers![0]!.state, 'failing');
    await serve(good);
    await lookUntil(truth);
    assert.deepEqual(clearOnes(await inside.stop()), []);
    assert.equal((await resolver()).servers![0]!.problem, undefined);
  });

  test('the digest of its key proves it, without an authority; another one does not', async () => {
    const digest = createHash('sha256')
      .update(createPublicKey(good.keyPem).export({ type: 'spki', format: 'der' }))
      .digest();
    await settings('', /of the system$/);
    await lookUntil('none');
    assert.equal((await resolver()).servers![0]!.problem?.code, 'AOV-HOST-345');
    await reconnect({ digest });
    assert.match((await resolver()).provenBy ?? '', /digest of its key/);
    await lookUntil(truth);
    await serve(issue());
    await lookUntil('none');
    assert.equal((await resolver()).servers![0]!.problem?.code, 'AOV-HOST-346');
    await serve(good);
    await lookUntil(truth);
  });

  test('a gateway that names DNS over HTTPS alone is asked at its clear servers, and status says so', async () => {
    await reconnect({ protocols: ['h2'] });
    assert.match((await resolver()).notAsked ?? '', /speaks h2/);
    assert.deepEqual(await world.application.resolve(network.corp.web, 4), [network.corp.web4]);
  });
});
