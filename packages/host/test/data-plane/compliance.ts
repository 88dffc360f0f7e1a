import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, suite, test } from 'node:test';
import { concat, formatAddress } from '@aovpn/bytes';
import { espSuites, espTransform, type DataPlaneEvent, type OpenDataPlane } from '@aovpn/esp';
import { HostError } from '../../src/host-error.ts';
import { until } from './inbox.ts';
import { echoPort, EchoServer, exchangeTcp, exchangeUdp, UdpPeer } from './inner-traffic.ts';
import { address, inner, inside, ip, makeNetWorld, outer, run, sendBareEsp, type NetWorld } from './net-world.ts';
import { SteadyFlow } from './steady-flow.ts';
import { aesGcm128, bringUp, join, makeChild, openStation, ScriptedGateway, udpPacket, type Station } from './plane-fixture.ts';

const refusedWith =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof HostError && error.code === code;

/** In the test of what they lose. */
const moves = 20;

/** In what planes may differ. */
export interface PlaneTraits {
  /**
   * `all`: every dropped packet moves the counter that says why, by one. `some`: the kernel does not count all that it drops, and has fewer words
   * for why; then what counts is that nothing of it arrives.
   */
  readonly counts: 'all' | 'some';
  /** Octets of the long transfer: it must last for a second at least. */
  readonly longTransfer: number;
  /** MTU of an outer IPv4 path that is too narrow for the device's packets, and that the plane copes with. */
  readonly narrowPath: number;
  /** Its device has the outer address of ours: there is one tunnel from each, and none changes between IPv4 and IPv6 outside. */
  readonly tied?: true;
}

