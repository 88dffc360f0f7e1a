import { readFile } from 'node:fs/promises';
import type { OpenPortal, PortalOpened, PortalStatus } from '@aovpn/api';
import { addressFromBytes, encodeUtf8, equal, formatAddress, parsePrefix, prefixContains } from '@aovpn/bytes';
import type { FetchedPage, MarkedFetch, NetworkFacts, Peer, PortalCell } from '@aovpn/host';
import {
  isWebUrl,
  judgePortal,
  maxApiOctets,
  readPortalApi,
  webUrl,
  type Announcement,
  type GatewayEndpoint,
  type PortalApiAnswer,
  type PortalHole,
  type PortalVerdict,
  type ProbeOutcome,
  type WebUrl,
} from '@aovpn/policy';
import { startPortal, stepPortal, type PortalAction, type PortalEvent, type PortalState } from '@aovpn/supervisor';
import { DaemonError } from './daemon-error.ts';
import type { Log } from './log.ts';
import type { PortalSettings } from './portal-settings.ts';
import { messageOf } from './problem-error.ts';
import type { ResolveAnswer } from './resolve-gateway.ts';
import { userId } from './user-database.ts';

/** What the machine offers for captive portals. */
export interface PortalPlatform {
  openCell(): PortalCell;
  ask(devices: readonly string[]): Promise<readonly Announcement[]>;
  fetch(fetch: MarkedFetch): Promise<FetchedPage>;
  owner(pid: number): { readonly parent: number; readonly uid: number } | undefined;
}

export interface PortalControlOptions {
  readonly platform: PortalPlatform;
  readonly mark: number;
  readonly log: Log;
  readonly settings: () => PortalSettings;
  readonly facts: () => Promise<NetworkFacts>;
  /** Outside of every tunnel, by the machine's own name servers. */
  readonly resolve: (name: string) => Promise<ResolveAnswer>;
  /** Lets the daemon itself ask there by TCP, and nowhere else, where LockDown holds everything back. */
  readonly allow: (questions: readonly GatewayEndpoint[]) => Promise<void>;
  /** Opens the hole where LockDown holds everything back; undefined: closes it. */
  readonly hole: (hole: PortalHole | undefined) => Promise<void>;
  readonly onChange: (status: PortalStatus) => void;
}

const systemAuthorities = '/etc/ssl/certs/ca-certificates.crt';
/** APIs that are asked, of all that are announced. */
const maxApis = 3;
/** For one question, milliseconds. */
const questionPatience = 5_000;
/** Questions that are told. */
const maxAsked = 16;
const maxProbeOctets = 4 * 1024;
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** What no network can have a service on: this machine, nobody, and everybody. */
const notFar = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3', '::/127', 'ff00::/8', '::ffff:0:0/96'].map((text) =>
  parsePrefix(text)!,
);

/** Finds out about captive portals and lets a person sign in to one: performs what `stepPortal` says. */
export class PortalControl {
  readonly #options: PortalControlOptions;
  #cell: PortalCell | undefined;
  #state: PortalState = startPortal;
  #timer: NodeJS.Timeout | undefined;
  #moments: { readonly since: string; readonly until: string } | undefined;
  /** What lets out and what shuts go one after the other. */
  #work: Promise<void> = Promise.resolve();
  #looking: Promise<void> | undefined;
  #stopped = false;
  #asked: PortalStatus['asked'] = [];

  constructor(options: PortalControlOptions) {
    this.#options = options;
  }

