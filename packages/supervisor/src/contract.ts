import type { IpAddress } from '@aovpn/bytes';
import type { GatewayPlace } from '@aovpn/ike';
import type { TrustVerdict } from '@aovpn/policy';
import type { Candidate, TcpUse } from './candidate.ts';
import type { Places } from './memory.ts';
import type { Problem } from './problem.ts';

/** A person's `down`: it holds a connection down until `up`, or until it ends by itself. */
export interface Hold {
  /** Who said so, for people: `root`, `user 1000 (alice)`. */
  readonly by: string;
  /** ISO 8601. */
  readonly since: string;
  /** `up`: by nothing else; `sign-in`: at the next sign-in of anybody; otherwise at this time (ISO 8601). */
  readonly ends: string;
}

/** What one connection is doing, in the words of the status that people see. */
export type ConnectionState =
  | 'down'
  | 'held'
  | 'trusted'
  | 'connecting'
  | 'up'
  | 'recovering'
  | 'waiting'
  | 'blocked'
  | 'disconnecting';

/** What the supervisor must know about a profile to keep its connection. Times are milliseconds. */
export interface ConnectionSpec {
  readonly name: string;
  readonly tunnel: 'device' | 'user';
  /** AlwaysOn or DeviceTunnel: wanted without anybody asking. */
  readonly automatic: boolean;
  /** What else wants it, for people: applications of AppTrigger. */
  readonly triggers: readonly string[];
  /** The same for names: rules with AutoTrigger. */
  readonly nameTriggers: readonly string[];
  /** Host names or addresses in the order of preference. */
  readonly servers: readonly string[];
  /** TCP where UDP is blocked (RFC 9329). */
  readonly tcp?: TcpUse;
  /** Differs when a running tunnel no longer is what the profile and its settings ask for. */
  readonly tunnelKey: string;
  /** Differs when a failed try deserves another one now: profile, settings or credentials changed. */
  readonly retryKey: string;
  /** Why no try can succeed as things stand. */
  readonly problem?: Problem;
  /** LockDown, and root has not released it: it cannot be put down, and no profile without it may connect. */
  readonly lockdown?: true;
  /** NetworkOutageTime: how long a tunnel is kept without any network; 0: for ever. */
  readonly outageMs: number;
}

/** The network as far as reaching a gateway goes; our own devices are not part of it. */
export interface NetworkState {
  readonly v4: boolean;
  readonly v6: boolean;
  /** Differs when an address or a default route differs. */
  readonly fingerprint: string;
}

/** Every event brings a fresh random number, 0 ≤ random < 1: the room itself has none. */
export type SupervisorEvent = SupervisorOccurrence & { readonly random: number };

export type SupervisorOccurrence =
  /** New, or a new version of one that is there. */
  | { readonly kind: 'profile'; readonly spec: ConnectionSpec }
  | { readonly kind: 'profile-removed'; readonly name: string }
  /** A person said so. */
  | { readonly kind: 'up'; readonly name: string }
  | { readonly kind: 'down'; readonly name: string; readonly hold: Hold }
  /** A hold ends by itself, and why. */
  | { readonly kind: 'hold-over'; readonly name: string; readonly why: string }
  /** Something that the profile names wants the tunnel, and why; without `why`: nothing does any more. */
  | { readonly kind: 'trigger'; readonly name: string; readonly why?: string }
  | { readonly kind: 'network'; readonly network: NetworkState }
  /** Whether the network is trusted, by name of the profile; profiles that are not named do not ask. */
  | { readonly kind: 'trust'; readonly verdicts: ReadonlyMap<string, TrustVerdict> }
  /** The clock jumped: the machine slept, or somebody set it. */
  | { readonly kind: 'clock-jump' }
  | { readonly kind: 'timer'; readonly name: string }
  /** Answer to `resolve`: what was found, per server; an empty list is a name without address. */
  | {
      readonly kind: 'resolved';
      readonly name: string;
      readonly attempt: number;
      readonly answers: readonly { readonly server: string; readonly addresses: readonly IpAddress[]; readonly why?: string }[];
    }
  /** The gateway has answered IKE_SA_INIT: it is there. Nothing of that is proven. */
  | { readonly kind: 'answered'; readonly name: string; readonly attempt: number }
  /** Answer to `probe`, where there is one. Nothing of it is proven. */
  | { readonly kind: 'probed'; readonly name: string; readonly attempt: number; readonly candidate: Candidate }
  /** Traffic flows: keys, addresses, routes and names are all in place. */
  | { readonly kind: 'established'; readonly name: string; readonly attempt: number }
  /** The gateway does not answer a liveness check (true), or did after all (false). */
  | { readonly kind: 'unresponsive'; readonly name: string; readonly attempt: number; readonly silent: boolean }
  /** The tunnel lives on the new path. */
  | { readonly kind: 'moved'; readonly name: string; readonly attempt: number }
  | { readonly kind: 'cannot-move'; readonly name: string; readonly attempt: number }
  /** The tunnel is over by itself; `ended` follows when everything of it is removed. */
  | { readonly kind: 'ending'; readonly name: string; readonly attempt: number }
  /** The tunnel is gone and everything of it is removed; nothing follows for this attempt. No problem: we asked for it. */
  | {
      readonly kind: 'ended';
      readonly name: string;
      readonly attempt: number;
      readonly problem?: Problem;
      /** It ended because the gateway sends us elsewhere. */
      readonly redirect?: Redirect;
    }
  /** The daemon is asked to end. */
  | { readonly kind: 'stop' };

