import { encodeUtf8 } from '@aovpn/bytes';
import type { EapAction, EapEvent } from '@aovpn/eap';
import type {
  ChildSaKeys,
  GatewayVerdict,
  IkeAction,
  IkeEnd,
  IkeEvent,
  IkeSaConfig,
  IkeTimer,
  Path,
} from '../src/machine/contract.ts';
import { PuzzleSearch } from '../src/crypto/puzzle.ts';
import { startIkeSa, stepIkeSa } from '../src/machine/ike-sa.ts';
import type { IkeSa } from '../src/machine/state.ts';
import type { MachineCrypto } from '../src/machine/turn.ts';
import { clientKey, gatewayKey, password, path as usualPath } from './world.ts';

/** What the host does at once by itself; a test that wants a moment in between turns it off. */
export interface Obedience {
  install: boolean;
  sign: boolean;
  verify: boolean;
  secret: boolean;
  traffic: boolean;
  work: boolean;
}

export interface InstalledChild {
  readonly keys: ChildSaKeys;
  sending: boolean;
}

/** The machine with a host around it that is made of plain data: what it sent, installed and was told stands open to the test. */
export class Client {
  sa: IkeSa;
  end: IkeEnd | undefined;
  now: number;
  path: Path;
  /** Datagrams that nobody has taken yet. */
  readonly sent: Uint8Array[] = [];
  readonly actions: IkeAction[] = [];
  readonly timers = new Map<IkeTimer, number>();
  readonly children = new Map<number, InstalledChild>();
  readonly host: Obedience = { install: true, sign: true, verify: true, secret: true, traffic: true, work: true };
  verdict: GatewayVerdict = { accepted: true, spki: gatewayKey.spki, subject: 'CN=vpn.example.com', trace: [] };
  password = password;
  /** The host's TLS engine; without it nobody answers. */
  tls: ((action: EapAction) => EapEvent | undefined) | undefined;
  lastInboundAt: number | undefined;
  /** What has gone through each pair, for `ask-traffic`, octets. */
  readonly volumes = new Map<number, number>();
  readonly #crypto: MachineCrypto;

  constructor(
    crypto: MachineCrypto,
    config: IkeSaConfig,
    options: { readonly path?: Path; readonly now?: number; readonly sa?: IkeSa } = {},
  ) {
    this.#crypto = crypto;
    this.now = options.now ?? 1000;
    this.path = options.path ?? usualPath;
    if (options.sa) {
      this.sa = options.sa;
      return;
    }
    const { sa, actions } = startIkeSa(crypto, config, this.path, this.now);
    this.sa = sa;
    this.#perform(actions);
  }

  /** One that is in the middle of its life. */
  static resume(crypto: MachineCrypto, sa: IkeSa, children: readonly InstalledChild[], now: number): Client {
    const client = new Client(crypto, sa.config, { sa, path: sa.path, now });
    for (const child of children) client.children.set(child.keys.inbound.spi, child);
    // Any event has it arm its timers; this one means nothing else.
    client.step({ kind: 'traffic', lastInboundAt: undefined, children: [] });
    return client;
  }

  /** The phase, for assertions. */
  get phase(): string {
    return this.sa.phase.name;
  }

  /** Inbound SPIs of the pairs that send. */
  get sending(): number[] {
    return [...this.children].flatMap(([spiIn, child]) => (child.sending ? [spiIn] : []));
  }

  /** Takes what was sent. */
  take(): Uint8Array[] {
    return this.sent.splice(0);
  }

  count(kind: IkeAction['kind']): number {
    return this.actions.filter((action) => action.kind === kind).length;
  }

  last<K extends IkeAction['kind']>(kind: K): Extract<IkeAction, { kind: K }> | undefined {
    return this.actions.findLast((action): action is Extract<IkeAction, { kind: K }> => action.kind === kind);
  }

  step(event: IkeEvent): void {
    const { sa, actions } = stepIkeSa(this.#crypto, this.sa, event, this.now);
    this.sa = sa;
    this.#perform(actions);
  }

  receive(...datagrams: readonly Uint8Array[]): void {
    for (const datagram of datagrams) {
      this.step({ kind: 'datagram', datagram, from: this.path.remote, fromPort: this.path.remotePort });
    }
  }

  /** Lets time pass, timer by timer. */
  advance(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      const next = this.nextTimer();
      if (!next || next.at > until) break;
      this.fire(next.timer, next.at);
    }
    this.now = until;
  }

