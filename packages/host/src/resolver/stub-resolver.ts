import { formatAddress, sameAddress, type IpAddress } from '@aovpn/bytes';
import { compileNameMatcher, type DnsRule } from '@aovpn/policy';
import { HostError } from '../host-error.ts';
import { networkCure } from '../network/errors.ts';
import { faultOfAnswer } from './check-answer.ts';
import { openDatagramSocket, type DatagramSocket } from './datagram-socket.ts';
import {
  emptyAnswer,
  isTruncated,
  plainPayload,
  rcode,
  readPayloadLimit,
  readQuery,
  readRcode,
  truncatedAnswer,
  writeId,
  type Query,
} from './dns-message.ts';
import type { EncryptedResolverState } from './encrypted-upstream.ts';
import { ServerGroup, ServerGroups } from './server-group.ts';
import { maxQueryBytes, openStubTcp, type StubTcp } from './stub-tcp.ts';
import { Underway } from './underway.ts';
import { createUpstreamAsker, upstreamKey, upstreamsOf, type Upstream } from './upstream.ts';
import { WaitingQuestions } from './waiting-questions.ts';

export type StubRule = Pick<DnsRule, 'name' | 'servers' | 'encrypted' | 'clear' | 'otherwise'> &
  Partial<Pick<DnsRule, 'trigger' | 'profile'>> & {
    /** Of questions to `servers`; none unless given. */
    readonly mark?: number;
  };

/** A name was asked for that brings a tunnel up: the profile, and the name of its rule. Called for every such question. */
export type OnTrigger = (profile: string, rule: string) => void;

/** What the stub tells by itself. */
export interface StubEvents {
  readonly onTrigger?: OnTrigger;
  /** An encrypted resolver has proven itself, or fails. */
  readonly onEncrypted?: (state: EncryptedResolverState) => void;
}

/** Whom the stub asks for which name. */
export interface StubConfiguration {
  readonly rules: readonly StubRule[];
  /** Asked for exempted names and names without a rule. */
  readonly physical: readonly IpAddress[];
  /** Mark of questions to `physical`; 0 for none. */
  readonly mark: number;
}

export interface StubResolver {
  readonly address: IpAddress;
  /** In force from the next question on; free of system calls. */
  configure(configuration: StubConfiguration): void;
  /** Resolves when the questions that had waited for a tunnel, and need not any more, are answered; within a second in any case. */
  settled(): Promise<void>;
  readonly counts: () => StubCounts;
  /** Those that rules in force name, each once. */
  readonly encrypted: () => readonly EncryptedResolverState[];
  close(): Promise<void>;
}

/** Since the stub was opened. */
export interface StubCounts {
  readonly queries: number;
  /** Answered with an error, because no server gave a usable answer in time or there were too many questions. */
  readonly failed: number;
  /** No questions that anybody could answer. */
  readonly refused: number;
  /** Datagrams that did not answer their question: forged, or much too late. */
  readonly mismatched: number;
  /** Answers that do not hold together. */
  readonly malformed: number;
}

/** One question of a client, from the first server to the last. */
interface Question {
  readonly client: number;
  readonly name: string;
  giveUp(): void;
  cancel: () => void;
}

type Reply = (answer: Uint8Array) => void;

/** Questions under way at once. */
const maxUnderway = 1000;
/** Of one and the same name. */
const maxUnderwayOfName = 100;
/**
 * Questions that wait for a tunnel. The C library asks twice, five seconds each (resolv.conf(5)): the answer comes while somebody listens, and
 * so does the news that there is none.
 */
const waitingLimits = { most: 2000, longestMs: 8000, goingOn: 50 } as const;
/** How long whoever changes the rules waits for those, milliseconds. */
const settlePatience = 1000;
/** A name rule must never fall back to other servers: when its servers are silent, the answer is SERVFAIL. */
const attemptMs = [800, 1200, 1500, 1500] as const;
/** By TLS nothing is lost, and a connection may have to be made first: a single server is asked once, several one after the other. */
const tlsAttemptMs = { only: 4500, several: 2000 } as const;