export type SupervisorAction =
  /** Answered by `resolved`. */
  | { readonly kind: 'resolve'; readonly name: string; readonly attempt: number; readonly servers: readonly string[] }
  /** Answered by `established` or `ended`, later always by `ended`. `more`: other places wait to be tried, so a silent one is given up early. */
  | {
      readonly kind: 'open';
      readonly name: string;
      readonly attempt: number;
      readonly candidate: Candidate;
      readonly more: boolean;
    }
  /** Ask whether anything answers an IKE_SA_INIT there, as a stranger and beside the tunnel that is being opened. Answered by `probed`, or never. */
  | { readonly kind: 'probe'; readonly name: string; readonly attempt: number; readonly candidate: Candidate }
  /** `orderly`: say goodbye to the gateway first. Otherwise drop it at once. Answered by `ended`. */
  | { readonly kind: 'close'; readonly name: string; readonly attempt: number; readonly orderly: boolean; readonly why: string }
  /** Bind the outer flow anew to whatever the network is now, in this transport. Answered by `moved`, `cannot-move` or `ended`. */
  | { readonly kind: 'move'; readonly name: string; readonly attempt: number; readonly transport: Candidate['transport'] }
  | { readonly kind: 'check-liveness'; readonly name: string; readonly attempt: number }
  /** One timer a connection; arming replaces it. */
  | { readonly kind: 'arm'; readonly name: string; readonly at: number }
  | { readonly kind: 'disarm'; readonly name: string }
  /** Where this connection has worked, to be kept across restarts. */
  | { readonly kind: 'keep-places'; readonly name: string; readonly places: Places }
  /** What people hold down, by name, to be kept across restarts. */
  | { readonly kind: 'keep-held'; readonly holds: ReadonlyMap<string, Hold> }
  /** The visible state of this connection may differ. */
  | { readonly kind: 'changed'; readonly name: string }
  | { readonly kind: 'forgotten'; readonly name: string }
  | { readonly kind: 'log'; readonly level: 'error' | 'warn' | 'info' | 'debug'; readonly name: string; readonly text: string }
  /** After `stop`: every tunnel is gone. */
  | { readonly kind: 'stopped' };

/** Where a gateway sends us (RFC 5685). */
export interface Redirect {
  readonly to: GatewayPlace;
  readonly proven: boolean;
}

/** What became of a connection after its tunnel has been closed. */
export type Afterwards =
  /** Do what is wanted: rest, or start anew at once. */
  | { readonly kind: 'settle' }
  | { readonly kind: 'fail'; readonly problem: Problem }
  /** Go on with these in the same round, if the network is still the same. */
  | {
      readonly kind: 'next';
      readonly candidates: readonly Candidate[];
      readonly fingerprint: string;
      readonly before?: Problem;
    };

/** The first candidate has not answered yet: others are asked meanwhile, one after the other (after RFC 8305 §5). */
export interface Race {
  /** How many of `rest` have been asked. */
  readonly asked: number;
  /** When the first was tried. */
  readonly since: number;
  /** When the attempt has taken too long altogether. */
  readonly deadline: number;
}

/** Where one connection stands. At most one tunnel exists per connection: only in `opening`, `up` and `closing`. */
export type Phase =
  | { readonly kind: 'idle' }
  /** Wanted, but there is no network to use. */
  | { readonly kind: 'offline' }
  /** `via`: of a name that a gateway has sent us to. */
  | { readonly kind: 'resolving'; readonly attempt: number; readonly via?: Candidate['via'] }
  /** `rest`: what is tried next in this round; `before`: the most telling problem of the round so far. */
  | {
      readonly kind: 'opening';
      readonly attempt: number;
      readonly candidate: Candidate;
      readonly rest: readonly Candidate[];
      readonly before?: Problem;
      readonly race?: Race;
      /** A race was won in this round: there is none any more. */
      readonly raced?: true;
    }
  | {
      readonly kind: 'up';
      readonly attempt: number;
      readonly candidate: Candidate;
      readonly trouble?: 'silent' | 'no-network' | 'moving' | 'ending';
    }
  | { readonly kind: 'closing'; readonly attempt: number; readonly why: string; readonly afterwards: Afterwards }
  | { readonly kind: 'waiting'; readonly until: number }
  /** Without `until`: nothing but a change helps. */
  | { readonly kind: 'blocked'; readonly until?: number };

export interface Connection {
  readonly spec: ConnectionSpec;
  readonly phase: Phase;
  /** When the visible state last changed. */
  readonly since: number;
  readonly connectedAt?: number;
  /** A person said `up` for a connection that nothing else wants now: it is not automatic, or the network is trusted. */
  readonly demanded: boolean;
  /** What the profile names as a trigger wants it, and what that was. */
  readonly triggered?: string;
  /** A person said `down`. */
  readonly held?: Hold;
  readonly removed: boolean;
  /** Of the network that the machine is in; absent: the profile does not ask. */
  readonly trust?: TrustVerdict;
  /** Counts attempts for pairing answers with questions; never goes back. */
  readonly attempt: number;
  /** Tries since the connection last worked, for people. */
  readonly tries: number;
  /** Failed rounds since the connection last worked well, for the back-off. */
  readonly failures: number;
  /** The last problem, until the connection works again. */
  readonly problem?: Problem;
  readonly places: Places;
  /** When gateways have sent us on, lately. */
  readonly redirects: readonly number[];
  /** `retryKey` that the current try began with. */
  readonly triedWith: string;
}

export interface SupervisorState {
  readonly connections: ReadonlyMap<string, Connection>;
  readonly network: NetworkState;
  /** Where connections have worked, by name, whether the profile is there or not. */
  readonly places: ReadonlyMap<string, Places>;
  readonly trust: ReadonlyMap<string, TrustVerdict>;
  /** Held by name, whether the profile is there or not. */
  readonly held: ReadonlyMap<string, Hold>;
  readonly stopping: boolean;
}
