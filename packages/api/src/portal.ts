/** The captive portal of the network that the machine is in, as far as a connection that holds traffic inside needs to know of it. */
export interface PortalStatus {
  /**
   * `none`: nobody needs to know, since the tunnel is up or not wanted. `unknown`: nothing on this network says whether it wants a sign-in.
   * `captive`: it does. `internet`: it does not, or not any more.
   */
  readonly state: 'none' | 'unknown' | 'captive' | 'internet';
  /** Where a person signs in, http or https; whoever runs the network says so. */
  readonly url?: string;
  /** How that was found out, each fact a line. */
  readonly trace: readonly string[];
  /** Whom the daemon itself asks in the clear to find that out, by TCP and for their names; the last ones. No address: not known yet. */
  readonly asked: readonly { readonly host: string; readonly address: string; readonly port: number }[];
  /** Present while a person has opened the way to it. */
  readonly open?: {
    readonly by: string;
    readonly since: string;
    /** The kernel shuts it then, whether the daemon lives or not. */
    readonly until: string;
    /** TCP ports. */
    readonly ports: readonly number[];
  };
}

/** Body of `POST /v1/portal/open`. */
export interface OpenPortal {
  /** A child of who asks, of the same user, that waits and has made no socket yet: it becomes the program that is let out. */
  readonly pid: number;
  /** 1 to 60; the setting without it. */
  readonly minutes?: number;
}

export interface PortalOpened {
  readonly until: string;
  readonly url?: string;
  /** The program and its arguments that the settings name; `{url}` stands for the portal's address. */
  readonly browser?: readonly string[];
}
