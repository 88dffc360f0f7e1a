/** LockDown of this machine: nothing leaves but through the tunnel. */
export interface LockdownStatus {
  /** `failed`: it should be in force, and is not as it should be; `problem` says why. `released`: root has opened it. */
  readonly state: 'engaged' | 'released' | 'failed';
  /** Where traffic goes now. */
  readonly traffic: 'through-tunnel' | 'blocked' | 'open';
  /** Every profile that has LockDown. */
  readonly profiles: readonly {
    readonly name: string;
    /** Profile and line. */
    readonly because: string;
    /** Root has released this one. */
    readonly released?: { readonly at: string; readonly by: string };
  }[];
  /** Only while traffic is blocked: that it is, and by what, in one sentence. */
  readonly text?: string;
  readonly problem?: { readonly code: string; readonly message: string; readonly cure: string };
  /** Somebody else changed it. */
  readonly lastRepair?: { readonly at: string; readonly what: string; readonly failure?: string };
}

/** Beside the control socket while LockDown is in force, readable by everybody: says so when no daemon answers. */
export const lockdownMarkerName = 'lockdown.json';

export interface LockdownMarker {
  readonly since: string;
  /** Profiles and lines. */
  readonly because: readonly string[];
}
