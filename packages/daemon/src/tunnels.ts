import type { ExportedSecret } from '@aovpn/api';
import { createRevocationChecker } from '@aovpn/host';
import type { SupervisorAction, SupervisorOccurrence } from '@aovpn/supervisor';
import type { CandidateStore } from './candidate-store.ts';
import { DaemonError } from './daemon-error.ts';
import { deviceNameOf } from './device-name.ts';
import type { DnsRegistrar } from './dns-registrar.ts';
import { KeyExport } from './key-export.ts';
import type { NameLookup } from './name-lookup.ts';
import { isReady, makeAttempt, planeFor, planeOptions, type AttemptContext } from './open-attempt.ts';
import { outerMark } from './outer-mark.ts';
import { messageOf, problemOfError } from './problem-error.ts';
import type { Settings } from './settings.ts';
import type { Tunnel } from './tunnel.ts';
import type { TunnelReport } from './tunnel-port.ts';
import { WarmPlanes } from './warm-planes.ts';

type Action<K extends SupervisorAction['kind']> = Extract<SupervisorAction, { readonly kind: K }>;

export interface TunnelsOptions extends Pick<
  AttemptContext,
  'platform' | 'plans' | 'desk' | 'trust' | 'tickets' | 'log' | 'trace'
> {
  readonly settings: () => Settings;
  readonly names: NameLookup;
  readonly candidates: Pick<CandidateStore, 'get' | 'keepsakes'>;
  readonly registrar: Pick<DnsRegistrar, 'state' | 'withdraw'>;
  /** Of all profiles in force. */
  readonly profiles: () => readonly string[];
  readonly say: (occurrence: SupervisorOccurrence) => void;
  /** What the status shows of this connection may differ. */
  readonly onFacts: (name: string) => void;
}

