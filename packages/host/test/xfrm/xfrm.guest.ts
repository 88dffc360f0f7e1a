import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { espSuites, espTransform, type EspSa } from '@aovpn/esp';
import { openRouteSocket } from '../../src/network/route-socket.ts';
import { readKernelPlaneSupport } from '../../src/xfrm/read-kernel-plane-support.ts';
import { watchXfrm } from '../../src/xfrm/watch-xfrm.ts';
import { cleanUpXfrm } from '../../src/xfrm/xfrm-clean-up.ts';
import { newDeviceRequest } from '../../src/xfrm/xfrm-device.ts';
import { ourNumbers } from '../../src/xfrm/xfrm-number.ts';
import { openXfrmSocket } from '../../src/xfrm/xfrm-socket.ts';
import { XfrmTunnel } from '../../src/xfrm/xfrm-tunnel.ts';
import { KernelDevice } from '../../src/data-plane/kernel-device.ts';
import { Inbox, until } from '../data-plane/inbox.ts';
import { UdpPeer } from '../data-plane/inner-traffic.ts';
import { address, inner, inside, ip, makeNetWorld, outer, run, type NetWorld } from '../data-plane/net-world.ts';

const id = ourNumbers.first + 0x700;
const sa = (spi: number): EspSa => ({ spi, encryptionKey: new Uint8Array(randomBytes(20)), integrityKey: new Uint8Array() });

