import { setTimeout as sleep } from 'node:timers/promises';
import { Capture } from '../lab/capture.ts';
import { EapStage } from '../lab/eap-stage.ts';
import type { EapWish } from '../lab/eap-xml.ts';
import { network } from '../lab/network.ts';
import type { WirePacket } from '../lab/pcap.ts';
import { configText, eapolTest } from '../lab/peer/eapol-test.ts';
import { type PeerOptions, StrongswanClient } from '../lab/peer.ts';
import { radiusName } from '../lab/pki/pki.ts';
import { radiusCode } from '../lab/relay/radius-packet.ts';
import { radiusServer } from '../lab/server/freeradius.ts';
import { users } from '../lab/stage.ts';
import { charonHandshake, ourHandshake } from './handshake-time.ts';
import { peerName } from './machine.ts';
import { connection } from './rivals.ts';
import type { Measurement, Row } from './row.ts';

const alice = { name: 'alice', password: users.alice };
const identity = 'alice@corp.example';

/** The same for charon's client and us, through one gateway and one FreeRADIUS. */
interface Handshake {
  readonly id: string;
  readonly name: string;
  readonly wish: (stage: EapStage) => EapWish;
  readonly charon: Partial<PeerOptions>;
  readonly certificate?: true;
}

const handshakes: readonly Handshake[] = [
  { id: 'B5-mschapv2', name: 'EAP-MSCHAPv2', wish: () => ({ kind: 'mschapv2' }), charon: { eap: 'eap-mschapv2', user: alice } },
  {
    id: 'B5-tls',
    name: 'EAP-TLS 1.2, ECDSA P-256',
    wish: ({ trust }) => ({ kind: 'tls', trust }),
    charon: { eap: 'eap-tls', identity },
    certificate: true,
  },
  {
    id: 'B5-ttls',
    name: 'EAP-TTLS 1.2, EAP-MSCHAPv2 inside',
    wish: ({ trust }) => ({ kind: 'ttls', trust, inner: { kind: 'mschapv2' }, anonymous: 'alice' }),
    charon: { eap: 'eap-ttls', user: alice },
  },
];

export const eapHandshakes: readonly Row[] = handshakes.map(({ id, name, wish, charon, certificate }) => ({
  id,
  what: `handshake with ${name}, FreeRADIUS behind the gateway`,
  unit: 'ms',
  better: 'less',
  aim: { of: 'ratio', limit: 1 },
  p95: { of: 'ratio', limit: 1 },
  rounds: 15,
  prepare: () =>
    withStage(async (stage) => {
      const { world, product } = stage;
      const { pki } = world;
      const servers = `v4.${network.gateway.name}`;
      await stage.connect(connection, wish(stage), certificate ? stage.certificate() : stage.password(), { servers });
      await down(stage);
      const peer = new StrongswanClient(world.client, {
        authority: pki.root.certificatePem,
        ikeProposals: ['aes128gcm16-prfsha256-x25519'],
        espProposals: ['aes128gcm16'],
        radius: { authority: pki.radiusRoot.certificatePem, name: radiusName },
        ...(certificate ? { certificate: pki.user() } : {}),
        ...charon,
      });
      await peer.start();
      const capture = await world.capture();
      return {
        sides: [
          {
            name: 'ours',
            kind: 'ours',
            measure: async () => {
              const took = await ourHandshake(product, connection, capture);
              await down(stage);
              // The daemon writes so many lines of one kind in ten seconds and no more.
              await sleep(800);
              return took;
            },
          },
          {
            name: `${peerName('strongSwan')} charon`,
            kind: 'peer',
            measure: async () => {
              const took = await charonHandshake(peer, capture);
              await peer.terminate();
              await world.gateway.quiet();
              return took;
            },
          },
        ],
        [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose](),
      };
    }),
}));

/** No packaged IKEv2 client speaks PEAP, so this is EAP alone, as the RADIUS server sees it: eapol_test asks it without a gateway between. */
export const peapConversation: Row = {
  id: 'B5-peap',
  what: 'PEAP 1.2, EAP-MSCHAPv2 inside: first Access-Request → Access-Accept',
  unit: 'ms',
  better: 'less',
  aim: { of: 'ratio', limit: 1 },
  rounds: 15,
  prepare: () =>
    withStage(async (stage) => {
      const { world, product } = stage;
      const wish: EapWish = {
        kind: 'peap',
        trust: stage.trust,
        inner: { kind: 'mschapv2' },
        anonymous: 'anonymous',
        fastReconnect: false,
      };
      await stage.connect(connection, wish, stage.password(), { servers: `v4.${network.gateway.name}` });
      await down(stage);
      world.gatewayHost.write('/run/radius-ca.pem', world.pki.radiusRoot.certificatePem);
      const capture = await Capture.start(world.gatewayHost, network.gateway.inside);
      return {
        sides: [
          {
            name: 'ours, through the gateway',
            kind: 'ours',
            measure: async () => {
              const since = Date.now();
              await product.up(connection);
              await product.waitForState(connection, 'up');
              const took = conversation(await capture.packets(), since);
              await down(stage);
              await sleep(800);
              return took;
            },
          },
          {
            name: `${peerName('wpa_supplicant')} eapol_test`,
            kind: 'peer',
            measure: async () => {
              const since = Date.now();
              const result = await eapolTest(world.gatewayHost, {
                server: radiusServer,
                network: {
                  eap: 'PEAP',
                  phase1: '"peapver=0"',
                  phase2: '"auth=MSCHAPV2"',
                  anonymous_identity: '"anonymous"',
                  identity: configText(alice.name),
                  password: configText(alice.password),
                  ca_cert: '"/run/radius-ca.pem"',
                },
              });
              if (!result.success) throw new Error(`eapol_test failed: ${result.log.slice(-500)}`);
              return conversation(await capture.packets(), since);
            },
          },
        ],
        [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose](),
      };
    }),
};

/** Milliseconds of the last conversation after `since`, as it was on the wire. */
function conversation(packets: readonly WirePacket[], since: number): number {
  const ours = packets.filter(({ at }) => at * 1000 >= since);
  const first = ours.find(({ destinationPort }) => destinationPort === radiusServer.port);
  const accept = ours.findLast(
    ({ sourcePort, payload }) => sourcePort === radiusServer.port && payload?.[0] === radiusCode.accept,
  );
  if (!first || !accept) throw new Error('no RADIUS conversation on the wire');
  return (accept.at - first.at) * 1000;
}

async function down(stage: EapStage): Promise<void> {
  await stage.product.down(connection);
  await stage.product.waitForState(connection, 'held');
  await stage.world.gateway.quiet();
}

/** Leaves nothing when the preparation fails. */
async function withStage(make: (stage: EapStage) => Promise<Measurement>): Promise<Measurement> {
  const stage = await EapStage.set();
  try {
    return await make(stage);
  } catch (error) {
    await stage[Symbol.asyncDispose]();
    throw error;
  }
}
