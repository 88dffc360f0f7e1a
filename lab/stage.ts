import type { PutProfile } from '@aovpn/api';
import type { GatewayOptions } from './gateway/strongswan.ts';
import type { Issued } from './pki/authority.ts';
import type { Product } from './product.ts';
import { World } from './world.ts';

/** A world in which the gateway and our daemon run: where most stories begin. */
export class Stage implements AsyncDisposable {
  readonly world: World;
  readonly product: Product;

  private constructor(world: World, product: Product) {
    this.world = world;
    this.product = product;
  }

  static async set(gateway: Partial<GatewayOptions> = {}): Promise<Stage> {
    return await Stage.on(await World.create(), gateway);
  }

  /** The same in a world that stands already. The world is closed when it fails. */
  static async on(world: World, gateway: Partial<GatewayOptions> = {}): Promise<Stage> {
    try {
      const product = world.product();
      await Promise.all([world.startGateway({ users, ...gateway }), product.start()]);
      return new Stage(world, product);
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  /** A world without strongSwan: another gateway takes its place. */
  static async setWithout(): Promise<Stage> {
    const world = await World.create();
    try {
      const product = world.product();
      await product.start();
      return new Stage(world, product);
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  /** What an administrator puts beside a profile with a machine certificate. */
  machine(issued: Issued = this.world.pki.machine()): Credentials {
    return { certificatePem: issued.chainPem, keyPem: issued.keyPem, gatewayCaPem: this.world.pki.root.certificatePem };
  }

  /** The same for a user with a password. */
  user(name = 'alice', password: string = users.alice): Credentials {
    return { userName: name, password, gatewayCaPem: this.world.pki.root.certificatePem };
  }

  /** The same for a user with a certificate; the RADIUS server (here: the gateway) comes from the same root. */
  userCertificate(profile: string, issued: Issued = this.world.pki.user()): Credentials {
    this.world.client.write(`/etc/aovpn/profiles.d/${profile}.radius-ca.pem`, this.world.pki.root.certificatePem);
    return { certificatePem: issued.chainPem, keyPem: issued.keyPem, gatewayCaPem: this.world.pki.root.certificatePem };
  }

  /** Removes a profile and waits until both ends have forgotten the tunnel. */
  async strike(name: string): Promise<void> {
    await this.product.remove(name);
    await this.world.gateway.quiet();
  }

  /** Removes every profile, whatever a story left, and waits until both ends have forgotten the tunnels. */
  async clear(): Promise<void> {
    for (const { name } of (await this.product.status()).profiles) await this.product.remove(name);
    await this.world.gateway.quiet();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world.close();
  }
}

export type Credentials = NonNullable<PutProfile['credentials']>;

/** Who the gateway knows. Passwords with characters that break careless quoting. */
export const users = { alice: 'correct horse # 4 $battery', 'CORP\\bob': "O'Brien&Söhne" } as const;
