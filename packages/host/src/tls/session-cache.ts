import { createHash } from 'node:crypto';

/** What a session was made with; it is offered again only where all of this is the same. */
export interface SessionScope {
  readonly [fact: string]: unknown;
}

/** A session that ended well, and the chain that its server had shown (DER, leaf first). */
export interface RememberedSession {
  /** The last one is offered next. With TLS 1.3 each is good for one time (RFC 8446 §C.4), and a server may give several. */
  readonly sessions: readonly Buffer[];
  readonly certificates: readonly Uint8Array[];
}

interface Entry extends RememberedSession {
  /** Milliseconds since 1970. */
  readonly until: number;
}

/** How long a session may be resumed, milliseconds: ten hours, as Windows' TLS clients do; RFC 8446 §4.6.1 allows seven days. */
const lifetime = 10 * 3_600_000;
/** Tickets of one connection that are kept, the newest. */
export const ticketLimit = 4;
/** Scopes that are remembered at once. */
const scopeLimit = 8;

/** TLS sessions of one connection's EAP servers. Its owner keeps it between attempts and clears it when the profile changes. */
export interface TlsSessionCache {
  /** Forgets and overwrites all of them. */
  clear(): void;
}

export function createTlsSessionCache(): TlsSessionCache {
  return new SessionCache();
}

export class SessionCache implements TlsSessionCache {
  readonly #entries = new Map<string, Entry>();

  /** Takes it out: what did not end well is not tried again. */
  take(scope: SessionScope, now: Date): RememberedSession | undefined {
    const key = keyOf(scope);
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    if (now.getTime() <= entry.until) return entry;
    overwrite(entry);
    return undefined;
  }

  put(scope: SessionScope, remembered: RememberedSession, now: Date): void {
    const key = keyOf(scope);
    this.#forget(key);
    const oldest = this.#entries.keys().next();
    if (this.#entries.size >= scopeLimit && oldest.done !== true) this.#forget(oldest.value);
    const sessions = remembered.sessions.slice(-ticketLimit);
    this.#entries.set(key, { ...remembered, sessions, until: now.getTime() + lifetime });
  }

  clear(): void {
    for (const key of this.#entries.keys()) this.#forget(key);
  }

  #forget(key: string): void {
    const entry = this.#entries.get(key);
    if (entry) overwrite(entry);
    this.#entries.delete(key);
  }
}

export function overwrite({ sessions }: RememberedSession): void {
  for (const session of sessions) session.fill(0);
}

function keyOf(scope: SessionScope): string {
  const facts = Object.entries(scope).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex');
}
