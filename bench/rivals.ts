import { network } from '../lab/network.ts';
import { StrongswanClient } from '../lab/peer.ts';
import { certificateProfile } from '../lab/profile-xml.ts';
import { Stage } from '../lab/stage.ts';
import { peerName } from './machine.ts';
import type { Measurement, Side } from './row.ts';

/** Our connection in measurements. */
export const connection = 'bench';
export const page = `http://${network.corp.web4}/`;
/** What both negotiate: what our profile without CryptographySuite agrees on with the gateway. */
const proposals = { ike: 'aes128gcm16-prfsha256-x25519', esp: 'aes128gcm16' };

export interface RivalsOptions {
  readonly dpdSeconds?: number;
  /** Do not start charon yet: for measuring its start. */
  readonly charonLater?: boolean;
}

/** Our daemon and strongSwan's charon as clients on one machine, for one gateway; ready, and both without a tunnel. */
export class Rivals implements AsyncDisposable {
  readonly stage: Stage;
  readonly charon: StrongswanClient;

  private constructor(stage: Stage, charon: StrongswanClient) {
    this.stage = stage;
    this.charon = charon;
  }

  static async meet(options: RivalsOptions = {}): Promise<Rivals> {
    const stage = await Stage.set();
    try {
      const { world, product } = stage;
      if (options.dpdSeconds) await product.settings(`[profile."${connection}"]\ndpd-seconds = ${options.dpdSeconds}\n`);
      await product.put(connection, certificateProfile({ servers: `v4.${network.gateway.name}` }), stage.machine());
      await product.waitForState(connection, 'up');
      const charon = new StrongswanClient(world.client, {
        certificate: world.pki.machine(),
        authority: world.pki.root.certificatePem,
        ikeProposals: [proposals.ike],
        espProposals: [proposals.esp],
        ...(options.dpdSeconds ? { dpdSeconds: options.dpdSeconds } : {}),
      });
      const rivals = new Rivals(stage, charon);
      await rivals.oursDown();
      if (!options.charonLater) await charon.start();
      return rivals;
    } catch (error) {
      await stage[Symbol.asyncDispose]();
      throw error;
    }
  }

  async oursUp(): Promise<void> {
    await this.stage.product.up(connection);
    await this.stage.product.waitForState(connection, 'up');
  }

  async oursDown(): Promise<void> {
    await this.stage.product.down(connection);
    await this.stage.product.waitForState(connection, 'held');
    await this.stage.world.gateway.quiet();
  }

  async charonUp(): Promise<void> {
    await this.charon.initiate();
  }

  async charonDown(): Promise<void> {
    await this.charon.terminate();
    await this.stage.world.gateway.quiet();
  }

  /** A row that measures both. */
  sides(ours: Side['measure'], charon: Side['measure'], more: readonly AsyncDisposable[] = []): Measurement {
    return {
      sides: [
        { name: 'ours', kind: 'ours', measure: ours },
        { name: `${peerName('strongSwan')} charon`, kind: 'peer', measure: charon },
      ],
      [Symbol.asyncDispose]: async () => {
        for (const each of more) await each[Symbol.asyncDispose]();
        await this[Symbol.asyncDispose]();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stage[Symbol.asyncDispose]();
  }
}

/** Makes a row of rivals, and leaves nothing when that fails. */
export async function rivalRow(
  make: (rivals: Rivals) => Promise<Measurement> | Measurement,
  options: RivalsOptions = {},
): Promise<Measurement> {
  const rivals = await Rivals.meet(options);
  try {
    return await make(rivals);
  } catch (error) {
    await rivals[Symbol.asyncDispose]();
    throw error;
  }
}
