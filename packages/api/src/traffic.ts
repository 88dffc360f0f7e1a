import type { ExplanationStep } from './status.ts';

/** Filters and apps of all connections, as they are in force. */
export interface TrafficStatus {
  /** `off`: no profile in force needs any. `failed`: the last change could not be made; `problem` says what is in force instead. */
  readonly state: 'off' | 'in-force' | 'failed';
  readonly problem?: { readonly code: string; readonly message: string; readonly cure: string };
  /** Whether starts of apps are seen; when they are not, such processes are refused wherever filters name apps. */
  readonly execWatch: { readonly state: 'off' | 'watching' | 'stopped' | 'unavailable'; readonly why?: string };
  readonly apps: readonly AppStatus[];
  /** The last time when somebody else had changed something of it. */
  readonly lastRepair?: { readonly at: string; readonly what: readonly string[]; readonly failure?: string };
}

/** An app that a profile in force names. */
export interface AppStatus {
  /** Names its cgroup. */
  readonly key: string;
  readonly title: string;
  readonly executables: readonly string[];
  readonly units: readonly string[];
  readonly desktop: readonly string[];
  readonly flatpak: readonly string[];
  readonly snap: readonly string[];
  /** Devices whose filters let it in. */
  readonly tunnels: readonly string[];
  readonly routing: 'SplitTunnel' | 'ForceTunnel';
  /** Only with ForceTunnel; absent while that tunnel is down: then nothing leaves. */
  readonly device?: string;
  readonly perAppVpn: boolean;
  /** Profiles that name it in AppTrigger. */
  readonly triggers: readonly string[];
  /** Processes that are this app now. */
  readonly pids: readonly number[];
  /** Processes that ran before anybody looked: their older connections are refused; they should be started again. */
  readonly late: readonly number[];
  /** Programs that are there and watched. */
  readonly files: readonly string[];
  /** Paths that do not count, and why. */
  readonly refused: readonly { readonly path: string; readonly why: string }[];
  readonly because: string;
}

/** What one connection lets through. */
export interface FiltersStatus {
  /** In the order of the profile, the first ones; everything else is refused. */
  readonly rules: readonly { readonly text: string; readonly because: string }[];
  /** How many there are in all. */
  readonly count: number;
  /** Filters that can never fit. */
  readonly unusable: number;
}

/** `GET /v1/apps`. */
export interface AppsReport {
  readonly traffic: TrafficStatus;
  /** Everything that apps.d says, whether a profile names it or not. */
  readonly known: readonly KnownAppStatus[];
  /** Entries that do not count. */
  readonly faults: readonly { readonly source: string; readonly where: string; readonly what: string }[];
}

export interface KnownAppStatus {
  readonly key: string;
  readonly title: string;
  /** Windows paths and package family names. */
  readonly names: readonly string[];
  readonly executables: readonly string[];
  readonly source: string;
}

/** `GET /v1/apps/which`: which app a process is, and why. */
export interface AppWhich {
  readonly pid: number;
  readonly exe?: string;
  readonly cgroup?: string;
  /** The app it is; absent: none. */
  readonly app?: string;
  /** The app that its program would be if it were started now. */
  readonly wouldBe?: string;
  readonly steps: readonly ExplanationStep[];
}

/** `GET /v1/plan`, and what `aovpn plan --json` prints. */
export interface PlanText {
  readonly text: string;
  readonly items: readonly PlanItem[];
}

export interface PlanItem {
  /** `devices`, `routes`, `rules`, `names`, `filters`, `apps` or `problems`. */
  readonly section: string;
  readonly text: string;
  readonly profile?: string;
  readonly line?: number;
  readonly why?: string;
}

/** `POST /v1/diff`: what would change if that profile were in force. */
export interface PlanDiff {
  readonly name: string;
  readonly changes: readonly { readonly op: 'add' | 'replace' | 'remove'; readonly text: string }[];
  readonly text: string;
  /** What had to be assumed because the tunnel is not up. */
  readonly assumptions: readonly string[];
  readonly problems: readonly PlanItem[];
}

/** Body of `POST /v1/diff`: the ProfileXML as base64 of its bytes, and the name it would have. */
export interface DiffProfile {
  readonly name: string;
  readonly xmlBase64: string;
}