suite('the kernel’s IPsec', { concurrency: 1 }, () => {
  let world: NetWorld;
  before(() => {
    world = makeNetWorld();
  });
  after(() => world?.remove());

  test('all that we need is there, with every suite, and trying it leaves nothing', async () => {
    const links = ip('-o', 'link');
    const { works, why, suites } = await readKernelPlaneSupport();
    assert.deepEqual([works, suites.length], [true, espSuites.length], why);
    assert.equal(ip('-o', 'link'), links);
    assert.equal(ip('xfrm', 'state') + ip('xfrm', 'policy'), '');
  });

  test('a soft limit asks for a rekey; a state that somebody deletes is missed; a clean-up takes ours and leaves others’', async () => {
    const asked = new Inbox<string>();
    const { xfrm, routes, tunnel, watch } = await inside(world.a, () => {
      const socket = openXfrmSocket();
      const own = new XfrmTunnel(socket, { by: 'interface', id }, 0);
      const news = {
        expired: (spi: number, why: string) => asked.put(`${spi} ${why}`),
        lost: (spi: number) => asked.put(`${spi} lost`),
        policiesGone: () => asked.put('policies'),
        deviceGone: () => undefined,
      };
      return { xfrm: socket, routes: openRouteSocket(), tunnel: own, watch: watchXfrm(own, news) };
    });
    try {
      assert.deepEqual(routes.request([newDeviceRequest('xf0', 1400, id)]), [{ ok: true }]);
      tunnel.move({ local: outer.a[4], localPort: 4500, remote: outer.b[4], remotePort: 4500 });
      const transform = { ...espTransform({ encr: 20, keyBits: 128, integ: 0 })!, softByteLimit: 1000 };
      tunnel.install({ spiIn: 0x1001, spiOut: 0x1002, transform, esn: true }, sa(0x1001), sa(0x1002));
      tunnel.setAddresses([inner.a[4]]);
      tunnel.use(0x1001);
      ip('-n', world.a, 'addr', 'add', '10.77.1.1/32', 'dev', 'xf0');
      ip('-n', world.a, 'link', 'set', 'xf0', 'up');
      ip('-n', world.a, 'route', 'add', '10.77.0.0/16', 'dev', 'xf0');
      const peer = await UdpPeer.open(world.a, inner.a[4]);
      for (let i = 0; i < 4; i++) peer.send(new Uint8Array(500), inner.b[4], 7);
      assert.equal(await asked.take('an expiry'), '4097 bytes');
      peer.close();
      const [pair] = tunnel.pairs;
      assert.ok(tunnel.counters(pair!).bytesOut > 1000 && tunnel.counters(pair!).sequenceOut >= 3);

      // The same pair towards another address of the gateway: counters stay, numbers go on.
      const sent = tunnel.counters(pair!).sequenceOut;
      tunnel.move({ local: outer.a[4], localPort: 4500, remote: address('10.99.0.77'), remotePort: 4501 });
      assert.equal(tunnel.counters(pair!).sequenceOut, sent);
      assert.ok(tunnel.counters(pair!).bytesOut > 1000);

      asked.clear();
      run(world.a, 'ip', 'xfrm', 'state', 'delete', 'dst', '10.99.0.77', 'proto', 'esp', 'spi', '0x1002');
      assert.equal(await asked.take('a loss'), '4097 lost');

      const foreign = ['src', '10.99.0.1', 'dst', '10.99.0.2', 'proto', 'esp', 'spi', '0x9009', 'mode', 'tunnel'];
      const key = `0x${'11'.repeat(20)}`;
      run(world.a, 'ip', 'xfrm', 'state', 'add', ...foreign, 'aead', 'rfc4106(gcm(aes))', key, '128');
      const { states, policies, problems } = await inside(world.a, cleanUpXfrm);
      assert.deepEqual([states, policies > 0, problems], [1, true, []]);
      const left = run(world.a, 'ip', 'xfrm', 'state') + run(world.a, 'ip', 'xfrm', 'policy');
      assert.ok(left.includes('0x00009009') && !left.includes('0x00001001') && !left.includes('if_id'), left);
    } finally {
      watch.close();
      xfrm.close();
      routes.close();
    }
  });

  for (const by of ['interface', 'mark'] as const)
    test(`by ${by}: what is sent while the device holds it waits, goes by the SA that is there then, and goes with the device`, async () => {
      const own = makeNetWorld();
      const tag = { by, id: id + 1 };
      const { xfrm, routes, tunnel } = await inside(own.a, () => {
        const socket = openXfrmSocket();
        return { xfrm: socket, routes: openRouteSocket(), tunnel: new XfrmTunnel(socket, tag, 0) };
      });
      const device = new KernelDevice(routes, { device: 'xf1', mtu: 1400 }, tag);
      try {
        device.follow(outer.a[4]);
        await inside(own.a, () => device.open());
        tunnel.move({ local: outer.a[4], localPort: 4500, remote: outer.b[4], remotePort: 4500 });
        const transform = espTransform({ encr: 20, keyBits: 128, integ: 0 })!;
        tunnel.install({ spiIn: 0x2001, spiOut: 0x2002, transform, esn: true }, sa(0x2001), sa(0x2002));
        tunnel.setAddresses([inner.a[4]]);
        tunnel.use(0x2001);
        ip('-n', own.a, 'addr', 'add', '10.77.1.1/32', 'dev', 'xf1');
        ip('-n', own.a, 'link', 'set', 'xf1', 'up');
        ip('-n', own.a, 'route', 'add', '10.77.0.0/16', 'dev', 'xf1');
        const peer = await UdpPeer.open(own.a, inner.a[4]);
        const send = async (times: number): Promise<void> => {
          for (let i = 0; i < times; i++) await peer.sendNow(new Uint8Array(500), inner.b[4], 7);
        };
        const sent = (): number => tunnel.counters(tunnel.current!).sequenceOut;
        await send(3);
        await until('packets are sent', () => sent() === 3);

        device.hold();
        await send(20);
        assert.equal(sent(), 3);
        tunnel.move({ local: outer.a[4], localPort: 4500, remote: address('10.99.0.77'), remotePort: 4501 });
        assert.equal(sent(), 3);
        device.letGo();
        await until('what has waited is sent', () => sent() === 23);
        await send(1);
        await until('packets pass again', () => sent() === 24);

        device.hold();
        await send(5);
        device.remove();
        assert.ok(!ip('-n', own.a, '-o', 'link').includes('xf1'));
        assert.equal(sent(), 24);
        peer.close();
      } finally {
        device.remove();
        tunnel.clear();
        xfrm.close();
        routes.close();
        own.remove();
      }
    });
});
