import type { ConnectionStatus, DaemonEvent, ProfileStatus, Prompt, WaitingFor } from '@aovpn/api';
import { viewConnection, type SupervisorState } from '@aovpn/supervisor';
import { connectionStatus, type ConnectionMoments, type StatusParts } from './connection-status.ts';
import type { Tunnel } from './tunnel.ts';

type Connection = SupervisorState['connections'] extends ReadonlyMap<string, infer C> ? C : never;

export interface StatusSources {
  /** Of all connections. */
  readonly names: () => Iterable<string>;
  readonly profile: (name: string) => ProfileStatus | undefined;
  readonly connection: (name: string) => Connection | undefined;
  readonly tunnel: (name: string) => Tunnel | undefined;
  readonly prompts: () => readonly Prompt[];
  /** What the status shows besides. */
  readonly parts: (
    name: string,
  ) => Pick<StatusParts, 'intent' | 'ports' | 'plan' | 'registration' | 'owner' | 'encryptedDns' | 'resolvers'>;
}

/** What people see of connections: keeps the times of day, and tells whoever watches what has changed. */
export class StatusBoard {
  readonly #sources: StatusSources;
  readonly #moments = new Map<string, ConnectionMoments>();
  readonly #published = new Map<string, string>();
  readonly #toPublish = new Set<string>();
  readonly #subscribers = new Set<(event: DaemonEvent) => void>();
  #allSoon = false;

  constructor(sources: StatusSources) {
    this.#sources = sources;
  }

  /** `watcher` hears of every change from now on. */
  subscribe(watcher: (event: DaemonEvent) => void): () => void {
    this.#subscribers.add(watcher);
    return () => this.#subscribers.delete(watcher);
  }

  tell(event: DaemonEvent): void {
    for (const subscriber of this.#subscribers) subscriber(event);
  }

  async status(name: string): Promise<ConnectionStatus | undefined> {
    const stats = await this.#sources
      .tunnel(name)
      ?.stats()
      .catch(() => undefined);
    // Looked at after the wait, so that what is told last is what is true last.
    const connection = this.#sources.connection(name);
    if (!connection) return undefined;
    const tunnel = this.#sources.tunnel(name);
    const waitingFor = this.#waitingFor(name, tunnel);
    return connectionStatus({
      view: viewConnection(connection),
      servers: connection.spec.servers,
      moments: this.#moment(name, connection),
      ...this.#sources.parts(name),
      ...(tunnel?.network && { network: tunnel.network }),
      ...(tunnel?.dataPlane && { dataPlane: tunnel.dataPlane }),
      ...(tunnel?.radius && { radius: tunnel.radius }),
      ...(waitingFor && { waitingFor }),
      ...(stats && { stats }),
    });
  }

  /** Tells the status of a connection, if it differs from what was told last, once the event loop has done what came in. */
  publish(name: string): void {
    const connection = this.#sources.connection(name);
    if (!connection) return;
    this.#moment(name, connection);
    if (this.#toPublish.has(name)) return;
    this.#toPublish.add(name);
    setImmediate(() => this.#publish(name));
  }

  /** The same of every connection: what filters and apps there are shows in each. */
  publishAll(): void {
    if (this.#allSoon) return;
    this.#allSoon = true;
    setImmediate(() => {
      this.#allSoon = false;
      for (const name of this.#sources.names()) this.publish(name);
    });
  }

  publishProfile(name: string): void {
    const profile = this.#sources.profile(name);
    if (profile) this.tell({ kind: 'profile', profile });
  }

  /** A question, or its end, is told; the status of its connection may read otherwise. */
  promptChanged(event: DaemonEvent): void {
    this.tell(event);
    if (event.kind === 'prompt') this.publish(event.prompt.connection);
    // Once the desk has let go of it.
    if (event.kind === 'prompt-over') setImmediate(() => this.publish(event.connection));
  }

  #publish(name: string): void {
    this.#toPublish.delete(name);
    void this.status(name).then(
      (status) => {
        if (!status) return;
        const { traffic: _, ...steady } = status;
        const text = JSON.stringify(steady);
        if (this.#published.get(name) === text) return;
        this.#published.set(name, text);
        this.tell({ kind: 'status', connection: status });
      },
      () => {},
    );
  }

  forget(name: string): void {
    this.#moments.delete(name);
    this.#published.delete(name);
    this.tell({ kind: 'removed', name });
  }

  #waitingFor(name: string, tunnel: Tunnel | undefined): WaitingFor | undefined {
    const prompt = this.#sources.prompts().find(({ connection }) => connection === name);
    if (prompt) return { who: 'person', text: `waiting for ${wanted[prompt.kind]}: aovpn prompt`, since: prompt.askedAt };
    const wait = tunnel?.wait;
    return wait && { who: 'radius', ...wait };
  }

  /** Times of day are taken when something happens: the two clocks drift apart while the machine sleeps. */
  #moment(name: string, connection: Connection): ConnectionMoments {
    const { since, connectedAt, problem: current, nextTryAt } = viewConnection(connection);
    const before = this.#moments.get(name);
    const stamp = (
      at: number,
      old: { readonly at: number; readonly iso: string } | undefined,
    ): { readonly at: number; readonly iso: string } => (old?.at === at ? old : { at, iso: isoOf(at) });
    const moments: ConnectionMoments = {
      since: stamp(since, before?.since),
      ...(connectedAt !== undefined && { connectedAt: stamp(connectedAt, before?.connectedAt) }),
      ...(nextTryAt !== undefined && { nextTryAt: stamp(nextTryAt, before?.nextTryAt) }),
      ...(current && {
        problem: before?.problem?.problem === current ? before.problem : { problem: current, iso: new Date().toISOString() },
      }),
    };
    this.#moments.set(name, moments);
    return moments;
  }
}

const wanted: { readonly [K in Prompt['kind']]: string } = {
  password: 'a password from you',
  'new-password': 'a new password from you',
  token: 'a one-time code from you',
  pin: 'the PIN of a token from you',
  trust: 'your word on the RADIUS server',
  certificate: 'your choice of a certificate',
};

function isoOf(at: number): string {
  return new Date(Date.now() + at - performance.now()).toISOString();
}