  nextTimer(): { readonly timer: IkeTimer; readonly at: number } | undefined {
    const [first] = [...this.timers].sort((a, b) => a[1] - b[1]);
    return first && { timer: first[0], at: first[1] };
  }

  fire(timer: IkeTimer, at: number): void {
    this.now = Math.max(this.now, at);
    this.timers.delete(timer);
    this.step({ kind: 'timer', timer });
  }

  #perform(actions: readonly IkeAction[]): void {
    if (this.end && actions.length > 0) throw new Error(`actions after the end: ${actions.map(({ kind }) => kind).join()}`);
    const answers: IkeEvent[] = [];
    for (const action of actions) {
      this.actions.push(action);
      if (action.kind === 'ended') this.end = action.end;
      const answer = this.#act(action);
      if (answer) answers.push(answer);
    }
    for (const answer of answers) if (!this.end) this.step(answer);
  }

  /** Does now what the host was told to leave. */
  answer(action: IkeAction): void {
    // It was done when it was asked for, and may have been taken away since.
    if (action.kind === 'install-child') return this.step({ kind: 'child-installed', spiIn: action.child.inbound.spi });
    const kept = { ...this.host };
    Object.assign(this.host, { install: true, sign: true, verify: true, secret: true, traffic: true, work: true });
    const event = this.#act(action);
    Object.assign(this.host, kept);
    if (event) this.step(event);
  }

  #act(action: IkeAction): IkeEvent | undefined {
    const { host } = this;
    switch (action.kind) {
      case 'send':
        this.sent.push(action.datagram);
        return undefined;
      case 'arm':
        if (!Number.isFinite(action.at)) throw new Error(`timer ${action.timer} at ${action.at}`);
        this.timers.set(action.timer, action.at);
        return undefined;
      case 'disarm':
        this.timers.delete(action.timer);
        return undefined;
      case 'sign':
        return host.sign ? { kind: 'signed', request: action.request, signature: clientKey.sign(action.data) } : undefined;
      case 'solve-puzzle': {
        const solution = new PuzzleSearch(this.#crypto, action.puzzle, action.text).search(1_000_000);
        return host.work ? { kind: 'puzzle-solved', request: action.request, solution } : undefined;
      }
      case 'verify-gateway':
        return host.verify ? { kind: 'gateway-verdict', request: action.request, verdict: this.verdict } : undefined;
      case 'eap': {
        if (host.secret && action.action.kind === 'need-secret')
          return { kind: 'eap', event: { kind: 'secret', request: action.action.request, secret: encodeUtf8(this.password) } };
        const event = this.tls?.(action.action);
        return event && { kind: 'eap', event };
      }
      case 'install-child': {
        const { child } = action;
        if (child.sendNow) this.#silence();
        this.children.set(child.inbound.spi, { keys: child, sending: child.sendNow });
        return host.install ? { kind: 'child-installed', spiIn: child.inbound.spi } : undefined;
      }
      case 'use-child':
        this.#silence();
        this.children.get(action.spiIn)!.sending = true;
        return undefined;
      case 'remove-child':
        this.children.delete(action.spiIn);
        return undefined;
      case 'ask-traffic':
        return host.traffic ? this.traffic() : undefined;
      case 'answered':
      case 'eap-succeeded':
      case 'eap-waiting':
      case 'established':
      case 'rekeyed':
      case 'moved':
      case 'cannot-move':
      case 'unresponsive':
      case 'probe-gateway':
      case 'ticket':
      case 'replace':
      case 'trace':
      case 'message':
      case 'ended':
        return undefined;
    }
  }

  /** The data plane's answer to `ask-traffic`. */
  traffic(): IkeEvent {
    const children = [...this.volumes].map(([spiIn, bytes]) => ({ spiIn, bytesIn: 0, bytesOut: bytes }));
    return { kind: 'traffic', lastInboundAt: this.lastInboundAt, children };
  }

  #silence(): void {
    for (const child of this.children.values()) child.sending = false;
  }
}
