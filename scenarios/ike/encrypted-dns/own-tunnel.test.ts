// A user's own tunnel: the user's names are asked of the resolver by TLS that its gateway names, and nobody else gets there.
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { parseAddress } from '@aovpn/bytes';
import { App } from '../../../lab/app.ts';
import { Capture } from '../../../lab/capture.ts';
import { network } from '../../../lab/network.ts';
import { TestkitGateway } from '../../../lab/peer/testkit-gateway.ts';
import { mschapv2Profile } from '../../../lab/profile-xml.ts';
import type { Product } from '../../../lab/product.ts';
import type { Running } from '../../../lab/running.ts';
import { Logind, noLogind } from '../../../lab/server/logind.ts';
import { startUnbound } from '../../../lab/server/unbound.ts';
import { World } from '../../../lab/world.ts';
import { encodeEncryptedDns } from '../../../packages/ike/src/message/encrypted-dns.ts';

const alice = 1001;
const resolverName = 'dns.corp.example';
const place = '10.20.0.54';
const hidden = 'hidden.corp.example';

suite('ike/encrypted-dns of one user', { skip: noLogind }, () => {
  let world: World;
  let product: Product;
  let gateway: TestkitGateway;
  let unbound: Running;
  let logind: Logind;
  let program: App;
  before(async () => {
    world = await World.create();
    const { client, corp, pki } = world;
    await corp.ip(`addr add ${place}/24 dev ${network.corp.device}`);
    const tls = pki.root.issue({ commonName: resolverName, dns: [resolverName] });
    unbound = await startUnbound(corp, [place], { [hidden]: ['10.20.0.99'] }, { tls, name: 'unbound-tls' });
    appendFileSync(client.file('/etc/passwd'), `alice:x:${alice}:${alice}::/home/alice:/bin/sh\n`);
    appendFileSync(client.file('/etc/group'), `alice:x:${alice}:\n`);
    logind = await Logind.start(client);
    program = new App(client, 'program');
    const resolver = { priority: 1, name: resolverName, addresses: [parseAddress(place)!], protocols: ['dot'] };
    gateway = await TestkitGateway.start(world.gatewayHost, {
      certificate: pki.gateway(),
      authorities: [pki.root.certificatePem],
      options: {
        eap: true,
        configuration: [
          { type: 1, value: Uint8Array.of(10, 30, 0, 10) },
          { type: 25, value: new TextEncoder().encode('corp.example') },
          { type: 27, value: encodeEncryptedDns(resolver) },
        ],
      },
      route: true,
    });
    product = world.product();
    await product.start();
    client.write('/etc/aovpn/dns.pem', pki.root.certificatePem);
    await product.settings('[profile."alice/Corp"]\ndns-ca = "dns.pem"\n');
    const file = (ending: string): string => `/etc/aovpn/users.d/alice/Corp${ending}`;
    client.write(file('.user'), 'alice');
    client.write(file('.secret'), 'correct horse\n', 0o600);
    client.write(file('.ca.pem'), pki.root.certificatePem);
    client.write(file('.xml'), mschapv2Profile({ names: {}, dnsSuffix: '' }));
    await logind.signIn('alice');
    await product.waitForState('alice/Corp', 'up');
  });
  after(async () => {
    await gateway?.stop();
    await unbound?.stop('SIGKILL');
    await world?.close();
    await logind?.stop();
  });

  const look = async (uid?: number): Promise<string | undefined> => {
    const { said } = await program.ask('name', network.internet.dns4, 53, {
      text: hidden,
      ...(uid !== undefined && { uid }),
    });
    // The last four octets of an answer without any are those of the question's type and class.
    return said === '0.1.0.1' ? 'none' : said;
  };

  test('the user is answered by TLS through the user’s tunnel, others are not', async () => {
    const inside = await Capture.start(world.gatewayHost, network.gateway.inside);
    assert.equal(await look(alice), '10.20.0.99');
    assert.equal(await look(), 'none');
    const packets = await inside.stop();
    assert.ok(packets.some(({ destination, destinationPort }) => destination === place && destinationPort === 853));
    assert.ok(!packets.some(({ payload }) => payload?.includes('\x06hidden\x04corp')));
    const { dns } = (await product.connection('alice/Corp'))!;
    assert.deepEqual(dns.encrypted?.[0]?.servers, [{ address: place, state: 'proven' }]);
    const { stdout } = await product.aovpn(['doctor', 'alice/Corp']);
    assert.match(stdout, /encrypted resolver dns\.corp\.example.*\n?.*answers by TLS/);
  });
});
