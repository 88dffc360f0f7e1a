import type { Requests } from './request.ts';

/** Who somebody is to the daemon, by the word of the kernel (SO_PEERCRED, SO_PEERGROUPS) and the settings. One person can be several. */
export const accessRoles = [
  /** User 0. */
  'root',
  /** Members of `admin-group` of the settings. */
  'admin',
  /** Members of `group` of the settings. */
  'group',
  /** Whom the settings name for just this: `prompt-users` for questions, `users` of `[portal]` for the portal. */
  'named',
  /** The user to whom the connection in question belongs. */
  'owner',
  /** Everybody else on this machine. */
  'anybody',
] as const;
export type AccessRole = (typeof accessRoles)[number];

/**
 * `own`: about connections of one's own, and questions that one may answer; a list is cut down to them. `ask`: no, unless polkit is there and says yes. Polkit is asked about
 * nothing else, so it can neither take away nor give what the table does not leave to it.
 */
export type Access = 'yes' | 'own' | 'ask' | 'no';

/** What one may be allowed to do. */
export type Permission =
  /** The state of connections and what was said about them. */
  | 'look'
  /** The same as it changes, and questions to people with it. */
  | 'watch'
  /** What is in force on the whole machine: plan, routes of a name, apps. */
  | 'look-deep'
  /** Questions to people. */
  | 'look-prompts'
  | 'look-portal'
  /** Up, down, new keys. */
  | 'control'
  /** Profiles, with all that they may do to routes and names of this machine; certificates. */
  | 'configure'
  /** Out of LockDown, and back. */
  | 'lockdown'
  | 'answer'
  | 'portal'
  /** That one has signed in or out, where nothing else tells. */
  | 'session'
  /** Session keys. */
  | 'keys';

/** The table of docs/control-socket.md, which a test compares with this one, and with a daemon. */
export const accessTable: { readonly [P in Permission]: { readonly [R in AccessRole]: Access } } = {
  look: { root: 'yes', admin: 'yes', group: 'yes', named: 'no', owner: 'own', anybody: 'no' },
  watch: { root: 'yes', admin: 'yes', group: 'yes', named: 'own', owner: 'own', anybody: 'no' },
  'look-deep': { root: 'yes', admin: 'yes', group: 'yes', named: 'no', owner: 'no', anybody: 'no' },
  'look-prompts': { root: 'yes', admin: 'yes', group: 'yes', named: 'yes', owner: 'own', anybody: 'no' },
  'look-portal': { root: 'yes', admin: 'yes', group: 'yes', named: 'yes', owner: 'yes', anybody: 'no' },
  control: { root: 'yes', admin: 'yes', group: 'ask', named: 'ask', owner: 'own', anybody: 'ask' },
  configure: { root: 'yes', admin: 'ask', group: 'ask', named: 'ask', owner: 'ask', anybody: 'ask' },
  lockdown: { root: 'yes', admin: 'ask', group: 'ask', named: 'ask', owner: 'ask', anybody: 'ask' },
  // What a person types is that person's own: no administrator and no rule of polkit answers instead.
  answer: { root: 'yes', admin: 'no', group: 'no', named: 'yes', owner: 'own', anybody: 'no' },
  portal: { root: 'yes', admin: 'ask', group: 'ask', named: 'yes', owner: 'ask', anybody: 'ask' },
  // Whose it is, is looked at besides.
  session: { root: 'yes', admin: 'yes', group: 'yes', named: 'no', owner: 'yes', anybody: 'no' },
  keys: { root: 'yes', admin: 'no', group: 'no', named: 'no', owner: 'no', anybody: 'no' },
};

/** What polkit knows the permissions as that are left to it; described in `org.aovpn.policy`. */
export const polkitActions = {
  control: 'org.aovpn.control',
  configure: 'org.aovpn.configure',
  lockdown: 'org.aovpn.lockdown',
  portal: 'org.aovpn.portal',
} as const satisfies { readonly [P in Permission]?: string };

/** Answered with lines as long as somebody reads; not in the list of {@link Requests}. */
export type StreamRequest = 'GET /v1/events' | 'GET /v1/logs' | 'GET /v1/trace' | 'GET /v1/secrets';

/** The permission that each request needs. */
export const requestPermissions: { readonly [R in keyof Requests | StreamRequest]: Permission } = {
  'GET /v1/status': 'look',
  'GET /v1/profiles': 'look',
  'GET /v1/profiles/:name': 'look',
  'GET /v1/doctor': 'look',
  'GET /v1/certificates': 'look',
  'GET /v1/events': 'watch',
  'GET /v1/logs': 'look',
  'GET /v1/trace': 'look',
  'GET /v1/explain': 'look-deep',
  'GET /v1/plan': 'look-deep',
  'GET /v1/apps': 'look-deep',
  'GET /v1/apps/which': 'look-deep',
  'GET /v1/enrolments': 'look-deep',
  'GET /v1/prompts': 'look-prompts',
  'GET /v1/portal': 'look-portal',
  'POST /v1/connections/:name/up': 'control',
  'POST /v1/connections/:name/down': 'control',
  'POST /v1/connections/:name/rekey': 'control',
  'PUT /v1/profiles/:name': 'configure',
  'DELETE /v1/profiles/:name': 'configure',
  'POST /v1/enrolments/:name/enrol': 'configure',
  'POST /v1/enrolments/:name/renew': 'configure',
  // It has a profile parsed: what may be put into force may be tried.
  'POST /v1/diff': 'configure',
  'POST /v1/lockdown/:name/release': 'lockdown',
  'POST /v1/lockdown/:name/engage': 'lockdown',
  'POST /v1/prompts/:id': 'answer',
  'POST /v1/portal/open': 'portal',
  'POST /v1/portal/close': 'portal',
  'POST /v1/session/open': 'session',
  'POST /v1/session/close': 'session',
  'GET /v1/secrets': 'keys',
};

/** What the table says to somebody who is all of `roles`; `own`: whether the request is about a connection of theirs. */
export function accessOf(permission: Permission, roles: ReadonlySet<AccessRole>): Access {
  const cells = accessRoles.filter((role) => role === 'anybody' || roles.has(role)).map((role) => accessTable[permission][role]);
  return accessOrder.find((access) => cells.includes(access)) ?? 'no';
}

const accessOrder: readonly Access[] = ['yes', 'own', 'ask', 'no'];

/** A client sets it when a person sits in front of it who can answer polkit's questions. */
export const interactiveHeader = 'aovpn-interactive';
