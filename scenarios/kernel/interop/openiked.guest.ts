// In the kernel lane: our daemon on the kernel's IPsec against OpenIKED. Its Linux build speaks PF_KEY to the kernel: AES-CBC with HMAC-SHA1 is what it
// can install, so the profile asks for that and the settings allow it.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { ConnectionStatus, DaemonStatus, TraceMessage } from '@aovpn/api';
import { OpenIked, type OpenIkedOptions } from '../../../lab/gateway/openiked.ts';
import { canary, network } from '../../../lab/network.ts';
import { certificateProfile, mschapv2Profile, type ProfileOptions } from '../../../lab/profile-xml.ts';
import type { Product } from '../../../lab/product.ts';
import { type Credentials, users } from '../../../lab/stage.ts';
import { World } from '../../../lab/world.ts';
import { assertOnlyTunnel, changes, kernelSpis } from './kernel-tunnel.ts';

const name = 'openiked';
const suiteOfIts = {
  encryption: 'AES_GCM_256',
  integrity: 'SHA256',
  group: 'ECP256',
  cipher: 'AES256',
  authentication: 'SHA196',
  pfs: 'None',
} as const;

const sharedKey = 'Jm3v7Qd1xk2SgqT0nZ8yPw5LrB4cHf6U';
const weak = `[profile."${name}"]\nallow-weak = true\n`;

suite('OpenIKED', { concurrency: 1 }, () => {
  let world: World;
  let product: Product;
  let gateway: OpenIked | undefined;
  before(async () => {
    world = await World.create();
    product = world.product();
    await product.settings(weak);
    await product.start();
  });
  after(async () => await world?.close());

  const start = async (options: Partial<OpenIkedOptions> = {}): Promise<void> => {
    const { pki } = world;
    gateway = await OpenIked.start(world.gatewayHost, {
      certificate: pki.gateway(),
      authority: pki.root.certificatePem,
      ...options,
    });
  };
  const end = async (): Promise<void> => {
    if ((await product.connection(name)) !== undefined) await product.remove(name);
    await gateway?.stop();
  };
  /** Does something; a failure comes with what both sides said last. */
  const told = async <T>(action: Promise<T>): Promise<T> => {
    try {
      return await action;
    } catch (error) {
      const ours = product.daemon.output().slice(-3000);
      throw new Error(`${String(error)}\n${gateway!.log().slice(-6000)}\n${ours}`, { cause: error });
    }
  };
  const up = async (xml: string, put: Credentials): Promise<ConnectionStatus> => {
    await product.put(name, xml, put);
    const connection = await told(product.waitForState(name, 'up'));
    assert.equal(connection.dataPlane?.kind, 'kernel');
    assert.match(connection.crypto?.child ?? '', /^AES-CBC-256 \/ HMAC-SHA1-96/);
    return connection;
  };
  const machine = (): Credentials => {
    const { chainPem, keyPem } = world.pki.machine();
    return { certificatePem: chainPem, keyPem, gatewayCaPem: world.pki.root.certificatePem };
  };
  const profile: ProfileOptions = { servers: `v4.${network.gateway.name}`, suite: suiteOfIts };
  const intranet = async (): Promise<void> => {
    assert.match((await told(world.application.fetch(`http://${network.corp.web4}/`))).body, new RegExp(canary));
  };

  const connected = async (): Promise<ConnectionStatus> => {
    const status = JSON.parse((await product.aovpn(['status', '--json'])).stdout) as DaemonStatus;
    return status.connections.find((one) => one.name === name)!;
  };
  const messages = async (): Promise<readonly TraceMessage[]> => {
    const { stdout } = await product.aovpn(['trace', '--json', name]);
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as TraceMessage);
  };

  suite('one tunnel', { concurrency: 1 }, () => {
    before(async () => {
      await start();
      await product.settings(`${weak}child-lifetime-megabytes = 1\n`);
    });
    after(async () => {
      await end();
      await world.moveClient('home');
      await product.settings(weak);
    });

    test('certificate: a tunnel with AES-CBC-256 and HMAC-SHA1, the best that it can install on Linux', async () => {
      const capture = await world.capture();
      await up(certificateProfile(profile), machine());
      await intranet();
      assertOnlyTunnel(await capture.stop());
    });

    test('rekeys of the CHILD_SA by us, after a megabyte', async () => {
      const before = await kernelSpis(world.client);
      await told(world.application.fetch(`http://${network.corp.web4}/bytes/1500000`));
      await told(changes('SPIs', before, () => kernelSpis(world.client)));
      await intranet();
    });

    test('MOBIKE: IKE follows to another network, and ESP, which does not, is made to: by a rekey, in the same tunnel', async () => {
      const before = await connected();
      const spis = await kernelSpis(world.client);
      const said = (await messages()).length;
      await world.moveClient('away');
      await told(world.application.fetchUntil(`http://${network.corp.web4}/`, { timeoutMs: 60_000 }));
      assert.match(product.daemon.output(), /its ESP does not come to the new address/);
      const after = await connected();
      const since = (await messages()).slice(said);
      const seen = since.map(
        ({ exchange, direction, outcome, response }) =>
          `${exchange} ${direction} ${response ? 'response' : 'request'} ${outcome}`,
      );
      const spisNow = await kernelSpis(world.client);
      const what = JSON.stringify([before.connectedAt, after.connectedAt, spis, spisNow, seen]);
      assert.ok(
        since.some(
          ({ exchange, direction, response, outcome }) =>
            exchange === 'CREATE_CHILD_SA' && direction === 'in' && response && outcome === 'believed',
        ),
        `a rekey: ${what}`,
      );
      assert.notEqual(spisNow, spis, what);
      assert.ok(!since.some(({ exchange }) => exchange === 'IKE_SA_INIT'), `no new tunnel: ${what}`);
      assert.equal(after.connectedAt, before.connectedAt, what);
      assert.equal(after.state, 'up');
      await intranet();
    });
  });

  test('a shared key', async () => {
    await start({ sharedKey });
    world.client.write('/etc/aovpn/shared.key', `${sharedKey}\n`, 0o600);
    await product.settings(
      `${weak}shared-key-file = "shared.key"\nidentity = "laptop.corp.example"\ngateway-identity = "${network.gateway.name}"\n`,
    );
    try {
      const { crypto } = await up(certificateProfile(profile), { gatewayCaPem: world.pki.root.certificatePem });
      assert.equal(crypto?.authentication, 'shared key');
      await intranet();
    } finally {
      await end();
      await product.settings(weak);
    }
  });

  test('user name and password (EAP-MSCHAPv2)', async () => {
    const user = { name: 'alice', password: users.alice };
    await start({ user, certificate: world.pki.gateway('good', 'rsa2048') });
    try {
      await up(mschapv2Profile(profile), {
        userName: user.name,
        password: user.password,
        gatewayCaPem: world.pki.root.certificatePem,
      });
      await intranet();
    } finally {
      await end();
    }
  });
});
