import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { Application } from './application.ts';
import { removeCgroups } from './app.ts';
import { Capture } from './capture.ts';
import { type GatewayOptions, Strongswan } from './gateway/strongswan.ts';
import { Host } from './host.ts';
import { type Impairment, Impairments } from './impairment.ts';
import { claimDirectory, removeLeftovers } from './leftover.ts';
import { canary, network, publicCanary } from './network.ts';
import { Pki } from './pki/pki.ts';
import { Product } from './product.ts';
import { firstChild, saysReady } from './running.ts';
import { corporateRecords, publicRecords, startUnbound } from './server/unbound.ts';
import type { WebSettings } from './server/web.ts';
import type { Running } from './running.ts';

export interface WorldOptions {
  /** Start no DNS and web servers: for stories that only need a path. */
  readonly bare?: boolean;
  /** Switch the links' offloads off, so that every packet is alone on the wire. */
  readonly offloads?: boolean;
}

/**
 * A client, an internet router, a VPN gateway and a corporate network behind it, all in namespaces of this machine, v4 and v6:
 *
 *     client ── router ── gateway ── corp
 *
 * `await using world = await World.create()`. When the owning process ends, however it ends, the kernel ends everything in the world;
 * closing it removes its files too.
 */
export class World implements AsyncDisposable {
  readonly directory: string;
  readonly client: Host;
  readonly router: Host;
  readonly gatewayHost: Host;
  readonly corp: Host;
  readonly pki = new Pki();
  readonly #init: ChildProcess;
  readonly #impairments: Impairments;
  readonly #closing: (() => Promise<void>)[] = [];
  readonly #removeHooks: () => void;
  #application: Application | undefined;
  #gateway: Strongswan | undefined;
  #corporateDns: Running | undefined;
  #closed: Promise<void> | undefined;

  private constructor(directory: string, init: ChildProcess, hosts: readonly [Host, Host, Host, Host], removeHooks: () => void) {
    this.directory = directory;
    this.#init = init;
    [this.client, this.router, this.gatewayHost, this.corp] = hosts;
    this.#impairments = new Impairments(this.router);
    this.#removeHooks = removeHooks;
  }

