// Somebody on the way to the gateway sends whatever it likes, in the gateway's name. The tunnel does not notice.
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Flow } from '../../../lab/application.ts';
import type { Capture } from '../../../lab/capture.ts';
import { network } from '../../../lab/network.ts';
import { certificateProfile, mschapv2Profile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';
import {
  Adversary,
  deletePayload,
  exchange,
  fromGateway,
  ikeMessage,
  initAnswer,
  noisePayload,
  notifyPayload,
  payloadType,
  type Target,
  targetIn,
} from '../adversary.ts';

const servers = `v4.${network.gateway.name}`;
const notify = { NO_PROPOSAL_CHOSEN: 14, INVALID_KE_PAYLOAD: 17, AUTHENTICATION_FAILED: 24, COOKIE: 16390 } as const;

suite('attack/wire', () => {
  let stage: Stage;
  let adversary: Adversary;
  before(async () => {
    stage = await Stage.set({ authentication: ['pubkey', 'eap-mschapv2'] });
    adversary = Adversary.on(stage.world);
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  suite('a tunnel that is up', () => {
    let target: Target;
    let flow: Flow;
    let heard: ReturnType<typeof fromGateway>;
    let spis: { readonly spiI: Buffer; readonly spiR: Buffer };
    let connectedAt: string | undefined;
    let capture: Capture;

    before(async () => {
      const { world, product } = stage;
      capture = await world.capture();
      await product.put('tunnel', certificateProfile({ servers }), stage.machine());
      connectedAt = (await product.waitForState('tunnel', 'up')).connectedAt;
      flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 50);
      // A request of the gateway, so that there is one to replay.
      await world.gateway.rekey('child');
      heard = await until('a request of the gateway and enough ESP', async () => {
        const packets = await capture.packets();
        target = targetIn(packets);
        const all = fromGateway(packets, target);
        return all.esp.length > 20 && all.ike.some((message) => message[22] === exchange.CREATE_CHILD_SA) && all;
      });
      const last = heard.ike.at(-1)!;
      spis = { spiI: last.subarray(4, 12), spiR: last.subarray(12, 20) };
    });
    after(async () => {
      await capture.stop();
      await stage.strike('tunnel');
    });

    const dropped = async (): Promise<number> => (await stage.product.connection('tunnel'))!.traffic!.dropped;
    const unmoved = async (): Promise<void> => {
      const connection = await stage.product.connection('tunnel');
      assert.equal(connection?.state, 'up', connection?.reason);
      assert.equal(connection.connectedAt, connectedAt);
    };

    test('ESP replayed, cut and changed is dropped', async () => {
      assert.ok(heard.esp.length > 10, 'there is ESP to replay');
      const start = await dropped();
      const changed = heard.esp.slice(-40).flatMap((datagram) => {
        const flipped = Buffer.from(datagram);
        flipped[randomInt(8, flipped.length)]! ^= 1;
        const later = Buffer.from(datagram);
        later.writeUInt32BE(0xffff_fff0, 4);
        const noise = Buffer.concat([datagram.subarray(0, 4), randomBytes(datagram.length - 4)]);
        return [datagram.subarray(0, 8), datagram.subarray(0, 20), flipped, later, noise];
      });
      const sent = await adversary.asGateway(target, [...heard.esp, ...changed], 3);
      // Room in the queue of the socket may be short for a burst.
      await until(`the attack arrives, ${sent} datagrams`, async () => (await dropped()) - start >= sent / 2);
      assert.equal((await flow.look()).duplicated, 0, 'nothing was taken twice');
      await unmoved();
    });

    test('IKE replayed, and without protection: Deletes, errors, anything, with the right SPIs', async () => {
      const forged = [0x00, 0x08, 0x20, 0x28].flatMap((flags) =>
        [0, 1, 2, 3, 0xffff_ffff].flatMap((messageId) =>
          [...Object.values(exchange), 38].flatMap((type) =>
            (
              [
                [payloadType.DELETE, deletePayload()],
                [payloadType.DELETE, deletePayload([heard.esp.at(-1)!.subarray(0, 4)])],
                [payloadType.NOTIFY, notifyPayload(notify.AUTHENTICATION_FAILED)],
                // INVALID_IKE_SPI and INVALID_SPI: hints at most, never more.
                [payloadType.NOTIFY, notifyPayload(4)],
                [payloadType.NOTIFY, notifyPayload(11)],
                [payloadType.NONE, Buffer.alloc(0)],
                [payloadType.SK, noisePayload(payloadType.SK, 60)],
                [payloadType.SKF, noisePayload(payloadType.SKF, 60)],
              ] as const
            ).map(([firstPayload, payloads]) =>
              ikeMessage({ ...spis, exchange: type, flags, messageId, firstPayload, payloads }),
            ),
          ),
        ),
      );
      await adversary.asGateway(target, heard.ike, 5);
      await adversary.asGateway(target, forged, 2);
      await sleep(1000);
      await unmoved();
    });

    test('a flood of 50 000 datagrams: memory and log stay small, traffic flows', async () => {
      const noise = Array.from({ length: 200 }, (_, i) => {
        const octets = randomBytes(randomInt(0, 1400));
        return i % 2 === 0 ? octets : Buffer.concat([Buffer.alloc(4), octets]);
      });
      const fragments = Array.from({ length: 300 }, (_, i) =>
        ikeMessage({
          ...spis,
          exchange: exchange.INFORMATIONAL,
          flags: 0,
          messageId: i % 4,
          firstPayload: payloadType.SKF,
          payloads: noisePayload(payloadType.SKF, 500, [1 + (i % 60), 64]),
        }),
      );
      const shapes = [Buffer.alloc(0), Buffer.from([0xff]), Buffer.alloc(4), Buffer.alloc(32), randomBytes(60_000)];
      const pid = (await stage.product.daemon.pid())!;
      const resident = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
      const [memory, log, start] = [resident(), stage.product.daemon.output().length, await dropped()];
      await adversary.asGateway(target, shapes, 4);
      const sent = await adversary.asGateway(target, [...noise, ...fragments], 100);
      await adversary.asStranger(target, noise, 10);
      assert.ok(sent > 49_000, `${sent} left`);
      await until('the flood arrives', async () => (await dropped()) - start > 5000);
      await unmoved();
      assert.ok(resident() - memory < 100 * 1024, `memory grew by ${resident() - memory} KiB`);
      const lines = stage.product.daemon.output().slice(log).split('\n').length;
      assert.ok(lines < 40, `${lines} lines in the log`);
      // What the application sends into the flood may find no room; what it sends afterwards does.
      const { received } = await flow.look();
      await until('traffic flows', async () => (await flow.look()).received > received + 10);
      await flow.stop(0);
      const afterwards = await stage.world.application.flow(network.corp.web4, network.corp.echoPort, 100);
      await until('enough is sent', async () => (await afterwards.look()).sent > 50);
      assert.equal((await afterwards.stop()).lost, 0);
      assert.ok((await stage.world.application.fetch(`http://${network.corp.web}/`)).status === 200);
    });
  });

  suite('a tunnel that comes up', () => {
    for (const [name, forge] of [
      [
        'errors',
        (spiI, request) => [
          ...[14, 24, 7, 5, 4, 1, 34].map((type) => initAnswer(spiI, notifyPayload(type))),
          initAnswer(spiI, request.subarray(32), request[20]),
          initAnswer(spiI, randomBytes(200), 33, randomBytes(8)),
        ],
      ],
      ['cookies', (spiI) => Array.from({ length: 50 }, () => initAnswer(spiI, notifyPayload(notify.COOKIE, randomBytes(20))))],
      [
        'demands for other groups',
        (spiI) =>
          [2, 14, 19, 20].map((group) => initAnswer(spiI, notifyPayload(notify.INVALID_KE_PAYLOAD, Buffer.from([0, group])))),
      ],
    ] as const satisfies readonly (readonly [string, (spiI: Buffer, request: Buffer) => Buffer[]])[]) {
      test(`forged ${name} come before the gateway's answer, which counts all the same`, async () => {
        const { product } = stage;
        await product.put('early', certificateProfile({ servers, alwaysOn: false }), stage.machine());
        const since = product.daemon.output().length;
        // It says nothing before they are all there, and answers at once then.
        await stage.world.gateway.freeze();
        await race(forge, 10);
        await stage.world.gateway.thaw();
        await product.waitForState('early', 'up');
        assert.equal(tries(since), 1, product.daemon.output().slice(since));
        await stage.strike('early');
      });
    }

    test('where forged errors are all there is they are believed in the end: forging works here', async () => {
      const { product, world } = stage;
      await product.put('early', certificateProfile({ servers, alwaysOn: false }), stage.machine());
      await world.gateway.freeze();
      try {
        await race((spiI) => [initAnswer(spiI, notifyPayload(notify.NO_PROPOSAL_CHOSEN))], 1);
        const { problem } = await product.waitForProblem('early');
        assert.equal(problem?.code, 'AOV-IKE-110');
      } finally {
        await product.remove('early');
        await world.gateway.thaw();
      }
    });

    test('EAP under attack in every round', async () => {
      const { product, world } = stage;
      await world.impair({ delayMs: 80 });
      const capture = await world.capture();
      const since = product.daemon.output().length;
      await product.put('user', mschapv2Profile({ servers }), stage.user());
      let sent = 0;
      for (let state: string | undefined; state !== 'up';) {
        const packets = await capture.packets();
        const asked = packets.findLast(
          ({ destinationPort, payload }) => destinationPort === 4500 && payload && payload.length > 32,
        );
        if (!asked) continue;
        const target = targetIn(packets);
        const { ike } = fromGateway(packets, target);
        const spiI = asked.payload!.subarray(4, 12);
        const spiR = ike.at(-1)?.subarray(12, 20) ?? new Uint8Array(8);
        const next = asked.payload!.readUInt32BE(24);
        const forged = [0x00, 0x20].flatMap((flags) =>
          [next, next + 1, 0].flatMap((messageId) =>
            (
              [
                [payloadType.NOTIFY, notifyPayload(notify.AUTHENTICATION_FAILED)],
                [payloadType.DELETE, deletePayload()],
                [payloadType.SK, noisePayload(payloadType.SK, 80)],
                [payloadType.SKF, noisePayload(payloadType.SKF, 80)],
                // EAP-Success and EAP-Failure in clear.
                [48, Buffer.from([0, 0, 0, 8, 3, 1, 0, 4])],
                [48, Buffer.from([0, 0, 0, 8, 4, 1, 0, 4])],
              ] as const
            ).map(([firstPayload, payloads]) =>
              ikeMessage({ spiI, spiR, exchange: exchange.IKE_AUTH, flags, messageId, firstPayload, payloads }),
            ),
          ),
        );
        sent += await adversary.asGateway(target, [...forged, ...ike.slice(-5)], 3);
        const connection = await product.connection('user');
        assert.equal(connection?.problem, undefined, connection?.reason);
        state = connection?.state;
      }
      await capture.stop();
      assert.equal(tries(since), 1, product.daemon.output().slice(since));
      assert.ok(sent > 100, `${sent} forged datagrams`);
      await stage.strike('user');
      await world.impair({});
    });

    const tries = (since: number): number => stage.product.daemon.output().slice(since).split('connecting to').length - 1;

    /** Brings `early` up and answers its first message before the gateway can. */
    async function race(forge: (spiI: Buffer, request: Buffer) => Buffer[], times: number): Promise<void> {
      const capture = await stage.world.capture();
      await stage.product.up('early');
      for (;;) {
        const packets = await capture.packets();
        const first = packets.find(({ destinationPort, payload }) => destinationPort === 4500 && payload && payload.length > 32);
        if (!first) continue;
        await adversary.asGateway(targetIn(packets), forge(first.payload!.subarray(4, 12), first.payload!), times);
        break;
      }
      void capture.stop();
    }
  });
});
