import type { IpAddress } from '@aovpn/bytes';
import type { DataPlaneOptions, OpenDataPlane, OuterPath, Transport } from '@aovpn/esp';
import type {
  GatewayVerdict,
  IkeAction,
  IkeFacts,
  IkeSaConfig,
  MachineCrypto,
  MessageRecord,
  SessionTicket,
  SignatureScheme,
  TrafficSelector,
  TunnelConfiguration,
} from '@aovpn/ike';
import type { AuthenticationKind, Problem, Redirect, SentCertificates } from '@aovpn/supervisor';
import type { DataPlaneChoice } from './choose-data-plane.ts';
import type { KeyExport } from './key-export.ts';
import type { EapPorts } from './tunnel-eap.ts';

export interface TunnelOptions {
  readonly name: string;
  readonly config: IkeSaConfig;
  readonly authentication: AuthenticationKind;
  readonly gateway: IpAddress;
  readonly ports: { readonly udp: number; readonly tcp: number };
  readonly transport: Transport;
  readonly plane: DataPlaneOptions;
}

/** What the tunnel has others do; every promise may reject with a host error. */
export interface TunnelPorts extends EapPorts {
  readonly crypto: MachineCrypto;
  /** Decides which data plane moves the packets; before {@link openDataPlane}, which opens that one. */
  choosePlane(): Promise<void>;
  /** Which one it is, and why; undefined until it is chosen. */
  chosenPlane(): DataPlaneChoice | undefined;
  readonly openDataPlane: OpenDataPlane;
  /** Why the data plane cannot go on where the machine is now; undefined: it can. */
  mustChangePlane(): string | undefined;
  /** Another IKE SA begins in the place of the one in use: profile and credentials as they are now; undefined: those from before stay. */
  renew(): IkeSaConfig | undefined;
  /** Gets what only a person can give (a password, a PIN) before anything is sent: gateways do not wait for people. */
  prepare(): Promise<Problem | undefined>;
  /** What the IKE SA that was begun last shows of us. */
  sentCertificates(): SentCertificates;
  sign(scheme: SignatureScheme, data: Uint8Array): Promise<Uint8Array>;
  /** A ticket that may resume the last session (RFC 5723), and where the next one is kept; undefined: the old one is good for nothing. */
  findTicket(): SessionTicket | undefined;
  keepTicket(ticket: SessionTicket | undefined, lifetimeMs: number): void;
  verifyGateway(question: Extract<IkeAction, { readonly kind: 'verify-gateway' }>): Promise<GatewayVerdict>;
  /** Whether anything on the gateway's port answers an IKE_SA_INIT of a stranger; resolves within some seconds. */
  probeGateway(address: IpAddress, port: number, transport: Transport): Promise<boolean>;
  /** Puts routes and names of this tunnel into force. */
  applyPlan(facts: TunnelNetwork): Promise<void>;
  /** An IKE message was sent or came in, for the trace. */
  trace(record: MessageRecord, path: OuterPath | undefined): void;
  /** Who may read everything, when somebody asks; see {@link KeyExport}. */
  readonly keyExport: KeyExport;
  removePlan(): Promise<void>;
}

/** What the policy room needs to know of a tunnel that is up. */
export interface TunnelNetwork {
  readonly device: string;
  readonly mtu: number;
  readonly gateway: IpAddress;
  /** The kernel sends its ESP. */
  readonly kernelEsp: boolean;
  readonly configuration: TunnelConfiguration;
  /** Narrowed TSr of the CHILD_SA. */
  readonly selectors: readonly TrafficSelector[];
  readonly facts: IkeFacts;
}

/** What the supervisor hears of it. `ended` is the last word and comes exactly once, after everything is cleared away. */
export type TunnelReport =
  | { readonly kind: 'answered' }
  | { readonly kind: 'established' }
  | { readonly kind: 'unresponsive'; readonly silent: boolean }
  | { readonly kind: 'moved' }
  | { readonly kind: 'cannot-move' }
  /** It is over; its routes and names go now, and `ended` follows. */
  | { readonly kind: 'ending' }
  /** Something that the status shows differs (algorithms after a rekey, the outer path). */
  | { readonly kind: 'facts' }
  | { readonly kind: 'ended'; readonly problem?: Problem; readonly redirect?: Redirect };
