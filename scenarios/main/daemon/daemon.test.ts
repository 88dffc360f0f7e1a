// The daemon itself: two at once, no root, no TUN, killed, asked to clean up. The host is afterwards as it was before.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inCheckout } from '../../../lab/host.ts';
import { canary, network } from '../../../lab/network.ts';
import { hangMs } from '../../../lab/patience.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import type { Running } from '../../../lab/running.ts';
import { hostState } from '../../../lab/trace.ts';
import { World } from '../../../lab/world.ts';
import { type Product, installed } from '../../../lab/product.ts';

suite('main/daemon', () => {
  let world: World;
  let product: Product;
  let untouched: string;
  before(async () => {
    world = await World.create();
    await world.startGateway();
    untouched = await hostState(world.client);
    product = world.product();
  });
  after(() => world?.close());

  test('stops in good order and leaves nothing', async () => {
    await product.start();
    await product.put('tunnel', certificateProfile(), machine());
    await product.waitForState('tunnel', 'up');
    assert.notEqual(await hostState(world.client), untouched);
    assert.match((await world.application.fetch(`http://${network.corp.web}/`)).body, new RegExp(canary));
    await product.stop();
    assert.equal(product.daemon.exit?.status, 0, product.daemon.output());
    assert.equal(await hostState(world.client), untouched);
    await world.gateway.quiet();
  });

  test('connects again by itself at the next start', async () => {
    await product.start();
    await product.waitForState('tunnel', 'up');
    assert.match((await world.application.fetch(`http://${network.corp.web}/`)).body, new RegExp(canary));
  });

  test('a second daemon is refused and the first does not notice', async () => {
    const before = await product.connection('tunnel');
    const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 100);
    const second = world.product();
    const ended = await ends(second.launch());
    assert.equal(ended.status, 3, second.daemon.output());
    assert.match(second.daemon.output(), /AOV-/);
    const report = await flow.stop();
    assert.equal(report.lost, 0);
    assert.equal((await product.connection('tunnel'))?.connectedAt, before?.connectedAt);
  });

  test('killed, then started: what the dead one left is gone, and the tunnel is back', async () => {
    await product.kill();
    assert.notEqual(await hostState(world.client), untouched, 'a killed daemon leaves something, or this test proves nothing');
    await product.start();
    await product.waitForState('tunnel', 'up');
    assert.match((await world.application.fetchUntil(`http://${network.corp.web}/`)).body, new RegExp(canary));
    await product.stop();
    assert.equal(await hostState(world.client), untouched);
  });

  test('killed, then --clean-up: nothing is left', async () => {
    await product.start();
    await product.waitForState('tunnel', 'up');
    await product.kill();
    const cleaner = world.product().launch({ args: ['--clean-up'] });
    const ended = await ends(cleaner);
    assert.equal(ended.status, 0, cleaner.output());
    assert.equal(await hostState(world.client), untouched);
    // Once more: cleaning what is clean is no error.
    const again = world.product().launch({ args: ['--clean-up'] });
    assert.equal((await ends(again)).status, 0, again.output());
  });

  test('without root: says so and changes nothing', async () => {
    const running = world.product().launch({ through: ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'] });
    const ended = await ends(running);
    assert.equal(ended.status, 1, running.output());
    assert.match(running.output(), /AOV-DAEMON-504/);
    assert.match(running.output(), /root/);
    assert.equal(await hostState(world.client), untouched);
  });

  test('without a TUN device: says so and changes nothing', async () => {
    const hide = 'mount -t tmpfs tmpfs /dev/net && exec "$@"';
    const running = world.product().launch({ through: ['unshare', '--mount', 'sh', '-euc', hide, 'sh'] });
    const ended = await ends(running);
    assert.equal(ended.status, 1, running.output());
    assert.match(running.output(), /AOV-DAEMON-505/);
    assert.equal(await hostState(world.client), untouched);
  });

  test('with a bad settings file or command line: says where', async () => {
    await product.settings('[profile."tunnel"]\nmtu = "large"\n');
    const badSettings = world.product().launch();
    assert.notEqual((await ends(badSettings)).status, 0);
    assert.match(badSettings.output(), /aovpn\.toml:2[^]*AOV-DAEMON-501/);
    await product.settings('');
    const badOption = world.product().launch({ args: ['--frobnicate'] });
    assert.equal((await ends(badOption)).status, 2);
    assert.match(badOption.output(), /frobnicate[^]*--help/);
    assert.equal(await hostState(world.client), untouched);
  });

  test('strangers may neither read nor write; the socket survives nonsense', async () => {
    await product.start();
    await product.waitForState('tunnel', 'up');
    const stranger = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'];
    const cli = installed('aovpn').map(inCheckout);
    const read = await world.client.run([...stranger, ...cli, 'status']);
    assert.equal(read.status, 4, read.stdout + read.stderr);
    for (const [method, url, body] of [
      ['GET', '/v1/nothing', undefined],
      ['POST', '/v1/status', {}],
      ['PUT', '/v1/profiles/..%2F..%2Fpasswd', { xmlBase64: 'AAAA' }],
      ['PUT', '/v1/profiles/x', { xmlBase64: 17 }],
      ['PUT', '/v1/profiles/x', { xmlBase64: 'AAAA', surprise: true }],
      ['DELETE', '/v1/profiles/none', undefined],
    ] as const) {
      const answer = await product.ask(method, url, body);
      assert.ok(answer.status >= 400 && answer.status < 500, `${method} ${url}: ${answer.status}`);
    }
    assert.equal((await product.connection('tunnel'))?.state, 'up');
    await product.stop();
    assert.equal(await hostState(world.client), untouched);
  });

  function machine(): { certificatePem: string; keyPem: string; gatewayCaPem: string } {
    const issued = world.pki.machine();
    return { certificatePem: issued.chainPem, keyPem: issued.keyPem, gatewayCaPem: world.pki.root.certificatePem };
  }
});

async function ends(running: Running): Promise<{ readonly status: number | null }> {
  const ended = await Promise.race([running.exited, sleep(hangMs, undefined, { ref: false })]);
  if (ended) return ended;
  await running.stop('SIGKILL');
  assert.fail(`it still runs after ${hangMs} ms:\n${running.output()}`);
}