/**
 * Our own stub resolver: reads the question, picks the servers by rule, hands the octets on as they are. It remembers no answers, good or
 * bad: programs hear what the servers say now.
 * @param address a loopback address
 * @throws {HostError} AOV-HOST-310
 */
export async function openStubResolver(address: IpAddress, port = 53, events: StubEvents = {}): Promise<StubResolver> {
  const { onTrigger = () => {}, onEncrypted } = events;
  const asker = createUpstreamAsker(onEncrypted);
  const groups = new ServerGroups();
  let match = compileNameMatcher<StubRule & { readonly group: ServerGroup }>([]);
  let physical = new ServerGroup([], []);
  let encrypted: readonly Upstream[] = [];
  const underway = new Underway<Question>(maxUnderway, maxUnderwayOfName);
  const waiting = new WaitingQuestions(waitingLimits);
  /** Profiles whose tunnel was waited for in vain since the rules were last told: the next questions do not. */
  const inVain = new Set<string>();
  let queries = 0;
  let failed = 0;
  let refused = 0;
  let malformed = 0;

  // A server that is ourselves would ask itself for ever.
  const notOurselves = (server: IpAddress): boolean => !sameAddress(server, address);

  const answer = (message: Uint8Array, client: number, overTcp: boolean, reply: (answer: Uint8Array) => void): void => {
    queries++;
    const reading = readQuery(message);
    if (reading.kind === 'ignore') return;
    if (reading.kind === 'refuse') {
      refused++;
      reply(emptyAnswer(message, reading.rcode));
      return;
    }
    decide(message, reading.query, client, overTcp, reply);
  };

  /** By the rules of now: asks somebody, waits for a tunnel, or says no. */
  const decide = (message: Uint8Array, query: Query, client: number, overTcp: boolean, reply: Reply): void => {
    const rule = match(query.name);
    if (rule?.trigger === undefined || rule.trigger.kind === 'up') {
      ask(message, query, client, overTcp, reply, rule?.group ?? physical);
      return;
    }
    const giveUp = (): void => {
      failed++;
      reply(emptyAnswer(message, rcode.serverFailure, query.questionEnd));
    };
    const profile = rule.profile ?? '';
    if (rule.trigger.kind === 'wait' && !inVain.has(profile)) {
      const goOn = (done: () => void): void =>
        decide(message, query, client, overTcp, (octets) => {
          reply(octets);
          done();
        });
      waiting.add({ client, name: query.name, giveUp, goOn, late: () => inVain.add(profile) });
    } else giveUp();
    onTrigger(profile, rule.name);
  };

  const ask = (message: Uint8Array, query: Query, client: number, overTcp: boolean, reply: Reply, group: ServerGroup): void => {
    /** A refusal or failure that a server told: better than one of ours when nobody says more. */
    let last: Uint8Array | undefined;
    const question: Question = {
      client,
      name: query.name,
      cancel: () => undefined,
      giveUp: () => {
        question.cancel();
        failed++;
        reply(last ?? emptyAnswer(message, rcode.serverFailure, query.questionEnd));
      },
    };
    const servers = group.order(performance.now());
    if (servers.length === 0 || !underway.add(question)) {
      question.giveUp();
      return;
    }
    /** @returns whether it was handed on */
    const handOn = (found: Uint8Array): boolean => {
      const fault = faultOfAnswer(found, query.questionEnd);
      const cutShort = isTruncated(found);
      // A server may cut within a record (RFC 2181 §9); the client asks again by TCP in any case.
      if (fault !== undefined && (!cutShort || overTcp)) {
        malformed++;
        return false;
      }
      if (!overTcp && (found.length > plainPayload || fault !== undefined)) {
        const { octets, edns } = readPayloadLimit(message, query.questionEnd);
        if (found.length > octets || fault !== undefined) {
          reply(truncatedAnswer(found, query.questionEnd, edns));
          return true;
        }
      }
      reply(found);
      return true;
    };
    // Every server once; a single one is asked again, since the question or its answer may be lost.
    const attempts = Math.max(servers.length, overTcp || servers.some(({ upstream }) => upstream.tls) ? 1 : 3);
    const attempt = (number: number): void => {
      if (number >= attempts) {
        if (underway.remove(question)) question.giveUp();
        return;
      }
      const server = servers[number % servers.length]!;
      const timeout = server.upstream.tls
        ? tlsAttemptMs[servers.length === 1 ? 'only' : 'several']
        : attemptMs[Math.min(number, attemptMs.length - 1)]!;
      question.cancel = asker.ask(server.upstream, message, query.questionEnd, overTcp, timeout, (result) => {
        if (result.ok) {
          writeId(result.answer, query.id);
          const code = readRcode(result.answer);
          if ((code !== rcode.serverFailure && code !== rcode.refused) || servers.length === 1) {
            if (handOn(result.answer)) {
              group.answered(server);
              underway.remove(question);
              return;
            }
          } else if (faultOfAnswer(result.answer, query.questionEnd) === undefined) last = result.answer;
        } else group.silent(server, performance.now());
        attempt(number + 1);
      });
    };
    attempt(0);
  };

  let udp: DatagramSocket;
  let tcp: StubTcp;
  try {
    udp = openDatagramSocket({
      family: address.family,
      bind: { address, port },
      onMessage: (message, from) => {
        if (message.length > maxQueryBytes) return;
        // The question is asked again when a server is silent: it outlives the datagram.
        answer(message.slice(), from.port, false, (reply) => void udp.send(reply, from));
      },
    });
    try {
      tcp = await openStubTcp(address, port, (message, client, reply) => answer(message, -client, true, reply));
    } catch (error) {
      udp.close();
      throw error;
    }
  } catch (error) {
    asker.close();
    throw new HostError(
      'AOV-HOST-310',
      `${formatAddress(address)} port ${port}: ${(error as Error).message}`,
      networkCure('AOV-HOST-310'),
      error,
    );
  }

  return {
    address,
    configure: (configuration) => {
      const group = groups.begin();
      const others = (upstreams: readonly Upstream[]): Upstream[] => upstreams.filter((one) => notOurselves(one.address));
      const own = others(configuration.physical.map((server) => ({ address: server, mark: configuration.mark })));
      const named = new Map<string, Upstream>();
      const everythingElse = group(own);
      physical = everythingElse;
      match = compileNameMatcher(
        configuration.rules.map((rule) => {
          if (rule.servers.length === 0) return { ...rule, group: everythingElse };
          const { first, otherwise } = upstreamsOf(rule, rule.mark ?? 0);
          for (const one of first) if (one.tls) named.set(upstreamKey(one), one);
          const behind = [...others(otherwise), ...(rule.otherwise === 'physical' ? own : [])];
          return { ...rule, group: group(others(first), behind) };
        }),
      );
      encrypted = [...named.values()];
      asker.refresh(encrypted);
      inVain.clear();
      waiting.reconsider((name) => {
        const rule = match(name);
        if (rule?.trigger?.kind !== 'wait') return false;
        // Perhaps it is another profile's now.
        onTrigger(rule.profile ?? '', rule.name);
        return true;
      });
    },
    settled: async () => {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, settlePatience)));
      await Promise.race([waiting.settled(), late]);
      clearTimeout(timer);
    },
    encrypted: () =>
      encrypted.map((one) => asker.encrypted(one) ?? { server: one.tls!, state: 'unasked', answered: 0, connections: 0 }),
    counts: () => ({ queries, failed, refused, mismatched: asker.mismatched(), malformed }),
    close: async () => {
      waiting.close();
      for (const question of underway.all()) {
        underway.remove(question);
        question.cancel();
      }
      asker.close();
      udp.close();
      await tcp.close();
    },
  };
}