  /** Takes away what an earlier run left. Without cgroups nobody can be let out, and nothing is left. */
  async start(): Promise<void> {
    try {
      this.#cell = this.#options.platform.openCell();
      await this.#cell.shut();
    } catch (error) {
      this.#options.log.warn(`captive portals cannot be opened here: ${messageOf(error)}`);
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    if (this.#state.open) await this.#say({ kind: 'close', by: 'the daemon, which ends' });
    await this.#work;
  }

  /** @param needed a connection that holds traffic inside is wanted and not up, and there is a network @param network differs for every one */
  heed(needed: boolean, network: string): void {
    if (!this.#stopped) void this.#say({ kind: 'network', needed, network });
  }

  /** Looks now, and resolves when that is done. */
  async look(): Promise<void> {
    // A change of the network makes a look worthless that began before it.
    for (let tries = 0; tries < 2 && (tries === 0 || !this.#state.verdict); tries++) {
      await this.#say({ kind: 'look' });
      await this.#looking;
    }
  }

  mayOpen(uid: number): boolean {
    return this.#options.settings().users.some((user) => userId(user) === uid);
  }

  status(): PortalStatus {
    const { needed, verdict, open } = this.#state;
    const states = { captive: 'captive', open: 'internet', unknown: 'unknown' } as const;
    return {
      state: needed ? states[verdict?.kind ?? 'unknown'] : 'none',
      ...(verdict?.portalUrl !== undefined && { url: verdict.portalUrl }),
      trace: verdict?.trace ?? [],
      asked: this.#asked,
      ...(open && this.#moments && { open: { by: open.by, ...this.#moments, ports: open.ports } }),
    };
  }

  /** @throws {DaemonError} AOV-DAEMON-551, AOV-DAEMON-552, {HostError} */
  async open(peer: Pick<Peer, 'uid' | 'pid'>, { pid, minutes }: OpenPortal): Promise<PortalOpened> {
    const { platform, settings } = this.#options;
    if (!this.#state.needed) throw new DaemonError('AOV-DAEMON-551');
    if (!this.#cell) throw new DaemonError('AOV-DAEMON-552', 'there is no cgroup v2 here');
    const isTheirs = (): boolean => {
      const owner = platform.owner(pid);
      // 0 is whoever cannot be seen from here, and the parent of the first process as well.
      return peer.pid > 0 && owner !== undefined && owner.uid === peer.uid && owner.parent === peer.pid;
    };
    if (!isTheirs()) throw new DaemonError('AOV-DAEMON-552', `process ${pid}`);
    const { ports, browser, minutes: usual } = settings();
    const by = `user ${peer.uid} (process ${peer.pid})`;
    await this.#say({ kind: 'open', by, milliseconds: (minutes ?? usual) * 60_000, ports });
    if (!this.#state.open) throw new DaemonError('AOV-DAEMON-551');
    // Its parent waits for our answer, so the number is still the same process's if it is still their child.
    if (!isTheirs()) {
      await this.#say({ kind: 'close', by: 'the daemon: the program has ended' });
      throw new DaemonError('AOV-DAEMON-552', `process ${pid}`);
    }
    this.#cell.admit(pid);
    const url = this.#state.verdict?.portalUrl;
    return { until: this.#moments!.until, ...(url !== undefined && { url }), ...(browser && { browser }) };
  }

  async close(by: string): Promise<void> {
    await this.#say({ kind: 'close', by });
  }

  /** Resolves when what lets out or shuts is done. @throws {HostError} when letting out failed; then it is shut again */
  async #say(event: PortalEvent): Promise<void> {
    const { state, actions } = stepPortal(this.#state, event, performance.now());
    this.#state = state;
    const done = actions.flatMap((action) => this.#perform(action) ?? []);
    await Promise.all(done);
  }

  #perform(action: PortalAction): Promise<void> | undefined {
    const { log, onChange } = this.#options;
    switch (action.kind) {
      case 'look':
        this.#looking = this.#look(action.look).finally(() => (this.#looking = undefined));
        return undefined;
      case 'let-out': {
        const { open } = action;
        const until = Date.now() + open.until - performance.now();
        this.#moments = { since: new Date().toISOString(), until: new Date(until).toISOString() };
        return this.#inTurn(() => this.#letOut(until, open.by, open.ports));
      }
      case 'shut':
        this.#moments = undefined;
        return this.#inTurn(() => this.#shut());
      case 'arm':
        clearTimeout(this.#timer);
        if (!this.#stopped)
          this.#timer = setTimeout(() => void this.#say({ kind: 'timer' }), Math.max(0, action.at - performance.now())).unref();
        return undefined;
      case 'disarm':
        clearTimeout(this.#timer);
        return undefined;
      case 'changed':
        // The state is what it will be when all of this step is done.
        setImmediate(() => onChange(this.status()));
        return undefined;
      case 'log':
        log.write(action.level, action.text);
        return undefined;
    }
  }

  async #inTurn(act: () => Promise<void>): Promise<void> {
    const mine = this.#work.then(act);
    this.#work = mine.catch(() => {});
    await mine;
  }

  async #letOut(until: number, by: string, ports: readonly number[]): Promise<void> {
    const cell = this.#cell!;
    try {
      const { resolver } = await this.#options.facts();
      await cell.open({ until, ports, resolvers: resolver.servers });
      await this.#options.hole({
        cgroup: cell.cgroup,
        until,
        ports,
        because: { profile: '', why: `captive portal, opened by ${by}` },
      });
    } catch (error) {
      this.#state = { ...this.#state, open: undefined };
      await this.#shut();
      throw error;
    }
  }

  /** Never fails: what the kernel keeps shuts by itself when its time is over. */
  async #shut(): Promise<void> {
    const fail = (error: unknown): void => this.#options.log.error(`closing the captive portal: ${messageOf(error)}`);
    await this.#options.hole(undefined).catch(fail);
    await this.#cell?.shut().catch(fail);
  }

  async #look(look: number): Promise<void> {
    let verdict: PortalVerdict;
    try {
      verdict = await this.#findOut();
    } catch (error) {
      verdict = { kind: 'unknown', trace: [`looking for a captive portal failed: ${messageOf(error)}`] };
    } finally {
      await this.#options.allow([]).catch(() => {});
    }
    if (!this.#stopped) await this.#say({ kind: 'found', look, verdict });
  }

  async #findOut(): Promise<PortalVerdict> {
    const { platform, facts, settings } = this.#options;
    const { running } = await facts();
    const announcements = await platform.ask(running.slice(0, 8));
    const uris = [...new Set(announcements.map(({ uri }) => uri))].filter((uri) => isWebUrl(uri, ['https:'])).slice(0, maxApis);
    const apis: { uri: string; answer: PortalApiAnswer | { readonly problem: string } }[] = [];
    for (const uri of uris) apis.push({ uri, answer: await this.#askApi(uri) });
    const { probeUrl, probeAnswer } = settings();
    const probe = probeUrl === undefined ? undefined : await this.#probe(probeUrl, probeAnswer);
    return judgePortal({ announcements, apis, ...(probe && { probe }) });
  }

  async #askApi(uri: string): Promise<PortalApiAnswer | { readonly problem: string }> {
    try {
      const authorities = await readFile(systemAuthorities, 'utf8').catch(() => undefined);
      const page = await this.#get(webUrl(uri, ['https:'])!, maxApiOctets, authorities, 'application/captive+json');
      if (page.status !== 200) return { problem: `it answered with status ${page.status}` };
      return readPortalApi(page.contentType, page.body);
    } catch (error) {
      return { problem: messageOf(error) };
    }
  }

  async #probe(url: string, expected: string): Promise<ProbeOutcome> {
    try {
      const target = webUrl(url, ['http:'])!;
      const { status, location, body, contentType } = await this.#get(target, maxProbeOctets);
      if (redirects.has(status) && location !== undefined) return { kind: 'redirect', location: absolute(location, url) };
      if ((status === 200 || status === 204) && equal(body, encodeUtf8(expected))) return { kind: 'expected' };
      const type = /^[\w.+/-]{1,60}/.exec(contentType)?.[0] ?? 'no type';
      return { kind: 'other', what: `status ${status}, ${body.length} octets of ${type}` };
    } catch (error) {
      const why = messageOf(error);
      return why.includes('longer than') ? { kind: 'other', what: why } : { kind: 'failed', why };
    }
  }

  #tellAsked(question: PortalStatus['asked'][number]): void {
    if (this.#asked.some((known) => sameQuestion(known, question))) return;
    this.#asked = [...this.#asked.slice(1 - maxAsked), question];
    this.#options.onChange(this.status());
  }

  async #get(url: WebUrl, maxOctets: number, authorities?: string, accept?: string): Promise<FetchedPage> {
    const { platform, resolve, allow, mark } = this.#options;
    // Before the first question: whoever watches the link must be able to tell ours from a leak.
    this.#tellAsked({ host: url.host, address: '', port: url.port });
    const { addresses, why } = await resolve(url.host);
    const address = addresses.find((one) => !notFar.some((prefix) => prefixContains(prefix, addressFromBytes(one.bytes))));
    if (!address)
      throw new Error(addresses[0] ? `${url.host} is said to be ${formatAddress(addresses[0])}` : (why ?? 'no address'));
    this.#tellAsked({ host: url.host, address: formatAddress(address), port: url.port });
    await allow([{ address, port: url.port }]);
    return await platform.fetch({
      url,
      address,
      mark,
      maxOctets,
      timeoutMs: questionPatience,
      ...(authorities !== undefined && { authorities }),
      ...(accept !== undefined && { accept }),
    });
  }
}

function sameQuestion(a: PortalStatus['asked'][number], b: PortalStatus['asked'][number]): boolean {
  return a.host === b.host && a.address === b.address && a.port === b.port;
}

function absolute(location: string, base: string): string {
  try {
    return new URL(location, base).href;
  } catch {
    return location.slice(0, 200);
  }
}
