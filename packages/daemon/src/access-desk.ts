import { accessOf, polkitActions, type Access, type AccessRole, type Permission } from '@aovpn/api';
import type { Peer, Polkit } from '@aovpn/host';
import type { Log } from './log.ts';

export interface AccessFacts {
  /** Numbers of the groups that the settings name; undefined: there is none of that name. */
  group(): number | undefined;
  adminGroup(): number | undefined;
  mayAnswer(uid: number): boolean;
  mayOpenPortal(uid: number): boolean;
  /** The user to whom a connection belongs. */
  ownerOf(connection: string): number | undefined;
  ownsAny(uid: number): boolean;
}

export interface AccessQuestion {
  readonly permission: Permission;
  readonly peer: Peer;
  /** Which connection it is about; undefined: a list, or the machine. */
  readonly connection: string | undefined;
  readonly interactive: boolean;
  readonly gone: AbortSignal;
}

/** What became of it. `own`: only about connections of one's own. */
export type AccessVerdict =
  | { readonly kind: 'yes' | 'own' }
  /** `couldAsk`: polkit would ask for a password, if it could. */
  | { readonly kind: 'no'; readonly couldAsk: boolean };

/** Who may do what: the table of the contract, and polkit where the table leaves something to it. */
export class AccessDesk {
  readonly #facts: AccessFacts;
  readonly #polkit: Polkit;
  readonly #log: Log;

  constructor(facts: AccessFacts, polkit: Polkit, log: Log) {
    this.#facts = facts;
    this.#polkit = polkit;
    this.#log = log;
  }

  /** Whether the table has anything but "no" for somebody: nobody else gets as far as a request. */
  admits(peer: Peer): boolean {
    const facts = this.#facts;
    return (
      this.#groupRoles(peer).size > 0 ||
      facts.ownsAny(peer.uid) ||
      facts.mayAnswer(peer.uid) ||
      facts.mayOpenPortal(peer.uid) ||
      (peer.process !== undefined && this.#polkit.isThere())
    );
  }

  /** What the table says, before polkit. */
  access({ permission, peer, connection }: Pick<AccessQuestion, 'permission' | 'peer' | 'connection'>): Access {
    const facts = this.#facts;
    const roles = this.#groupRoles(peer);
    const isNamed =
      permission === 'answer' || permission === 'look-prompts' || permission === 'watch'
        ? facts.mayAnswer(peer.uid)
        : (permission === 'portal' || permission === 'look-portal') && facts.mayOpenPortal(peer.uid);
    if (isNamed) roles.add('named');
    if (connection === undefined ? facts.ownsAny(peer.uid) : facts.ownerOf(connection) === peer.uid) roles.add('owner');
    return accessOf(permission, roles);
  }

  async decide(question: AccessQuestion): Promise<AccessVerdict> {
    const access = this.access(question);
    if (access === 'yes' || access === 'own') return { kind: access };
    if (access === 'no') return { kind: 'no', couldAsk: false };
    return await this.#askPolkit(question);
  }

  async #askPolkit({ permission, peer, interactive, gone }: AccessQuestion): Promise<AccessVerdict> {
    const action = Object.hasOwn(polkitActions, permission) ? polkitActions[permission as keyof typeof polkitActions] : undefined;
    if (action === undefined || !this.#polkit.isThere()) return { kind: 'no', couldAsk: false };
    const verdict = await this.#polkit.ask({ action, peer, interactive, gone });
    if (verdict.kind === 'absent') this.#log.warn(`polkit could not be asked, so its answer is no: ${verdict.why}`);
    if (verdict.kind === 'yes') {
      this.#log.info(`polkit allows user ${peer.uid} (process ${peer.pid}) ${action}`);
      return { kind: 'yes' };
    }
    return { kind: 'no', couldAsk: verdict.kind === 'asks' };
  }

  #groupRoles({ uid, gid, groups }: Peer): Set<AccessRole> {
    const isIn = (group: number | undefined): boolean => group !== undefined && (gid === group || groups.includes(group));
    const roles = new Set<AccessRole>();
    if (uid === 0) roles.add('root');
    if (isIn(this.#facts.adminGroup())) roles.add('admin');
    if (isIn(this.#facts.group())) roles.add('group');
    return roles;
  }
}
