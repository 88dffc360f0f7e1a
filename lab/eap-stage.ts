import assert from 'node:assert/strict';
import type { ConnectionStatus } from '@aovpn/api';
import { eapProfile, type ProfileOptions } from './profile-xml.ts';
import type { EapWish, RadiusTrust } from './eap-xml.ts';
import type { GatewayOptions } from './gateway/strongswan.ts';
import { network } from './network.ts';
import type { Issued } from './pki/authority.ts';
import { radiusName } from './pki/pki.ts';
import type { Product, StartOptions } from './product.ts';
import { freeRadiusOptions, hostapdOptions } from './radius-accounts.ts';
import { RadiusRelay } from './radius-relay.ts';
import { FreeRadius, type FreeRadiusOptions, radiusServer } from './server/freeradius.ts';
import { HostapdRadius, hostapdServer } from './server/hostapd-radius.ts';
import { type Credentials, users } from './stage.ts';
import { World } from './world.ts';

export interface EapStageOptions {
  readonly radius?: Partial<FreeRadiusOptions>;
  readonly gateway?: Partial<GatewayOptions>;
  readonly product?: StartOptions;
  /** Something on the client before the daemon starts. */
  readonly prepare?: (world: World) => Promise<StartOptions | undefined>;
}

export interface PutOptions extends ProfileOptions {
  /** PEM of what lies beside the profile for the RADIUS server; default: the RADIUS servers' root. */
  readonly radiusRoot?: string;
}

/** A world in which the gateway asks RADIUS servers, and our daemon runs: where stories about EAP begin. */
export class EapStage implements AsyncDisposable {
  readonly world: World;
  readonly product: Product;
  readonly radius: FreeRadius;
  #hostapd: HostapdRadius | undefined;
  #relay: RadiusRelay | undefined;

  private constructor(world: World, product: Product, radius: FreeRadius) {
    this.world = world;
    this.product = product;
    this.radius = radius;
  }

  static async set(options: EapStageOptions = {}): Promise<EapStage> {
    const world = await World.create();
    try {
      const product = world.product();
      const start = { ...options.product, ...(await options.prepare?.(world)) };
      const [radius] = await Promise.all([
        FreeRadius.start(world.corp, { ...freeRadiusOptions(world.pki), ...options.radius }),
        world.startGateway({ authentication: ['eap-radius'], radius: radiusServer, users, ...options.gateway }),
        product.start(start),
      ]);
      return new EapStage(world, product, radius);
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  /** hostapd beside FreeRADIUS, once it is asked for. */
  async hostapd(): Promise<HostapdRadius> {
    return (this.#hostapd ??= await HostapdRadius.start(this.world.corp, hostapdOptions(this.world.pki)));
  }

  /** A relay in front of FreeRADIUS, once it is asked for. */
  async relay(): Promise<RadiusRelay> {
    return (this.#relay ??= await RadiusRelay.start(this.world.gatewayHost, radiusServer));
  }

  /** Whom the gateway asks from now on. */
  async ask(whom: 'freeradius' | 'hostapd' | 'relay'): Promise<void> {
    if (whom === 'hostapd') await this.hostapd();
    const server = { freeradius: radiusServer, hostapd: hostapdServer, relay: this.#relay?.server ?? radiusServer }[whom];
    await this.world.gateway.configure({ authentication: ['eap-radius'], radius: server });
  }

  /** What a right profile says about the RADIUS server. */
  get trust(): RadiusTrust {
    return { names: radiusName, roots: [this.world.pki.radiusRoot.thumbprint] };
  }

  password(userName = 'alice', password: string = users.alice): Credentials {
    return { userName, password };
  }

  certificate(issued: Issued = this.world.pki.user()): Credentials {
    return { certificatePem: issued.chainPem, keyPem: issued.keyPem };
  }

  async pkcs12(issued: Issued = this.world.pki.user(), password = 'sesam # öffne $dich'): Promise<Credentials> {
    const { client } = this.world;
    client.write('/run/p12/chain.pem', issued.chainPem);
    client.write('/run/p12/key.pem', issued.keyPem, 0o600);
    client.write('/run/p12/secret', password, 0o600);
    const out = ['-out', '/run/p12/user.p12', '-passout', 'file:/run/p12/secret', '-name', issued.commonName];
    await client.exec(['openssl', 'pkcs12', '-export', '-in', '/run/p12/chain.pem', '-inkey', '/run/p12/key.pem', ...out]);
    const pkcs12Base64 = (await client.exec(['base64', '-w0', '/run/p12/user.p12'])).trim();
    await client.run(['rm', '-rf', '/run/p12']);
    return { pkcs12Base64, pkcs12Password: password };
  }

  /** Puts a profile in place with what speaks for the user; the gateway's root and the RADIUS servers' lie beside it, each for itself. */
  async put(name: string, wish: EapWish, credentials: Credentials, options: PutOptions = {}): Promise<void> {
    const { radiusRoot, ...profile } = options;
    this.trustRoots(name, radiusRoot);
    await this.product.put(name, eapProfile(wish, profile), credentials);
  }

  /** Puts certificates with their keys into a directory of the client, for the profile's filter to choose from. @returns the setting */
  async directory(issued: Readonly<Record<string, Issued>>): Promise<string> {
    const place = '/etc/aovpn/certificates';
    await this.world.client.run(['rm', '-rf', place]);
    this.world.client.write(`${place}/README`, 'certificates of the user\n');
    for (const [name, { chainPem, keyPem }] of Object.entries(issued)) {
      this.world.client.write(`${place}/${name}.pem`, chainPem);
      this.world.client.write(`${place}/${name}.key`, keyPem, 0o600);
    }
    return 'certificate-directory = "certificates"';
  }

  /** Puts both roots beside a profile that may come later. */
  trustRoots(name: string, radiusRoot: string = this.world.pki.radiusRoot.certificatePem): void {
    this.world.client.write(`/etc/aovpn/profiles.d/${name}.ca.pem`, this.world.pki.root.certificatePem);
    this.world.client.write(`/etc/aovpn/profiles.d/${name}.radius-ca.pem`, radiusRoot);
  }

  /** Puts a profile in place and waits until a packet has gone through its tunnel and back. */
  async connect(
    name: string,
    wish: EapWish,
    credentials: Credentials,
    options: PutOptions & { readonly timeoutMs?: number } = {},
  ): Promise<ConnectionStatus> {
    const { timeoutMs, ...more } = options;
    await this.put(name, wish, credentials, more);
    const connection = await this.product.waitFor(name, 'up', ({ state }) => state === 'up' || state === 'blocked', timeoutMs);
    assert.equal(connection.state, 'up', JSON.stringify(connection.problem));
    await this.world.application.connect(network.corp.web4, 80, 2000);
    return connection;
  }

  /** Removes a profile and waits until both ends have forgotten the tunnel. */
  async strike(name: string): Promise<void> {
    await this.product.remove(name);
    await this.world.gateway.quiet();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world.close();
  }
}
