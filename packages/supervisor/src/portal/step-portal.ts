import { isWebUrl, webUrl, type PortalVerdict } from '@aovpn/policy';

/** The captive portal of the network that the machine is in: whether there is one, and whether a person has opened the way to it. */
export interface PortalState {
  /** Some connection that holds traffic inside is wanted and not up, and there is a network. */
  readonly needed: boolean;
  /** Differs for every network. */
  readonly network: string;
  readonly verdict: PortalVerdict | undefined;
  /** Number of the look that is under way; 0: none. */
  readonly looking: number;
  readonly looks: number;
  readonly open: OpenPortal | undefined;
}

export interface OpenPortal {
  /** Who opened it, for people. */
  readonly by: string;
  /** Milliseconds of the monotonic clock. */
  readonly since: number;
  readonly until: number;
  readonly ports: readonly number[];
}

export type PortalEvent =
  | { readonly kind: 'network'; readonly needed: boolean; readonly network: string }
  | { readonly kind: 'found'; readonly look: number; readonly verdict: PortalVerdict }
  /** A person who may. */
  | { readonly kind: 'open'; readonly by: string; readonly milliseconds: number; readonly ports: readonly number[] }
  | { readonly kind: 'close'; readonly by: string }
  /** Somebody wants to know now. */
  | { readonly kind: 'look' }
  | { readonly kind: 'timer' };

export type PortalAction =
  | { readonly kind: 'look'; readonly look: number }
  | { readonly kind: 'let-out'; readonly open: OpenPortal }
  | { readonly kind: 'shut'; readonly why: string }
  | { readonly kind: 'arm'; readonly at: number }
  | { readonly kind: 'disarm' }
  /** What people see has changed. */
  | { readonly kind: 'changed' }
  | { readonly kind: 'log'; readonly level: 'warn' | 'info'; readonly text: string };

export const startPortal: PortalState = {
  needed: false,
  network: '',
  verdict: undefined,
  looking: 0,
  looks: 0,
  open: undefined,
};

/** Our choices, milliseconds. */
export const portalTimes = {
  /** Before the first look: most tunnels are up by then. */
  first: 2_000,
  /** While a person signs in. */
  open: 3_000,
  /** While a sign-in is wanted. */
  captive: 15_000,
  /** While nobody knows why the tunnel is not up. */
  unknown: 60_000,
} as const;

/**
 * One event in, the new state and what is to be done out. Nothing that a network says lets anything out: only `open` does, and whoever feeds
 * it has asked who the person is. Everything shuts: time, another network, a tunnel that is up, the word that the internet is there.
 */
export function stepPortal(
  state: PortalState,
  event: PortalEvent,
  now: number,
): { readonly state: PortalState; readonly actions: readonly PortalAction[] } {
  switch (event.kind) {
    case 'network':
      return heedNetwork(state, event, now);
    case 'look':
      return state.needed && state.looking === 0 ? look(state) : { state, actions: [] };
    case 'found':
      return event.look === state.looking ? heedVerdict(state, event.verdict, now) : { state, actions: [] };
    case 'open':
      return openFor(state, event, now);
    case 'close':
      return shut(state, `closed by ${event.by}`, now);
    case 'timer':
      if (state.open && now >= state.open.until) return shut(state, 'its time is over', now);
      return state.needed && state.looking === 0 ? look(state) : { state, actions: [] };
  }
}

type Step = ReturnType<typeof stepPortal>;

function heedNetwork(
  state: PortalState,
  { needed, network }: Extract<PortalEvent, { readonly kind: 'network' }>,
  now: number,
): Step {
  if (needed === state.needed && network === state.network) return { state, actions: [] };
  const moved = network !== state.network;
  const next: PortalState = { ...state, needed, network, ...((moved || !needed) && { verdict: undefined, looking: 0 }) };
  const actions: PortalAction[] = [];
  let open = state.open;
  if (open && (moved || !needed)) {
    actions.push(...shutting(needed ? 'this is another network' : 'the tunnel is up, or not wanted any more'));
    open = undefined;
  }
  if (state.verdict && !next.verdict) actions.push({ kind: 'changed' });
  actions.push(needed ? { kind: 'arm', at: now + portalTimes.first } : { kind: 'disarm' });
  return { state: { ...next, open }, actions };
}

function look(state: PortalState): Step {
  const number = state.looks + 1;
  return { state: { ...state, looking: number, looks: number }, actions: [{ kind: 'look', look: number }] };
}

function heedVerdict(state: PortalState, verdict: PortalVerdict, now: number): Step {
  const next = { ...state, verdict, looking: 0 };
  const actions: PortalAction[] = [];
  if (!sameVerdict(state.verdict, verdict)) {
    actions.push({ kind: 'changed' });
    if (verdict.kind === 'captive') {
      const where = verdict.portalUrl === undefined ? '' : ` (${verdict.portalUrl})`;
      actions.push({ kind: 'log', level: 'warn', text: `this network wants a sign-in${where}: aovpn portal open` });
    }
  }
  if (state.open && verdict.kind === 'open') {
    const { state: after, actions: closing } = shut(next, 'the internet is there', now);
    return { state: after, actions: [...actions, ...closing] };
  }
  return { state: next, actions: [...actions, { kind: 'arm', at: nextLook(next, now) }] };
}

function openFor(
  state: PortalState,
  { by, milliseconds, ports }: Extract<PortalEvent, { readonly kind: 'open' }>,
  now: number,
): Step {
  if (!state.needed) return { state, actions: [] };
  const url =
    state.verdict?.portalUrl !== undefined && isWebUrl(state.verdict.portalUrl) ? webUrl(state.verdict.portalUrl) : undefined;
  const open: OpenPortal = {
    by,
    since: now,
    until: now + milliseconds,
    // Many portals live on a port of their own.
    ports: [...new Set([...ports, ...(url ? [url.port] : [])])].sort((a, b) => a - b),
  };
  const seen = state.verdict?.kind === 'captive' ? (state.verdict.portalUrl ?? 'its address is not known') : 'none was seen';
  const next = { ...state, open };
  return {
    state: next,
    actions: [
      { kind: 'let-out', open },
      {
        kind: 'log',
        level: 'warn',
        text: `the captive portal is open for one program, by ${by}, for ${Math.round(milliseconds / 1000)} s; the portal: ${seen}`,
      },
      { kind: 'changed' },
      { kind: 'arm', at: nextLook(next, now) },
    ],
  };
}

function shut(state: PortalState, why: string, now: number): Step {
  if (!state.open) return { state, actions: [] };
  const next = { ...state, open: undefined };
  return {
    state: next,
    actions: [...shutting(why), ...(state.needed ? [{ kind: 'arm', at: nextLook(next, now) } as const] : [])],
  };
}

function shutting(why: string): PortalAction[] {
  return [
    { kind: 'shut', why },
    { kind: 'log', level: 'warn', text: `the captive portal is closed: ${why}` },
    { kind: 'changed' },
  ];
}

function nextLook({ verdict, open }: PortalState, now: number): number {
  if (open) return Math.min(open.until, now + portalTimes.open);
  return now + (verdict?.kind === 'captive' ? portalTimes.captive : portalTimes.unknown);
}

function sameVerdict(a: PortalVerdict | undefined, b: PortalVerdict): boolean {
  return a?.kind === b.kind && a.portalUrl === b.portalUrl;
}
