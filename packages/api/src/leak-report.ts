/** What `aovpn leaktest --json` prints. All times are ISO 8601 in UTC. */
export interface LeakReport {
  /**
   * `passed`: nothing left that should not, and it would have been seen. `leaked`: something did. `blind`: the test could not see, or
   * there was nothing to see; `problems` say why.
   */
  readonly result: 'passed' | 'leaked' | 'blind';
  readonly problems: readonly string[];
  readonly profile: string;
  /** What the profile promises: `lockdown` always, `force` and `split` while the tunnel is up or recovering. */
  readonly promise: 'lockdown' | 'force' | 'split';
  readonly startedAt: string;
  readonly endedAt: string;
  /** Milliseconds during which the promise was in force. */
  readonly promisedMs: number;
  /** Devices that were watched. */
  readonly links: readonly string[];
  /** Packets that left by them. */
  readonly watched: number;
  /** The same by what they were: `esp`, `ike`, `dhcp`, …, `leak`. */
  readonly sorts: Readonly<Record<string, number>>;
  /** Packets that the kernel could not show. */
  readonly missed: number;
  readonly canaries: {
    /** What the test tried to send. */
    readonly tried: number;
    /** What the kernel took, whatever became of it. */
    readonly taken: number;
    /** Tried while the promise was in force. */
    readonly underPromise: number;
    /** The kernel's refusals, by errno. */
    readonly refused: Readonly<Record<string, number>>;
  };
  /** Packets that the test let out on purpose below every filter: each must be seen, and judged to be a leak. */
  readonly controls: { readonly sent: number; readonly seen: number };
  readonly steps: readonly LeakStepReport[];
  /** Flows that leaked, the first 200; `leaked` counts packets. */
  readonly leaks: readonly LeakedFlow[];
  readonly leaked: number;
}

export interface LeakStepReport {
  readonly name: string;
  readonly at: string;
  readonly watched: number;
  readonly leaks: number;
  /** What became of it where there is something to say, such as why it was left out. */
  readonly outcome?: string;
}

export interface LeakedFlow {
  readonly at: string;
  /** During which step. */
  readonly step: string;
  readonly device: string;
  /** IP protocol number; −1 for a packet that could not be read. */
  readonly protocol: number;
  readonly source: string;
  readonly sourcePort?: number;
  readonly destination: string;
  readonly destinationPort?: number;
  /** Which part of the promise it broke. */
  readonly why: string;
  /** Whether the test itself sent it. */
  readonly canary: boolean;
  readonly count: number;
}