/** What every data plane must do, with real packets between two network namespaces. Needs root. */
export function dataPlaneCompliance(name: string, open: OpenDataPlane, traits: PlaneTraits): void {
  suite(`${name}: two planes back to back`, { concurrency: 1 }, () => {
    for (const family of [4, 6] as const) {
      suite(`IPv${family} outside`, { concurrency: 1 }, () => {
        let world: NetWorld;
        let a: Station;
        let b: Station;
        let echo: EchoServer;
        before(async () => {
          world = makeNetWorld();
          // Small enough for the longest ICV with IPv6 outside.
          a = await openStation(open, world.a, { mtu: 1360 });
          b = await openStation(open, world.b, { mtu: 1360 });
          await join({ a, b }, family);
          await bringUp(a, world.a, 'a');
          await bringUp(b, world.b, 'b');
          echo = await EchoServer.start(world.b, [inner.b[4], inner.b[6]]);
        });
        after(async () => {
          echo?.close();
          await a?.plane.close();
          await b?.plane.close();
          world?.remove();
        });

        for (const espSuite of espSuites) {
          test(`${espTransform(espSuite)!.name} carries TCP and UDP, IPv4 and IPv6`, async () => {
            const child = makeChild(espSuite);
            const spis = [child.a.inbound.spi, child.b.inbound.spi];
            await b.plane.installChild(child.b);
            await a.plane.installChild(child.a);
            for (const innerFamily of [4, 6] as const) {
              await exchangeUdp(world.a, inner.a[innerFamily], inner.b[innerFamily], [1, 2, 3, 500, 1300, 3000]);
              await exchangeTcp(world.a, inner.a[innerFamily], inner.b[innerFamily], 300_000);
            }
            await until('all octets are counted', async () => {
              const row = (await a.plane.stats()).children.find(({ spiIn }) => spiIn === spis[0]);
              return row !== undefined && row.bytesIn > 600_000 && row.bytesOut > 600_000 && row.sequenceOut > 10;
            });
            // The connections of the test before may still say goodbye on a pair that is gone.
            assert.deepEqual({ ...(await a.plane.stats()).dropped, policy: 0, noSa: 0, unknownSpi: 0 }, nothingDropped);
            await a.plane.removeChild(spis[0]!);
            await b.plane.removeChild(spis[1]!);
            assert.equal((await a.plane.stats()).children.length, 0);
          });
        }

        test('keys that were handed over are overwritten', async () => {
          const child = makeChild(espSuites[0]!);
          await a.plane.installChild(child.a);
          for (const sa of [child.a.inbound, child.a.outbound]) {
            assert.ok(sa.encryptionKey.every((octet) => octet === 0) && sa.integrityKey.every((octet) => octet === 0));
          }
          await a.plane.removeChild(child.a.inbound.spi);
        });

        test('a rekey under load loses no packet', async () => {
          const loss = await rekeyUnderLoad(world, a, b, 20);
          assert.deepEqual(loss, { lost: 0, errors: 0 });
        });

        test('without an SA that sends, packets are dropped and counted', async () => {
          const before = (await a.plane.stats()).dropped.noSa;
          const peer = await UdpPeer.open(world.a, inner.a[4]);
          peer.send(new Uint8Array(10), inner.b[4], 7);
          await until('the packet is counted', async () => (await a.plane.stats()).dropped.noSa > before);
          peer.close();
        });
      });
    }

    test('the flow moves to a new local address under load; SAs and connections stay', async () => {
      const world = makeNetWorld();
      const a = await openStation(open, world.a);
      const b = await openStation(open, world.b);
      let echo: EchoServer | undefined;
      try {
        await join({ a, b }, 4);
        await bringUp(a, world.a, 'a');
        await bringUp(b, world.b, 'b');
        const child = makeChild(aesGcm128);
        await b.plane.installChild(child.b);
        await a.plane.installChild(child.a);
        echo = await EchoServer.start(world.b, [inner.b[4], inner.b[6]]);
        const transfer = exchangeTcp(world.a, inner.a[4], inner.b[4], traits.longTransfer);
        await until('data flows', async () => (await a.plane.stats()).bytesIn > traits.longTransfer / 12);

        ip('-n', world.a, 'addr', 'del', '10.99.0.1/24', 'dev', world.wireA);
        ip('-n', world.a, 'addr', 'add', '10.99.0.7/24', 'dev', world.wireA);
        const toB = await b.at((plane) => plane.connect(outer.a[4], 9));
        const moved = await a.at((plane) => plane.connect(outer.b[4], toB.localPort));
        assert.equal(formatAddress(moved.local), '10.99.0.7');
        // What IKE would tell the other side (MOBIKE).
        const followed = await b.at((plane) => plane.connect(moved.local, moved.localPort));
        assert.equal(followed.localPort, toB.localPort);
        await transfer;

        if (traits.tied) {
          await assert.rejects(
            a.at((plane) => plane.connect(outer.b[6], 9)),
            refusedWith('AOV-HOST-215'),
          );
          return await exchangeTcp(world.a, inner.a[6], inner.b[6], 200_000);
        }
        // And to the other family.
        const six = await b.at((plane) => plane.connect(outer.a[6], 9));
        const onSix = await a.at((plane) => plane.connect(outer.b[6], six.localPort));
        await b.at((plane) => plane.connect(onSix.local, onSix.localPort));
        await exchangeTcp(world.a, inner.a[6], inner.b[6], 200_000);
      } finally {
        echo?.close();
        await a.plane.close();
        await b.plane.close();
        world.remove();
      }
    });

    test('moving under load loses no packet in either direction, and none comes twice', async (t) => {
      const world = makeNetWorld();
      const a = await openStation(open, world.a);
      const b = await openStation(open, world.b);
      let flow: SteadyFlow | undefined;
      try {
        const { localPort } = await join({ a, b }, 4);
        await bringUp(a, world.a, 'a');
        await bringUp(b, world.b, 'b');
        const child = makeChild(aesGcm128);
        await b.plane.installChild(child.b);
        await a.plane.installChild(child.a);
        ip('-n', world.a, 'addr', 'add', '10.99.0.8/24', 'dev', world.wireA);
        // Both know each other's link addresses: until then the kernel keeps what it has room for.
        run(world.b, 'ping', '-c', '1', '-W', '10', '10.99.0.8');
        flow = await SteadyFlow.start({ namespace: world.a, address: inner.a[4] }, { namespace: world.b, address: inner.b[4] });
        for (let i = 0; i < moves; i++) {
          // The old address still works: what is under way to it comes, too.
          const local = i % 2 === 0 ? '10.99.0.8' : '10.99.0.1';
          ip('-n', world.a, 'route', 'replace', '10.99.0.2/32', 'dev', world.wireA, 'src', local);
          const moved = await a.at((plane) => plane.connect(outer.b[4], localPort));
          assert.equal(formatAddress(moved.local), local);
          // Until IKE has told the other side.
          await sleep(20);
          await b.at((plane) => plane.connect(moved.local, moved.localPort));
          await sleep(20);
        }
        const [out, back] = await flow.stop();
        t.diagnostic(JSON.stringify({ moves, out, back }));
        assert.ok(out.sent > 10 * moves && back.sent > 10 * moves, JSON.stringify({ out, back }));
        assert.deepEqual([out.lost, out.twice, back.lost, back.twice], [0, 0, 0, 0]);
        // Each number of either side has come, and once.
        for (const [from, to] of [
          [a, b],
          [b, a],
        ] as const) {
          const [{ children }, { packetsIn, dropped }] = await Promise.all([from.plane.stats(), to.plane.stats()]);
          assert.deepEqual([packetsIn, dropped.replay], [children[0]!.sequenceOut, 0]);
        }
      } finally {
        await flow?.close();
        await a.plane.close();
        await b.plane.close();
        world.remove();
      }
    });

    test('a narrow outer path is no obstacle', async () => {
      const world = makeNetWorld();
      for (const [namespace, wire] of [
        [world.a, world.wireA],
        [world.b, world.wireB],
      ] as const) {
        ip('-n', namespace, 'link', 'set', wire, 'mtu', String(traits.narrowPath));
      }
      const a = await openStation(open, world.a);
      const b = await openStation(open, world.b);
      let echo: EchoServer | undefined;
      try {
        await join({ a, b }, 4);
        await bringUp(a, world.a, 'a');
        await bringUp(b, world.b, 'b');
        const child = makeChild(aesGcm128);
        await b.plane.installChild(child.b);
        await a.plane.installChild(child.a);
        echo = await EchoServer.start(world.b, [inner.b[4], inner.b[6]]);
        for (const family of [4, 6] as const) {
          await exchangeTcp(world.a, inner.a[family], inner.b[family], 400_000);
        }
        // Datagrams with DF that do not fit: the sender is told, and cuts them itself from then on.
        for (const family of [4, 6] as const) {
          const peer = await UdpPeer.open(world.a, inner.a[family]);
          const told = (await a.plane.stats()).dropped.tooBig;
          await until('a long datagram comes back', async () => {
            peer.send(new Uint8Array(1330), inner.b[family], echoPort);
            await new Promise((resolve) => setTimeout(resolve, 30));
            return peer.received.size > 0;
          });
          // A kernel that has told a connection before remembers it for every other one.
          const known = traits.counts === 'some' && told > 0;
          assert.ok(known || (await a.plane.stats()).dropped.tooBig > told, 'the sender was told');
          peer.close();
        }
      } finally {
        echo?.close();
        await a.plane.close();
        await b.plane.close();
        world.remove();
      }
    });

    test('two tunnels at once in one process do not mix', async () => {
      const worlds = [makeNetWorld(), makeNetWorld()];
      const stations: Station[] = [];
      const echoes: EchoServer[] = [];
      try {
        for (const world of worlds) {
          const a = await openStation(open, world.a, { device: 'aovpn-0' });
          const b = await openStation(open, world.b, { device: 'aovpn-0' });
          stations.push(a, b);
          await join({ a, b }, 4);
          await bringUp(a, world.a, 'a', 'aovpn-0');
          await bringUp(b, world.b, 'b', 'aovpn-0');
          const child = makeChild(aesGcm128);
          await b.plane.installChild(child.b);
          await a.plane.installChild(child.a);
          echoes.push(await EchoServer.start(world.b, [inner.b[4]]));
        }
        await Promise.all(worlds.map((world) => exchangeTcp(world.a, inner.a[4], inner.b[4], 2_000_000)));
        for (const { plane } of stations) {
          assert.deepEqual({ ...(await plane.stats()).dropped, policy: 0, noSa: 0 }, nothingDropped);
        }
      } finally {
        for (const echo of echoes) echo.close();
        for (const { plane } of stations) await plane.close();
        for (const world of worlds) world.remove();
      }
    });
  });

  suite(`${name}: against a scripted gateway`, { concurrency: 1 }, () => {
    let world: NetWorld;
    let gateway: ScriptedGateway;
    before(async () => {
      world = makeNetWorld();
      gateway = await ScriptedGateway.meet(open, world);
      await bringUp(gateway.station, world.a, 'a');
    });
    after(async () => {
      await gateway?.close();
      world?.remove();
    });

    const dropped = async (): Promise<Record<string, number>> => ({ ...(await gateway.station.plane.stats()).dropped });
    const isIke = (event: DataPlaneEvent): event is Extract<DataPlaneEvent, { kind: 'ike' }> => event.kind === 'ike';

    /** Sends one datagram and asserts which drop counter it moves, by one. */
    const isDropped = async (as: string, octets: Uint8Array): Promise<void> => {
      const before = await dropped();
      gateway.send(octets);
      await until(`${as} is counted`, async () => (await dropped())[as] !== before[as]);
      const after = await dropped();
      assert.deepEqual(after, { ...before, [as]: before[as]! + 1 });
    };

    /** The same where a plane may not count it: then nothing of it arrives, and what comes behind it does. */
    const isGone = async (as: string, octets: Uint8Array, listener?: UdpPeer): Promise<void> => {
      if (traits.counts === 'all') return await isDropped(as, octets);
      const peer = listener ?? (await UdpPeer.open(world.a, inner.a[4], 5103));
      gateway.send(octets);
      gateway.send(gateway.seal(good(222)));
      assert.deepEqual((await peer.received.take('the packet behind it')).octets, Uint8Array.of(222));
      assert.equal(peer.received.size, 0);
      if (!listener) peer.close();
    };
    const good = (data: number): Uint8Array => udpPacket(inner.b[4].bytes, inner.a[4].bytes, 6002, 5103, Uint8Array.of(data));

    test('IKE passes both ways behind the marker, before there is an SA', async () => {
      const { plane, events } = gateway.station;
      plane.sendIke(Uint8Array.of(1, 2, 3, 4, 5));
      const out = await gateway.udp.received.take('an IKE message');
      assert.deepEqual(out.octets, Uint8Array.of(0, 0, 0, 0, 1, 2, 3, 4, 5));
      assert.equal(out.from.port, gateway.planePort);
      gateway.send(Uint8Array.of(0, 0, 0, 0, 9, 8, 7));
      const event = await events.take('an IKE event', isIke);
      assert.deepEqual(event.datagram, Uint8Array.of(9, 8, 7));
      assert.equal(formatAddress(event.from), formatAddress(outer.b[4]));
      assert.equal(event.fromPort, 4500);
      assert.ok(Math.abs(event.at - performance.now()) < 60_000);
    });

    test('IKE goes to somebody else than the gateway where it is told to, from the same port, and only that once', async () => {
      const other = await UdpPeer.open(world.b, outer.b[4]);
      const { plane } = gateway.station;
      plane.sendIke(Uint8Array.of(4, 3, 2), { address: outer.b[4], port: other.port });
      const out = await other.received.take('an answer elsewhere');
      assert.deepEqual([out.octets, out.from.port], [Uint8Array.of(0, 0, 0, 0, 4, 3, 2), gateway.planePort]);
      // Of the other family there is nobody whom this socket could reach.
      plane.sendIke(Uint8Array.of(1), { address: outer.b[6], port: other.port });
      plane.sendIke(Uint8Array.of(5));
      assert.deepEqual((await gateway.udp.received.take('an IKE message')).octets, Uint8Array.of(0, 0, 0, 0, 5));
      assert.equal(other.received.size, 0);
      other.close();
    });

    test('IKE still passes once there is an SA', async () => {
      await gateway.install();
      gateway.station.plane.sendIke(new Uint8Array(3000).fill(7));
      const out = await gateway.udp.received.take('an IKE message');
      assert.equal(out.octets.length, 3004);
      gateway.send(concat(new Uint8Array(4), new Uint8Array(2500).fill(6)));
      const event = await gateway.station.events.take('an IKE event', isIke);
      assert.equal(event.datagram.length, 2500);
      assert.equal(event.fromPort, 4500);
      assert.ok(Math.abs(event.at - performance.now()) < 60_000);
    });

    for (const family of [4, 6] as const) {
      test(`IPv${family} out: the packet on the wire is what the reference opens`, async () => {
        const peer = await UdpPeer.open(world.a, inner.a[family], 5001 + family);
        const sequences: number[] = [];
        for (const size of [1, 2, 3, 4, 5, 100, 1300]) {
          const data = new Uint8Array(size).fill(size & 0xff);
          peer.send(data, inner.b[family], 6001);
          const opened = gateway.open(await gateway.nextEsp('an ESP packet'));
          assert.ok(opened.ok);
          sequences.push(opened.sequence);
          assert.equal(opened.nextHeader, family === 4 ? 4 : 41);
          const expected = udpPacket(inner.a[family].bytes, inner.b[family].bytes, 5001 + family, 6001, data);
          // Identification, flags and their checksum, or the flow label, are the kernel's choice.
          const same = family === 4 ? 12 : 8;
          assert.deepEqual(opened.payload.subarray(same), expected.subarray(same));
        }
        const first = sequences[0]!;
        assert.deepEqual(
          sequences,
          sequences.map((_, i) => first + i),
        );
        peer.close();
      });

      test(`IPv${family} in: what the reference seals arrives`, async () => {
        const peer = await UdpPeer.open(world.a, inner.a[family], 5101);
        for (const size of [1, 2, 3, 4, 5, 100, 1300]) {
          const data = new Uint8Array(size).fill(size & 0xff);
          gateway.send(gateway.seal(udpPacket(inner.b[family].bytes, inner.a[family].bytes, 6002, 5101, data)));
          const arrived = await peer.received.take(`${size} octets`);
          assert.deepEqual(arrived.octets, data);
        }
        peer.close();
      });
    }

    test('traffic flow confidentiality: padding behind the packet and dummy packets are no trouble (RFC 4303 §2.6, §2.7)', async () => {
      const peer = await UdpPeer.open(world.a, inner.a[4], 5102);
      const packet = udpPacket(inner.b[4].bytes, inner.a[4].bytes, 6002, 5102, new Uint8Array(33).fill(3));
      const before = await dropped();
      gateway.send(gateway.seal(new Uint8Array(50).fill(0xaa), { nextHeader: 59 }));
      gateway.send(gateway.seal(concat(packet, new Uint8Array(200))));
      assert.equal((await peer.received.take('the packet')).octets.length, 33);
      const after = await dropped();
      // The kernel counts a dummy packet among those that it cannot use.
      assert.deepEqual(after, traits.counts === 'all' ? before : { ...before, malformed: after['malformed'] });
      peer.close();
    });

    test('a replayed packet is dropped, however old; one that is merely late is not', async () => {
      const peer = await UdpPeer.open(world.a, inner.a[4], 5103);
      const late = gateway.seal(good(1));
      const once = gateway.seal(good(2));
      gateway.send(once);
      await peer.received.take('the packet');
      await isDropped('replay', once);
      gateway.send(late);
      await peer.received.take('the late packet');
      await isDropped('replay', late);
      await isGone('replay', gateway.seal(good(3), { sequence: 0 }), peer);
      gateway.sequence += 100_000;
      gateway.send(gateway.seal(good(4)));
      await peer.received.take('the packet behind the jump');
      await isDropped('replay', gateway.seal(good(5), { sequence: gateway.sequence - 50_000 }));
      assert.equal(peer.received.size, 0);
      peer.close();
    });

    test('a forged packet is dropped and does not move the replay window', async () => {
      const peer = await UdpPeer.open(world.a, inner.a[4], 5103);
      const forged = gateway.seal(good(1), { sequence: 0xfffffff0 });
      forged[forged.length - 1]! ^= 1;
      await isDropped('authentication', forged);
      const changed = gateway.seal(good(1));
      changed[20]! ^= 0x80;
      await isDropped('authentication', changed);
      gateway.send(gateway.seal(good(2)));
      assert.deepEqual((await peer.received.take('the next good packet')).octets, Uint8Array.of(2));
      peer.close();
    });

    test('cut, lengthened and senseless datagrams are dropped', async () => {
      const packet = gateway.seal(good(1));
      for (const length of [2, 4, 7, 8, 15, 16, 31, 32, 33, packet.length - 1]) {
        if (length < 5) await isDropped('malformed', packet.subarray(0, length));
        else if (length < 36 || length % 4 !== 0) await isGone('malformed', packet.subarray(0, length));
        else await isDropped('authentication', packet.subarray(0, length));
      }
      await isDropped('authentication', concat(packet, new Uint8Array(4)));
      await isDropped('malformed', Uint8Array.of(0, 0, 0, 0));
      await isDropped('unknownSpi', concat(Uint8Array.of(0xde, 0xad, 0xbe, 0xef), packet.subarray(4)));
    });

    test('authentic packets that hold no IP packet of ours are dropped', async () => {
      await isGone('malformed', gateway.seal(new Uint8Array(40).fill(0x99), { nextHeader: 4 }));
      await isGone('malformed', gateway.seal(good(1), { nextHeader: 41 }));
      await isGone('malformed', gateway.seal(good(1), { nextHeader: 6 }));
      await isGone('malformed', gateway.seal(good(1).subarray(0, 24)));
      await isDropped('policy', gateway.seal(udpPacket(inner.b[4].bytes, address('10.77.3.3').bytes, 1, 2, new Uint8Array(4))));
      await isDropped('policy', gateway.seal(udpPacket(inner.b[6].bytes, address('fd77:3::3').bytes, 1, 2, new Uint8Array(4))));
    });

    test('keepalives from the gateway are nothing', async () => {
      const before = await dropped();
      gateway.send(Uint8Array.of(0xff));
      const peer = await UdpPeer.open(world.a, inner.a[4], 5103);
      gateway.send(gateway.seal(good(7)));
      await peer.received.take('the packet behind it');
      assert.deepEqual(await dropped(), before);
      peer.close();
    });

    test('ESP from another address is believed if authentic, and answers go where IKE said', async () => {
      ip('-n', world.b, 'addr', 'add', '10.99.0.55/24', 'dev', world.wireB);
      const elsewhere = await UdpPeer.open(world.b, address('10.99.0.55'), 4501);
      const peer = await UdpPeer.open(world.a, inner.a[4], 5103);
      elsewhere.send(gateway.seal(good(1)), outer.a[4], gateway.planePort);
      await peer.received.take('the packet from elsewhere');
      gateway.udp.received.clear();
      peer.send(Uint8Array.of(5), inner.b[4], 6001);
      assert.ok(gateway.open(await gateway.nextEsp('the answer')).ok);
      assert.equal(elsewhere.received.size, 0);
      elsewhere.close();
      peer.close();
    });

    test('ESP without UDP is opened too, in turn with ESP in UDP (RFC 7296 §2.23); from anywhere but the gateway it is not', async () => {
      ip('-n', world.b, 'addr', 'add', '10.99.0.56/24', 'dev', world.wireB);
      const peer = await UdpPeer.open(world.a, inner.a[4], 5103);
      const isNext = async (data: number): Promise<void> =>
        assert.deepEqual((await peer.received.take(`packet ${data}`)).octets, Uint8Array.of(data));
      for (const data of [1, 2, 3]) {
        await sendBareEsp(world.b, outer.b[4], outer.a[4], gateway.seal(good(data)));
        await isNext(data);
        gateway.send(gateway.seal(good(10 + data)));
        await isNext(10 + data);
      }
      const { replay } = await dropped();
      const once = gateway.seal(good(4));
      await sendBareEsp(world.b, address('10.99.0.56'), outer.a[4], once);
      await sendBareEsp(world.b, outer.b[4], outer.a[4], once);
      await isNext(4);
      assert.equal((await dropped())['replay'], replay, 'what came from elsewhere was not even looked at');
      gateway.send(once);
      await until('one window for both ways', async () => (await dropped())['replay'] === replay! + 1);
      peer.close();
    });

    test('moving while the old address still works: what is under way to it arrives, nothing twice; no number is left out', async () => {
      const { station } = gateway;
      const oldPort = gateway.planePort;
      const listener = await UdpPeer.open(world.a, inner.a[4], 5103);
      const isNext = async (what: string, data: number): Promise<void> =>
        assert.deepEqual((await listener.received.take(what)).octets, Uint8Array.of(data));
      const sequence = async (): Promise<number> => {
        gateway.udp.received.clear();
        listener.send(Uint8Array.of(5), inner.b[4], 6001);
        const opened = gateway.open(await gateway.nextEsp('a packet of ours'));
        assert.ok(opened.ok);
        return opened.sequence;
      };
      const last = await sequence();
      const before = gateway.seal(good(1));
      gateway.send(before);
      await isNext('the packet before the move', 1);

      ip('-n', world.a, 'addr', 'add', '10.99.0.8/24', 'dev', world.wireA);
      ip('-n', world.a, 'route', 'replace', '10.99.0.2/32', 'dev', world.wireA, 'src', '10.99.0.8');
      const moved = await station.at((plane) => plane.connect(outer.b[4], 4500));
      assert.equal(formatAddress(moved.local), '10.99.0.8');
      const movedAt = performance.now();
      const { lastInboundAt } = await station.plane.stats();
      assert.ok(lastInboundAt! <= movedAt, 'what came before the move is no sign of life at the new address');
      const toNew = (octets: Uint8Array): void => gateway.udp.send(octets, moved.local, moved.localPort);
      try {
        const underWay = gateway.seal(good(2));
        const behind = gateway.seal(good(3));
        toNew(behind);
        await isNext('the packet to the new address', 3);
        gateway.udp.send(underWay, outer.a[4], oldPort);
        await isNext('the packet that was under way', 2);
        const { replay } = (await station.plane.stats()).dropped;
        toNew(underWay);
        gateway.udp.send(behind, outer.a[4], oldPort);
        toNew(before);
        await until(
          'replays to either address are counted',
          async () => (await station.plane.stats()).dropped.replay === replay + 3,
        );
        assert.equal(listener.received.size, 0);
        assert.equal(await sequence(), last + 1);
      } finally {
        ip('-n', world.a, 'route', 'del', '10.99.0.2/32', 'dev', world.wireA);
        ip('-n', world.a, 'addr', 'del', '10.99.0.8/24', 'dev', world.wireA);
        gateway.planePort = (await station.at((plane) => plane.connect(outer.b[4], 4500))).localPort;
        listener.close();
      }
    });

    test('packets from an inner address that is not ours do not leave', async () => {
      const before = (await dropped())['policy']!;
      ip('-n', world.a, 'addr', 'add', '10.77.9.9/32', 'dev', 'tun0');
      const peer = await UdpPeer.open(world.a, address('10.77.9.9'));
      gateway.udp.received.clear();
      peer.send(Uint8Array.of(1), inner.b[4], 6001);
      await until('the drop is counted', async () => (await dropped())['policy']! > before);
      const own = await UdpPeer.open(world.a, inner.a[4]);
      own.send(Uint8Array.of(42), inner.b[4], 6001);
      const opened = gateway.open(await gateway.nextEsp('our own packet'));
      assert.ok(opened.ok && opened.payload.at(-1) === 42);
      peer.close();
      own.close();
    });

    test('the MSS of a connection that is passed on is brought down to what fits', async () => {
      // A SYN whose sender believes in jumbo frames.
      const payload = gateway.seal(synPacket(9000));
      const server = await inside(world.a, async () => {
        const listening = net.createServer().listen(5200, formatAddress(inner.a[4]));
        await once(listening, 'listening');
        return listening;
      });
      gateway.udp.received.clear();
      gateway.send(payload);
      const answer = gateway.open(await gateway.nextEsp('a SYN-ACK'));
      assert.ok(answer.ok && answer.payload[33] === 0x12);
      server.close();
      const seen = run(world.a, 'ss', '-tin', 'state', 'syn-recv', 'state', 'established');
      assert.ok(!/\bmss:(?:8|9)\d{3}\b/.test(seen), seen);
    });

    test('when the gateway’s port is closed, a path error tells so', async () => {
      const closed = await openStation(open, world.a, { device: 'tun9' });
      if (traits.tied) {
        await closed.at((plane) => plane.connect(outer.b[4], 4999));
        await assert.rejects(
          closed.at((plane) => plane.openDevice()),
          refusedWith('AOV-HOST-204'),
        );
      }
      try {
        await closed.at((plane) => plane.connect(outer.b[traits.tied ? 6 : 4], 4999));
        await closed.at((plane) => plane.openDevice());
        await closed.plane.setInnerAddresses([address('10.77.1.9')]);
        await closed.plane.installChild(makeChild(aesGcm128).a);
        ip('-n', world.a, 'addr', 'add', '10.77.1.9/32', 'dev', 'tun9');
        ip('-n', world.a, 'link', 'set', 'tun9', 'up');
        ip('-n', world.a, 'route', 'add', '10.76.0.0/16', 'dev', 'tun9');
        const peer = await UdpPeer.open(world.a, address('10.77.1.9'));
        peer.send(Uint8Array.of(1), address('10.76.0.1'), 7);
        const event = await closed.events.take('a path error', (told) => told.kind === 'path-error');
        assert.deepEqual(event, { kind: 'path-error', code: 'ECONNREFUSED' });
        peer.close();
      } finally {
        await closed.plane.close();
      }
    });
  });

  suite(`${name}: life`, { concurrency: 1 }, () => {
    let world: NetWorld;
    before(() => {
      world = makeNetWorld();
    });
    after(() => world?.remove());

    test('keepalives go out while nothing else does', async () => {
      const gateway = await ScriptedGateway.meet(open, world, { keepaliveSeconds: 1 });
      try {
        await gateway.install();
        const { octets } = await gateway.udp.received.take('a keepalive');
        assert.deepEqual(octets, Uint8Array.of(0xff));
        await gateway.udp.received.take('another', ({ octets }) => octets.length === 1);
      } finally {
        await gateway.close();
      }
    });

    test('a pair that does not send yet receives, and sends when told', async () => {
      const gateway = await ScriptedGateway.meet(open, world);
      try {
        await bringUp(gateway.station, world.a, 'a');
        await gateway.install();
        const next = makeChild(aesGcm128, false);
        const spi = next.a.outbound.spi;
        const spiIn = next.a.inbound.spi;
        await gateway.station.plane.installChild(next.a);
        const peer = await UdpPeer.open(world.a, inner.a[4]);
        const spiOf = async (): Promise<number> => new DataView((await gateway.nextEsp('a packet')).buffer).getUint32(0);
        peer.send(Uint8Array.of(1), inner.b[4], 7);
        assert.equal(await spiOf(), gateway.fromPlane.spi);
        await gateway.station.plane.useChild(spiIn);
        peer.send(Uint8Array.of(1), inner.b[4], 7);
        assert.equal(await spiOf(), spi);
        await gateway.station.plane.removeChild(gateway.toPlane.spi);
        peer.send(Uint8Array.of(1), inner.b[4], 7);
        assert.equal(await spiOf(), spi);
        await assert.rejects(gateway.station.plane.useChild(0xabcdef), refusedWith('AOV-HOST-208'));
        await gateway.station.plane.removeChild(0xabcdef);
        peer.close();
      } finally {
        await gateway.close();
      }
    });

    for (const espSuite of [aesGcm128, { encr: 12, keyBits: 256, integ: 12 }]) {
      test(`extended sequence numbers run past 2³² with ${espTransform(espSuite)!.name} (RFC 4303 §2.2.1)`, async () => {
        const gateway = await ScriptedGateway.meet(open, world, {}, espSuite, 4, true);
        try {
          await bringUp(gateway.station, world.a, 'a');
          await gateway.install();
          const peer = await UdpPeer.open(world.a, inner.a[4], 5103);
          const arrives = async (sequence: number): Promise<Uint8Array> => {
            const data = Uint8Array.of(sequence % 251);
            const sealed = gateway.seal(udpPacket(inner.b[4].bytes, inner.a[4].bytes, 6002, 5103, data), { sequence });
            gateway.send(sealed);
            assert.deepEqual((await peer.received.take(`number ${sequence}`)).octets, data);
            return sealed;
          };
          await arrives(1);
          await arrives(0x8000_0000);
          await arrives(0xffff_fff0);
          const crossed = await arrives(2 ** 32 + 5);
          await arrives(2 ** 32 + 3);
          // One that was late on the other side.
          await arrives(0xffff_fff9);
          gateway.send(crossed);
          await arrives(2 ** 32 + 6);
          assert.equal(peer.received.size, 0);
          assert.equal((await gateway.station.plane.stats()).dropped.replay, 1);
          peer.send(Uint8Array.of(7), inner.b[4], 6001);
          const opened = gateway.open(await gateway.nextEsp('an answer'));
          assert.ok(opened.ok && opened.payload.at(-1) === 7);
          peer.close();
        } finally {
          await gateway.close();
        }
      });
    }

    test('impossible SAs are refused, and the others stay', async () => {
      const station = await openStation(open, world.a);
      try {
        await station.at((plane) => plane.connect(outer.b[4], 4500));
        const child = makeChild(aesGcm128).a;
        const spi = child.inbound.spi;
        await station.plane.installChild(child);
        const again = makeChild(aesGcm128).a;
        await assert.rejects(
          station.plane.installChild({ ...again, inbound: { ...again.inbound, spi } }),
          refusedWith('AOV-HOST-208'),
        );
        const zero = makeChild(aesGcm128).a;
        await assert.rejects(
          station.plane.installChild({ ...zero, inbound: { ...zero.inbound, spi: 0 } }),
          refusedWith('AOV-HOST-208'),
        );
        const short = makeChild(aesGcm128).a;
        const cut = { ...short.outbound, encryptionKey: new Uint8Array(16) };
        await assert.rejects(station.plane.installChild({ ...short, outbound: cut }), refusedWith('AOV-HOST-207'));
        const unknown = makeChild(aesGcm128).a;
        const suite = { encr: 11, keyBits: 0, integ: 0 };
        await assert.rejects(station.plane.installChild({ ...unknown, suite }), refusedWith('AOV-HOST-207'));
        assert.deepEqual(
          (await station.plane.stats()).children.map(({ spiIn }) => spiIn),
          [spi],
        );
      } finally {
        await station.plane.close();
      }
    });

    test('a device name that is taken, senseless or an MTU too small is refused', async () => {
      ip('-n', world.a, 'link', 'add', 'taken0', 'type', 'veth', 'peer', 'name', 'taken1');
      for (const [options, code] of [
        [{ device: 'taken0' }, 'AOV-HOST-202'],
        [{ device: '../etc' }, 'AOV-HOST-203'],
        [{ device: 'a-name-that-is-too-long' }, 'AOV-HOST-203'],
        [{ mtu: 1000 }, 'AOV-HOST-203'],
      ] as const) {
        const station = await openStation(open, world.a, options);
        await assert.rejects(
          station.at((plane) => plane.openDevice()),
          refusedWith(code),
        );
        await station.plane.close();
      }
      ip('-n', world.a, 'link', 'del', 'taken0');
    });

    test('a gateway without a route is a clear error, and connecting may be tried again', async () => {
      const station = await openStation(open, world.a);
      try {
        await assert.rejects(
          station.at((plane) => plane.connect(address('203.0.113.1'), 4500)),
          refusedWith('AOV-HOST-205'),
        );
        const path = await station.at((plane) => plane.connect(outer.b[4], 4500));
        assert.equal(formatAddress(path.local), formatAddress(outer.a[4]));
      } finally {
        await station.plane.close();
      }
    });

    test('a device that somebody removes is a fatal event', async () => {
      const station = await openStation(open, world.a);
      try {
        await station.at((plane) => plane.openDevice());
        ip('-n', world.a, 'link', 'del', 'tun0');
        const event = await station.events.take('a fatal event', (told) => told.kind === 'fatal');
        assert.equal(event.kind === 'fatal' && event.code, 'AOV-HOST-210');
        await assert.rejects(station.plane.setInnerAddresses([]), refusedWith('AOV-HOST-211'));
      } finally {
        await station.plane.close();
      }
    });

    test('closing leaves nothing: no device, no descriptor, no event; twice is as good as once', async () => {
      const warm = await openStation(open, world.a);
      await warm.plane.close();
      const descriptors = (): number => readdirSync('/proc/self/fd').length;
      const atFirst = descriptors();
      for (let i = 0; i < 3; i++) {
        const gateway = await ScriptedGateway.meet(open, world);
        await bringUp(gateway.station, world.a, 'a');
        await gateway.install();
        gateway.send(concat(new Uint8Array(4), Uint8Array.of(1)));
        const closing = gateway.station.plane.close();
        gateway.station.events.clear();
        await closing;
        await gateway.close();
        assert.equal(gateway.station.events.size, 0);
        await assert.rejects(gateway.station.plane.openDevice(), refusedWith('AOV-HOST-211'));
      }
      assert.ok(!ip('-n', world.a, '-o', 'link').includes('tun0'));
      await until('descriptors are closed', () => descriptors() <= atFirst);
    });
  });
}

