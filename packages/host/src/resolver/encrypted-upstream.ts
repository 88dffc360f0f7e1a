import { formatAddress } from '@aovpn/bytes';
import type { EncryptedServer } from '@aovpn/policy';
import type { ResolverFailure } from './judge-resolver.ts';
import { padQuery, unpadAnswer } from './query-padding.ts';
import { TlsLine, type LineQuestion } from './tls-line.ts';

/** What is known of an encrypted resolver. */
export interface EncryptedResolverState {
  readonly server: EncryptedServer;
  /** `unasked`: nobody has asked for anything; `proven`: it has proven itself when it was spoken to last; `failing`: it has not, or is not there. */
  readonly state: 'unasked' | 'connecting' | 'proven' | 'failing';
  readonly failure?: ResolverFailure;
  readonly answered: number;
  /** Connections that have proven themselves. */
  readonly connections: number;
}

export interface EncryptedUpstream {
  /** @param done comes once, never before this returns @returns gives it up; `done` then never comes */
  ask(
    query: Uint8Array,
    questionEnd: number,
    timeoutMs: number,
    done: (result: { readonly answer: Uint8Array } | { readonly why: string }) => void,
  ): () => void;
  readonly state: () => EncryptedResolverState;
  /** The next question opens a connection of its own: routes and source addresses may have changed. */
  renew(): void;
  close(): void;
}

export interface EncryptedUpstreamEvents {
  /** An answer to no question. */
  onMismatch(): void;
  /** It has proven itself after it had not, or fails, or fails in another way. */
  onState?(state: EncryptedResolverState): void;
}

/** After a failure nothing is tried for so long, milliseconds; doubled each time. */
const firstRest = 250;
const longestRest = 30_000;
/** Connections at once: those that are replaced, and the one in use. */
const mostLines = 8;

interface Asked {
  readonly query: Uint8Array;
  readonly questionEnd: number;
  readonly onAnswer: (answer: Uint8Array) => void;
  readonly fail: (why: string) => void;
  giveUp: () => void;
  /** It was on a connection that has ended. */
  again: boolean;
}

/**
 * One resolver by TLS: a connection while there are questions, another one when that ends. Questions that a proven connection leaves behind are asked once
 * more (RFC 7766 §6.2.4). One that fails is left alone for a while, longer each time, so that questions find out at once.
 */
export function openEncryptedUpstream(server: EncryptedServer, mark: number, events: EncryptedUpstreamEvents): EncryptedUpstream {
  let line: TlsLine | undefined;
  let state: EncryptedResolverState['state'] = 'unasked';
  let failure: ResolverFailure | undefined;
  let failures = 0;
  let restUntil = 0;
  let answered = 0;
  let connections = 0;
  let closed = false;
  const lines = new Set<TlsLine>();
  const asked = new Map<(answer: Uint8Array) => void, Asked>();

  /** What was told last. */
  let told = '';
  const now = (): EncryptedResolverState => ({ server, state, ...(failure && { failure }), answered, connections });
  const tell = (): void => {
    const text = state === 'failing' ? (failure?.code ?? '') : state;
    if ((state !== 'proven' && state !== 'failing') || text === told) return;
    told = text;
    events.onState?.(now());
  };

  const whyNot = (): string => (failure ? `${failure.what} [${failure.code}]` : 'no connection');

  const tooMany = (): string => `too many questions wait for ${formatAddress(server.address)}`;

  const openLine = (): TlsLine => {
    let proven = false;
    const made = new TlsLine(server, mark, {
      onProven: () => {
        proven = true;
        connections++;
        state = 'proven';
        failure = undefined;
        tell();
      },
      onMismatch: () => events.onMismatch(),
      onEnd: (why, left) => {
        lines.delete(made);
        if (line === made) line = undefined;
        if (closed) return;
        if (why) {
          failure = why;
          failures++;
          // The end of a good connection says nothing about the next one.
          if (!proven || failures > 1) restUntil = performance.now() + Math.min(longestRest, firstRest * 2 ** (failures - 1));
          state = 'failing';
          tell();
        } else if (!proven && state === 'connecting') state = 'unasked';
        takeUp(left, proven);
      },
    });
    lines.add(made);
    if (state !== 'failing') state = 'connecting';
    return made;
  };

  const takeUp = (left: readonly LineQuestion[], proven: boolean): void => {
    for (const { onAnswer } of left) {
      const one = asked.get(onAnswer);
      if (!one) continue;
      if (one.again || !proven) one.fail(whyNot());
      else {
        one.again = true;
        send(one);
      }
    }
  };

  const send = (one: Asked): void => {
    if (!line?.open) {
      line?.retire();
      if (lines.size >= mostLines) return one.fail(tooMany());
      if (performance.now() < restUntil) return one.fail(whyNot());
      try {
        line = openLine();
      } catch (error) {
        return one.fail(error instanceof Error ? error.message : String(error));
      }
    }
    const giveUp = line.ask(one.query, one.questionEnd, one.onAnswer);
    if (giveUp) one.giveUp = giveUp;
    else one.fail(tooMany());
  };

  return {
    ask: (query, questionEnd, timeoutMs, done) => {
      const { message, edns } = padQuery(query, questionEnd);
      let finished = false;
      const finish = (): boolean => {
        if (finished) return false;
        finished = true;
        clearTimeout(timer);
        asked.delete(onAnswer);
        return true;
      };
      const onAnswer = (answer: Uint8Array): void => {
        if (!finish()) return;
        answered++;
        failures = 0;
        failure = undefined;
        state = 'proven';
        tell();
        done({ answer: unpadAnswer(answer, questionEnd, edns) });
      };
      const one: Asked = {
        query: message,
        questionEnd,
        onAnswer,
        fail: (why) => {
          if (finish()) setImmediate(() => done({ why }));
        },
        giveUp: () => undefined,
        again: false,
      };
      const timer = setTimeout(() => {
        one.giveUp();
        one.fail(failure ? whyNot() : 'no answer');
      }, timeoutMs);
      asked.set(onAnswer, one);
      send(one);
      return () => {
        one.giveUp();
        finish();
      };
    },
    state: now,
    renew: () => {
      restUntil = 0;
      line?.retire();
      line = undefined;
    },
    close: () => {
      closed = true;
      for (const one of lines) one.close();
    },
  };
}
