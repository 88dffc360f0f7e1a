import { setTimeout as sleep } from 'node:timers/promises';
import { network } from './network.ts';
import type { Product } from './product.ts';
import type { World } from './world.ts';

/** Everything that can happen to an always-on machine, at random, from a seed; as fast as the machine does it. */
export class Transitions {
  readonly #world: World;
  readonly #product: Product;
  readonly #random: () => number;
  readonly #replaceProfile: (version: number) => Promise<void>;
  readonly #profile: string;
  #place: 'home' | 'away' = 'home';
  /** What `ip` makes of who the router is to the client: it never has to ask. */
  #neighbours: readonly string[] = [];
  /** The last part of the client's addresses. */
  #host = 10;
  #version = 0;

  constructor(
    world: World,
    product: Product,
    options: {
      readonly random: () => number;
      readonly profile: string;
      /** Puts another version of the profile into force, live. */
      readonly replaceProfile: (version: number) => Promise<void>;
    },
  ) {
    this.#world = world;
    this.#product = product;
    this.#random = options.random;
    this.#profile = options.profile;
    this.#replaceProfile = options.replaceProfile;
  }

  /**
   * What service managers set on every machine: a second address outlives the first. And the router is known to the client for good: what is sent while there is
   * no tunnel would wait in the kernel for an answer to the question who that is, and leave all at once when there is one again.
   */
  async prepare(): Promise<void> {
    const { client, router } = this.#world;
    await client.exec(['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/conf/all/promote_secondaries']);
    const [link] = JSON.parse(await router.exec(['ip', '-j', 'link', 'show', network.router.toClient])) as [{ address: string }];
    const who = `lladdr ${link.address} dev ${network.client.device} nud permanent`;
    this.#neighbours = [network.client.home, network.client.away].flatMap(({ router4, router6 }) => [
      `neigh replace ${router4} ${who}`,
      `-6 neigh replace ${router6} ${who}`,
    ]);
    await client.ip(...this.#neighbours);
  }

  /** Chooses one; `name` is told before it happens. */
  next(): { readonly name: string; perform(): Promise<void> } {
    const total = weights.reduce((sum, [, weight]) => sum + weight, 0);
    let place = this.#random() * total;
    const [kind] = weights.find(([, weight]) => (place -= weight) < 0) ?? weights[0];
    return { name: kind, perform: () => this.#perform(kind) };
  }

  async #perform(kind: TransitionKind): Promise<void> {
    const { gateway } = this.#world;
    switch (kind) {
      case 'cut link':
        await this.#link('down');
        await this.#pause(80);
        await this.#link('up');
        return;
      case 'move network':
        this.#place = this.#place === 'home' ? 'away' : 'home';
        return await this.#readdress(this.#random() < 0.5);
      case 'new address':
        this.#host = this.#host === 10 ? 11 : 10;
        return await this.#readdress(this.#random() < 0.5);
      case 'rekey':
        await this.#product.ask('POST', `/v1/connections/${this.#profile}/rekey`);
        return await this.#pause(30);
      case 'replace profile':
        return await this.#replaceProfile(++this.#version);
      case 'freeze gateway':
        await gateway.freeze();
        await this.#pause(200);
        return await gateway.thaw();
      case 'restart gateway':
        if (this.#random() < 0.5) await gateway.kill();
        else await gateway.stop();
        await gateway.start();
        return;
      case 'kill daemon':
        await this.#product.kill();
        await this.#pause(100);
        return await this.#product.start();
      case 'disturb path':
        await this.#world.impair({ blackhole: true });
        await this.#pause(100);
        return await this.#world.impair({});
    }
  }

  async #link(state: 'down' | 'up'): Promise<void> {
    const { device } = network.client;
    if (state === 'down') return await this.#world.client.ip(`link set ${device} down`);
    const { v6, router4, router6 } = this.#addresses();
    await this.#world.client.ip(
      `link set ${device} up`,
      ...this.#neighbours,
      `-6 addr replace ${v6}/64 dev ${device} nodad`,
      `route replace default via ${router4} dev ${device}`,
      `-6 route replace default via ${router6} dev ${device}`,
    );
  }

  async #readdress(makeFirst: boolean): Promise<void> {
    const { device } = network.client;
    const { v4, v6, router4, router6 } = this.#addresses();
    const before = await this.#world.client.exec(['ip', '-o', 'address', 'show', 'dev', device, 'scope', 'global']);
    const old = [...before.matchAll(/ inet(6?) (\S+) /g)].map(
      ([, six, address]) => `${six ? '-6 ' : ''}addr del ${address} dev ${device}`,
    );
    const fresh = [`addr add ${v4}/24 dev ${device}`, `-6 addr add ${v6}/64 dev ${device} nodad`];
    const routes = [
      `route replace default via ${router4} dev ${device}`,
      `-6 route replace default via ${router6} dev ${device}`,
    ];
    await this.#world.client.ip(...(makeFirst ? [...fresh, ...routes, ...old] : [...old, ...fresh, ...routes]));
    // A route goes with the address that it prefers.
    if (makeFirst) await this.#world.client.ip(...routes);
  }

  #addresses(): { v4: string; v6: string; router4: string; router6: string } {
    const { v4, v6, router4, router6 } = network.client[this.#place];
    return { v4: v4.replace(/\d+$/, String(this.#host)), v6: v6.replace(/\w+$/, String(this.#host)), router4, router6 };
  }

  async #pause(most: number): Promise<void> {
    await sleep(this.#random() * most);
  }
}

/** How often each is chosen: what takes long comes seldom. */
const weights = [
  ['cut link', 20],
  ['move network', 20],
  ['new address', 20],
  ['rekey', 20],
  ['replace profile', 6],
  ['freeze gateway', 5],
  ['restart gateway', 2],
  ['kill daemon', 3],
  ['disturb path', 4],
] as const;
type TransitionKind = (typeof weights)[number][0];