const nothingDropped = { replay: 0, authentication: 0, malformed: 0, unknownSpi: 0, policy: 0, noSa: 0, tooBig: 0 };

/** Numbered datagrams flow both ways while pairs are replaced; tells how many did not come back. */
async function rekeyUnderLoad(world: NetWorld, a: Station, b: Station, times: number): Promise<{ lost: number; errors: number }> {
  const echo = await UdpPeer.open(world.b, inner.b[4], 7100);
  echo.socket.on('message', (octets, from) => echo.socket.send(octets, from.port, from.address));
  const sender = await UdpPeer.open(world.a, inner.a[4]);
  const back = new Set<number>();
  let greeted = false;
  sender.socket.on('message', (octets) => {
    if (octets.length === 1) greeted = true;
    else back.add(octets.readUInt32BE(0));
  });
  let child = makeChild(aesGcm128);
  await b.plane.installChild(child.b);
  await a.plane.installChild(child.a);
  // The way outside is there once its ends know each other's link address; until then the kernel keeps what it has room for.
  await until('the first datagram is back', async () => {
    sender.socket.send(Uint8Array.of(1), 7100, formatAddress(inner.b[4]));
    await new Promise((resolve) => setTimeout(resolve, 20));
    return greeted;
  });
  const errorsBefore = await errorsOf(a, b);
  let sent = 0;
  const enough = new AbortController();
  const flow = (async () => {
    while (!enough.signal.aborted) {
      // Not more than the receive buffers of the two programs hold: what they drop is no matter of the plane.
      for (let i = 0; i < 20 && sent - back.size < 150; i++) {
        const octets = Buffer.alloc(200);
        octets.writeUInt32BE(sent++, 0);
        sender.socket.send(octets, 7100, formatAddress(inner.b[4]));
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  })();
  for (let i = 0; i < times; i++) {
    // As in a rekey that side a begins: b installs first and waits, a installs and sends, b follows, then the old pair goes.
    const next = makeChild(aesGcm128);
    const [oldA, oldB] = [child.a.inbound.spi, child.b.inbound.spi];
    await b.plane.installChild({ ...next.b, sendNow: false });
    await a.plane.installChild(next.a);
    await b.plane.useChild(next.b.inbound.spi);
    // The delete of the old pair comes after what was on the way.
    const onTheWay = sent;
    const arrived = await until('what was on the way is back', () => back.size >= onTheWay).then(
      () => true,
      () => false,
    );
    if (!arrived) break;
    await a.plane.removeChild(oldA);
    await b.plane.removeChild(oldB);
    child = next;
  }
  enough.abort();
  await flow;
  await until('everything is back', () => back.size === sent, 60_000).catch(() => undefined);
  const errors = (await errorsOf(a, b)) - errorsBefore;
  await a.plane.removeChild(child.a.inbound.spi);
  await b.plane.removeChild(child.b.inbound.spi);
  sender.close();
  echo.close();
  return { lost: sent - back.size, errors };
}

async function errorsOf(...stations: Station[]): Promise<number> {
  let errors = 0;
  for (const { plane } of stations) {
    const { dropped } = await plane.stats();
    errors += dropped.replay + dropped.authentication + dropped.malformed + dropped.unknownSpi + dropped.noSa;
  }
  return errors;
}

/** An IPv4 SYN to port 5200 that announces this MSS. */
function synPacket(mss: number): Uint8Array {
  const tcp = Uint8Array.of(
    0x30,
    0x39,
    0x14,
    0x50,
    0,
    0,
    0,
    1,
    0,
    0,
    0,
    0,
    0x60,
    2,
    0xff,
    0xff,
    0,
    0,
    0,
    0,
    2,
    4,
    mss >> 8,
    mss & 0xff,
  );
  const from = inner.b[4].bytes;
  const to = inner.a[4].bytes;
  const sum = (octets: Uint8Array): number => {
    let total = 0;
    for (let i = 0; i < octets.length; i += 2) total += (octets[i]! << 8) | (octets[i + 1] ?? 0);
    while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
    return ~total & 0xffff;
  };
  const tcpSum = sum(concat(from, to, Uint8Array.of(0, 6, 0, tcp.length), tcp));
  tcp.set([tcpSum >> 8, tcpSum & 0xff], 16);
  const total = 20 + tcp.length;
  const header = concat(Uint8Array.of(0x45, 0, 0, total, 0, 1, 0x40, 0, 64, 6, 0, 0), from, to);
  const headerSum = sum(header);
  header.set([headerSum >> 8, headerSum & 0xff], 10);
  return concat(header, tcp);
}