/** The tunnels that exist, at most one for each connection, and what the supervisor wants done with them. What comes of it is said to it. */
export class Tunnels {
  readonly #options: TunnelsOptions;
  readonly #tunnels = new Map<string, { readonly attempt: number; readonly tunnel: Tunnel }>();
  readonly #keyExport = new KeyExport();
  readonly #revocation = createRevocationChecker();
  readonly #planes: WarmPlanes;
  #expected: { readonly awaited: readonly string[]; readonly next: readonly string[]; readonly begun: readonly string[] } = {
    awaited: [],
    next: [],
    begun: [],
  };
  #asksKernel = false;
  #closed = false;

  constructor(options: TunnelsOptions) {
    this.#options = options;
    this.#planes = new WarmPlanes(options.platform.dataPlanes.userspace);
  }

  /**
   * What takes longest is ready for these connections, and for no others: those that a trigger may bring up, for which somebody will wait then; else the
   * first of those that may come up next; and those that have `begun` to.
   */
  expect(awaited: readonly string[], next: readonly string[], begun: readonly string[]): void {
    const { platform, candidates, profiles } = this.#options;
    this.#expected = { awaited, next, begun };
    this.#planes.keep(awaited, next, begun, (name) => {
      const candidate = candidates.get(name);
      if (!isReady(candidate)) return undefined;
      const choice = planeFor(candidate, platform, { transport: 'udp', besideKernel: this.#isBesideKernel(name) });
      if (!choice) this.#askKernel();
      if (choice?.kind !== 'userspace') return undefined;
      return planeOptions(candidate.settings, { device: deviceNameOf(name, profiles()), mark: outerMark });
    });
  }

  /** Finds out what the kernel can, and then looks again at what is expected. */
  #askKernel(): void {
    if (this.#asksKernel) return;
    this.#asksKernel = true;
    void this.#options.platform.dataPlanes.kernelSupport().then(() => {
      const { awaited, next, begun } = this.#expected;
      if (!this.#closed) this.expect(awaited, next, begun);
    });
  }

  /** After the last tunnel. */
  async closeAll(): Promise<void> {
    this.#closed = true;
    await this.#planes.close();
  }

  get(name: string): Tunnel | undefined {
    return this.#tunnels.get(name)?.tunnel;
  }

  has(name: string): boolean {
    return this.#tunnels.has(name);
  }

  async resolve({ name, attempt, servers }: Action<'resolve'>): Promise<void> {
    // While name servers are asked.
    this.#options.plans.expect();
    const answers = await Promise.all(
      servers.map(async (server) => {
        try {
          return { server, ...(await this.#options.names.outside(server)) };
        } catch (error) {
          return { server, addresses: [], why: messageOf(error) };
        }
      }),
    );
    this.#options.say({ kind: 'resolved', name, attempt, answers });
  }

  async probe({ name, attempt, candidate }: Action<'probe'>): Promise<void> {
    const { settings, plans, platform } = this.#options;
    const { gatewayPort, tcpPort } = settings().of(name);
    const { address, transport } = candidate;
    const port = transport === 'tcp' ? tcpPort : gatewayPort;
    const answered = await plans
      .reach(name, [{ address, port }])
      .then(() => platform.probeGateway(address, port, transport))
      .catch(() => false);
    if (answered) this.#options.say({ kind: 'probed', name, attempt, candidate });
  }

  open(action: Action<'open'>): void {
    const { name, attempt } = action;
    const { platform, plans, desk, trust, tickets, log, trace, candidates, profiles } = this.#options;
    plans.expect();
    const context: AttemptContext = {
      platform,
      plans,
      desk,
      trust,
      tickets,
      log,
      trace,
      keyExport: this.#keyExport,
      revocation: this.#revocation,
      device: deviceNameOf(name, profiles()),
      beside: [...this.#tunnels.keys()].some((other) => other !== name),
      besideKernel: () => this.#isBesideKernel(name),
      planes: this.#planes,
      mark: outerMark,
    };
    let tunnel: Tunnel;
    try {
      tunnel = makeAttempt(
        action,
        () => candidates.get(name),
        candidates.keepsakes(name),
        context,
        (report) => this.#reported(name, attempt, report),
      );
    } catch (error) {
      setImmediate(() => this.#options.say({ kind: 'ended', name, attempt, problem: problemOfError(error) }));
      return;
    }
    this.#tunnels.set(name, { attempt, tunnel });
    tunnel.open();
  }

  move(action: Action<'move'>): void {
    void this.#of(action)?.move(action.transport);
  }

  checkLiveness(action: Action<'check-liveness'>): void {
    this.#of(action)?.checkLiveness();
  }

  /** What stands in DNS because of a tunnel can be taken out only while the tunnel is there. */
  async close(action: Action<'close'>): Promise<void> {
    const { registrar } = this.#options;
    const tunnel = this.#of(action);
    if (action.orderly && registrar.state(action.name)) await registrar.withdraw(action.name);
    tunnel?.close(action.orderly, action.why);
  }

  /** Keys and datagrams for root, where the settings allow it. Returns what begins it. @throws {DaemonError} where they do not */
  exportKeys(
    connection: string | undefined,
    peer: { readonly uid: number; readonly pid: number },
  ): (take: (secret: ExportedSecret) => void) => () => void {
    const { settings, log } = this.#options;
    if (!settings().allowKeyExport || peer.uid !== 0) throw new DaemonError('AOV-DAEMON-521');
    return (take) => {
      log.warn(`keys of ${connection ?? 'every connection'} are being handed to process ${peer.pid} of root`);
      const end = this.#keyExport.begin(connection, take);
      for (const { tunnel } of this.#tunnels.values()) tunnel.exportKeys();
      return () => {
        end();
        log.warn(`keys are no longer handed to process ${peer.pid}`);
      };
    };
  }

  #isBesideKernel(name: string): boolean {
    return [...this.#tunnels].some(([other, { tunnel }]) => other !== name && tunnel.dataPlane?.kind === 'kernel');
  }

  #of({ name, attempt }: { readonly name: string; readonly attempt: number }): Tunnel | undefined {
    const entry = this.#tunnels.get(name);
    return entry?.attempt === attempt ? entry.tunnel : undefined;
  }

  #reported(name: string, attempt: number, report: TunnelReport): void {
    switch (report.kind) {
      case 'facts':
        return this.#options.onFacts(name);
      case 'ended':
        if (this.#tunnels.get(name)?.attempt === attempt) this.#tunnels.delete(name);
        return this.#options.say({ name, attempt, ...report });
      case 'answered':
      case 'established':
      case 'unresponsive':
      case 'moved':
      case 'cannot-move':
      case 'ending':
        return this.#options.say({ name, attempt, ...report });
    }
  }
}
