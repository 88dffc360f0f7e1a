export interface PeerLimitOptions {
  readonly connectionsOfRoot: number;
  readonly connectionsOfUsers: number;
  readonly connectionsPerUser: number;
  /** Requests that one user may have under way; streams that have begun do not count. */
  readonly requestsUnderWay: number;
  readonly requestsPerSecond: number;
  /** So many at once after a rest. */
  readonly requestBurst: number;
}

interface User {
  connections: number;
  underWay: number;
  /** Requests that may come at once, at the time `at`. */
  tokens: number;
  at: number;
}

/** How much each user takes of the control socket: none can starve another one, and all together not root. */
export class PeerLimits {
  readonly #options: PeerLimitOptions;
  readonly #users = new Map<number, User>();
  #ofUsers = 0;

  constructor(options: PeerLimitOptions) {
    this.#options = options;
  }

  /** A connection of that user; what is returned ends it. Undefined: there are too many. */
  enter(uid: number): (() => void) | undefined {
    const { connectionsOfRoot, connectionsOfUsers, connectionsPerUser } = this.#options;
    const count = this.#users.get(uid)?.connections ?? 0;
    if (uid === 0 ? count >= connectionsOfRoot : count >= connectionsPerUser || this.#ofUsers >= connectionsOfUsers)
      return undefined;
    this.#user(uid).connections++;
    if (uid !== 0) this.#ofUsers++;
    return () => {
      this.#user(uid).connections--;
      if (uid !== 0) this.#ofUsers--;
    };
  }

  /** A request of that user, `now` in milliseconds; what is returned ends it. Undefined: there are too many. Root may always ask. */
  ask(uid: number, now: number): (() => void) | undefined {
    if (uid === 0) return () => {};
    const { requestsUnderWay, requestsPerSecond, requestBurst } = this.#options;
    const user = this.#user(uid);
    user.tokens = Math.min(requestBurst, user.tokens + ((now - user.at) * requestsPerSecond) / 1000);
    user.at = now;
    if (user.underWay >= requestsUnderWay || user.tokens < 1) return undefined;
    user.tokens--;
    user.underWay++;
    return () => void user.underWay--;
  }

  /** Those who have gone are remembered while it matters only: a new connection is no way to new tokens, and a machine has few users. */
  #user(uid: number): User {
    const known = this.#users.get(uid);
    if (known) return known;
    if (this.#users.size > mostRemembered)
      for (const [other, { connections }] of this.#users) if (connections === 0) this.#users.delete(other);
    const user = { connections: 0, underWay: 0, tokens: this.#options.requestBurst, at: performance.now() };
    this.#users.set(uid, user);
    return user;
  }
}

const mostRemembered = 256;