  static async create(options: WorldOptions = {}): Promise<World> {
    if (process.getuid?.() !== 0) throw new Error('a world is made of namespaces: root is needed');
    removeLeftovers();
    const directory = claimDirectory();
    // Without standard error: unshare complains there when it is itself killed.
    const init = spawn('unshare', ['--pid', '--fork', '--kill-child', '--mount', 'sh', '-euc', firstProcess], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const removeHooks = removeAtExit(directory, init);
    try {
      await saysReady(init, 'the first process of the world');
      const pid = firstChild(init.pid);
      if (pid === undefined) throw new Error('the first process of the world vanished');
      writeFileSync(path.join(directory, 'init.pid'), String(pid));
      const make = (name: string, setUp: readonly string[] = []): Promise<Host> =>
        Host.create(name, path.join(directory, name), pid, setUp);
      const hosts = await Promise.all([make('client'), make('router', forwarding), make('gateway', forwarding), make('corp')]);
      const world = new World(directory, init, hosts, removeHooks);
      await world.#connect(options);
      if (!options.bare) await world.#serve();
      return world;
    } catch (error) {
      await end(init);
      removeHooks();
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** An application on the client. */
  get application(): Application {
    return (this.#application ??= new Application(this.client));
  }

  get corporateDns(): Running {
    if (!this.#corporateDns) throw new Error('this world has no servers');
    return this.#corporateDns;
  }

  /** The gateway, once {@link startGateway} has made it. */
  get gateway(): Strongswan {
    if (!this.#gateway) throw new Error('this world has no gateway yet: call startGateway() first');
    return this.#gateway;
  }

  /** Starts strongSwan on the gateway: unless told otherwise with a good ECDSA P-256 certificate, for machine certificates. */
  async startGateway(options: Partial<GatewayOptions> = {}): Promise<Strongswan> {
    this.#gateway = await Strongswan.start(this.gatewayHost, {
      certificate: this.pki.gateway(),
      authorities: [this.pki.root.certificatePem],
      ...options,
    });
    return this.#gateway;
  }

  /** Our product on the client; its daemon is started by `product.start()`. */
  product(): Product {
    const product = new Product(this.client);
    this.#closing.push(() => product.stop());
    return product;
  }

  /** What the internet does to packets between client and gateway, from now on. `{}`: nothing. */
  impair(impairment: Impairment): Promise<void> {
    return this.#impairments.apply(impairment);
  }

  forgetNatMappings(): Promise<void> {
    return this.#impairments.forgetMappings();
  }

  /** Listens on the wire between client and internet. */
  capture(): Promise<Capture> {
    return Capture.start(this.router, network.router.toClient);
  }

  /** The client moves to another network: new addresses and routes first, then the old ones go, as on a real hand-over; or the other way round. */
  async moveClient(to: 'home' | 'away', order: 'make-before-break' | 'break-before-make' = 'make-before-break'): Promise<void> {
    const { device } = network.client;
    const next = network.client[to];
    const last = network.client[to === 'home' ? 'away' : 'home'];
    const leave = [`addr del ${last.v4}/24 dev ${device}`, `-6 addr del ${last.v6}/64 dev ${device}`];
    const arrive = [
      `addr add ${next.v4}/24 dev ${device}`,
      `-6 addr add ${next.v6}/64 dev ${device} nodad`,
      `route replace default via ${next.router4} dev ${device}`,
      `-6 route replace default via ${next.router6} dev ${device}`,
    ];
    await this.client.ip(...(order === 'make-before-break' ? [...arrive, ...leave] : [...leave, ...arrive]));
  }

  /** Unplugs the client's cable, or plugs it in again (with its addresses and routes of `home`). */
  async plug(connected: boolean): Promise<void> {
    const { device, home } = network.client;
    if (!connected) return this.client.ip(`link set ${device} down`);
    await this.client.ip(
      `link set ${device} up`,
      `-6 addr replace ${home.v6}/64 dev ${device} nodad`,
      `route replace default via ${home.router4} dev ${device}`,
      `-6 route replace default via ${home.router6} dev ${device}`,
    );
  }

  /** Writes the current revocation lists where certificates say they are, and starts the OCSP responder when asked. */
  async publishRevocation(options: { readonly ocsp?: boolean } = {}): Promise<void> {
    this.router.write('/run/pki/root.crl', this.pki.root.crl());
    this.router.write('/run/pki/radius.crl', this.pki.radiusRoot.crl());
    if (!options.ocsp) return;
    this.router.write('/run/pki/index.txt', this.pki.root.index());
    // Two certificates may have one name.
    this.router.write('/run/pki/index.txt.attr', 'unique_subject = no\n');
    this.router.write('/run/pki/root.pem', this.pki.root.certificatePem);
    this.router.write('/run/pki/root.key', this.pki.root.keyPem, 0o600);
    const ca = ['-CA', '/run/pki/root.pem', '-rsigner', '/run/pki/root.pem', '-rkey', '/run/pki/root.key'];
    const responder = this.router.spawn(
      ['openssl', 'ocsp', '-port', String(network.internet.ocspPort), '-index', '/run/pki/index.txt', ...ca, '-nmin', '10'],
      { name: 'ocsp' },
    );
    await responder.saysWithin(/waiting for OCSP client connections/);
  }

  /** Ends everything and removes every file. Safe to call twice. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      for (const step of this.#closing.toReversed()) await step().catch(() => undefined);
      await end(this.#init);
      removeCgroups(this.client);
      this.#removeHooks();
      rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
    })();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #connect(options: WorldOptions): Promise<void> {
    const { client, router, gateway, corp, internet } = network;
    const { home, away } = client;
    // Made from the router, whose own namespace is the near end of both links; pids are as this machine numbers them.
    await this.#linkFrom(this.router, router.toClient, this.client, client.device);
    await this.#linkFrom(this.router, router.toGateway, this.gatewayHost, gateway.device);
    await this.#linkFrom(this.gatewayHost, gateway.inside, this.corp, corp.device);
    await Promise.all([
      this.router.ip(
        ...[home.router4, away.router4].map((address) => `addr add ${address}/24 dev ${router.toClient}`),
        ...[home.router6, away.router6].map((address) => `-6 addr add ${address}/64 dev ${router.toClient} nodad`),
        `addr add ${router.v4}/24 dev ${router.toGateway}`,
        `-6 addr add ${router.v6}/64 dev ${router.toGateway} nodad`,
        ...[internet.dns4, internet.web4].map((address) => `addr add ${address}/32 dev lo`),
        ...[internet.dns6, internet.web6].map((address) => `-6 addr add ${address}/128 dev lo nodad`),
        `link set ${router.toClient} up`,
        `link set ${router.toGateway} up`,
      ),
      this.client.ip(
        `addr add ${home.v4}/24 dev ${client.device}`,
        `-6 addr add ${home.v6}/64 dev ${client.device} nodad`,
        `link set ${client.device} up`,
        `route add default via ${home.router4} dev ${client.device}`,
        `-6 route add default via ${home.router6} dev ${client.device}`,
      ),
      this.gatewayHost.ip(
        `addr add ${gateway.v4}/24 dev ${gateway.device}`,
        `-6 addr add ${gateway.v6}/64 dev ${gateway.device} nodad`,
        `addr add ${gateway.lan4}/24 dev ${gateway.inside}`,
        `-6 addr add ${gateway.lan6}/64 dev ${gateway.inside} nodad`,
        `link set ${gateway.device} up`,
        `link set ${gateway.inside} up`,
        `route add default via ${router.v4} dev ${gateway.device}`,
        `-6 route add default via ${router.v6} dev ${gateway.device}`,
      ),
      this.corp.ip(
        ...[corp.dns4, corp.web4, corp.radius4].map((address) => `addr add ${address}/24 dev ${corp.device}`),
        ...[corp.dns6, corp.web6].map((address) => `-6 addr add ${address}/64 dev ${corp.device} nodad`),
        `link set ${corp.device} up`,
        `route add default via ${gateway.lan4} dev ${corp.device}`,
        `-6 route add default via ${gateway.lan6} dev ${corp.device}`,
      ),
      // Under force tunnel people reach the internet through the gateway, which hides their inner addresses.
      this.gatewayHost.exec(['nft', '-f', '-'], { input: gatewayNat }),
    ]);
    this.client.write('/etc/resolv.conf', `nameserver ${internet.dns4}\n`);
    if (options.offloads === false) await this.#switchOffloadsOff();
  }

  async #linkFrom(near: Host, nearDevice: string, far: Host, farDevice: string): Promise<void> {
    const argv = ['ip', 'link', 'add', nearDevice, 'type', 'veth', 'peer', 'name', farDevice, 'netns', String(far.holder)];
    const child = spawn('nsenter', [`--target=${near.holder}`, '--net', '--', ...argv], { stdio: 'inherit' });
    const status = await new Promise((resolve) => child.once('close', resolve));
    if (status !== 0) throw new Error(`cannot link ${near.name} with ${far.name}`);
  }

  async #switchOffloadsOff(): Promise<void> {
    const { client, router, gateway } = network;
    const ends: [Host, string][] = [
      [this.client, client.device],
      [this.router, router.toClient],
      [this.router, router.toGateway],
      [this.gatewayHost, gateway.device],
    ];
    for (const [host, device] of ends) {
      await host.exec(['ethtool', '-K', device, 'tso', 'off', 'gso', 'off', 'gro', 'off', 'tx-udp-segmentation', 'off']);
    }
  }

  async #serve(): Promise<void> {
    const { corp, internet } = network;
    mkdirSync(this.router.file('/run/pki'), { recursive: true });
    const program = new URL('./server/web.ts', import.meta.url).pathname;
    const web = async (host: Host, settings: WebSettings): Promise<void> => {
      const running = host.spawn([process.execPath, program, JSON.stringify(settings)], { name: 'web' });
      await running.saysWithin(/ready/);
    };
    const [dns] = await Promise.all([
      startUnbound(this.corp, [corp.dns4, corp.dns6], corporateRecords),
      startUnbound(this.router, [internet.dns4, internet.dns6], publicRecords),
      web(this.corp, {
        addresses: [corp.web4, corp.web6],
        page: `Welcome to the intranet. ${canary}\n`,
        echoPort: corp.echoPort,
      }),
      web(this.router, {
        addresses: [internet.web4, internet.web6],
        page: `Hello from the internet. ${publicCanary}\n`,
        directory: path.join(this.router.directory, 'run/pki'),
        echoPort: corp.echoPort,
      }),
    ]);
    this.#corporateDns = dns;
  }
}

/** It lives as long as its standard input is open, that is, as long as the process that owns the world. */
const firstProcess = 'mount --make-rprivate /\nmount -t proc proc /proc\necho ready\nexec cat >/dev/null';
const forwarding = [
  'echo 1 > /proc/sys/net/ipv4/ip_forward',
  'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding',
  'echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter',
  'echo 0 > /proc/sys/net/ipv4/conf/default/rp_filter',
];
const gatewayNat = `table inet way-out {
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    oifname "${network.gateway.device}" ip saddr ${network.pool.prefix4} masquerade
    oifname "${network.gateway.device}" ip6 saddr ${network.pool.prefix6} masquerade
  }
}
`;

async function end(init: ChildProcess): Promise<void> {
  if (init.exitCode !== null || init.signalCode !== null) return;
  const closed = new Promise((resolve) => init.once('close', resolve));
  const first = firstChild(init.pid);
  // The first process ends only when the kernel has ended all others of the world, and unshare ends after it: killing unshare as
  // well would have us go on while some of them are still dying.
  if (first === undefined) init.kill('SIGKILL');
  else process.kill(first, 'SIGKILL');
  await closed;
}

/** Files go even when the owner ends without closing; the rest goes by itself. */
function removeAtExit(directory: string, init: ChildProcess): () => void {
  const remove = (): void => {
    const first = firstChild(init.pid);
    if (first !== undefined) process.kill(first, 'SIGKILL');
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  process.once('exit', remove).once('SIGINT', onSignal).once('SIGTERM', onSignal);
  return () => process.off('exit', remove).off('SIGINT', onSignal).off('SIGTERM', onSignal);
}
