import { randomBytes } from 'node:crypto';
import {
  maxSecretBytes,
  secretPromptKinds,
  type DaemonEvent,
  type Prompt,
  type PromptAnswer,
  type PromptKind,
  type PromptOutcome,
} from '@aovpn/api';
import { DaemonError } from './daemon-error.ts';
import type { Log } from './log.ts';

/** What somebody wants to know of a person. */
export type PromptQuestion = Pick<Prompt, 'connection' | 'kind' | 'text' | 'userName' | 'message' | 'server' | 'choices'> & {
  readonly retry?: boolean;
};

/** The octets of a secret belong to whoever asked; it overwrites them after use. */
export type PromptReply =
  | { readonly kind: 'secret'; readonly secret: Uint8Array }
  | { readonly kind: 'accepted' }
  | { readonly kind: 'chosen'; readonly choice: string }
  | { readonly kind: 'none'; readonly why: NoAnswer };

/** `nobody`: there is no one who could answer, so nothing was asked. */
export type NoAnswer = 'refused' | 'expired' | 'withdrawn' | 'nobody' | 'too-many';

export interface PromptDeskOptions {
  readonly log: Log;
  /** Whether somebody could answer now, about this connection. */
  readonly attended: (connection: string) => boolean;
  readonly publish: (event: DaemonEvent) => void;
  /** How long a person may take, milliseconds. */
  readonly lifetimeMs: number;
}

/** Our choices: a gateway or server that asks again and again fills no memory and no screen. */
const limits = { pending: 32, perConnection: 4, message: 500 } as const;

interface Pending {
  readonly prompt: Prompt;
  readonly reply: (reply: PromptReply) => void;
  readonly timer: NodeJS.Timeout;
}

/** Questions that wait for people. Each gets exactly one reply: an answer, a refusal, or the end of its time. */
export class PromptDesk {
  readonly #options: PromptDeskOptions;
  readonly #pending = new Map<string, Pending>();

  constructor(options: PromptDeskOptions) {
    this.#options = options;
  }

  /** Never rejects. Without anybody who could answer, the reply comes at once. */
  async ask(question: PromptQuestion): Promise<PromptReply> {
    const { log, attended, lifetimeMs, publish } = this.#options;
    const { connection, kind, message, retry = false, ...rest } = question;
    if (!attended(connection)) {
      log.warn(`${question.text}: nobody is there to answer`, connection);
      return { kind: 'none', why: 'nobody' };
    }
    const same = [...this.#pending.values()].filter(({ prompt }) => prompt.connection === connection).length;
    if (this.#pending.size >= limits.pending || same >= limits.perConnection) {
      log.warn(`${question.text}: too many questions wait already`, connection);
      return { kind: 'none', why: 'too-many' };
    }
    const now = Date.now();
    const prompt: Prompt = {
      ...rest,
      id: randomBytes(12).toString('hex'),
      connection,
      kind,
      retry,
      ...(message !== undefined && message !== '' && { message: message.slice(0, limits.message) }),
      askedAt: new Date(now).toISOString(),
      expiresAt: new Date(now + lifetimeMs).toISOString(),
    };
    const { promise, resolve } = Promise.withResolvers<PromptReply>();
    const timer = setTimeout(() => this.#end(prompt.id, 'expired', { kind: 'none', why: 'expired' }), lifetimeMs);
    this.#pending.set(prompt.id, { prompt, reply: resolve, timer });
    log.info(`waiting for a person: ${question.text} (aovpn prompt)`, connection);
    publish({ kind: 'prompt', prompt });
    return await promise;
  }

  /** Oldest first. */
  list(): readonly Prompt[] {
    return [...this.#pending.values()].map(({ prompt }) => prompt);
  }

  /**
   * The first answer wins. Octets are a secret and are taken over; when they are not wanted they are overwritten here.
   * @throws {DaemonError} AOV-DAEMON-520 when nobody asks (any more), AOV-DAEMON-513 when the answer does not fit the question
   */
  answer(id: string, answer: PromptAnswer | Uint8Array, uid: number): void {
    try {
      const pending = this.#pending.get(id);
      if (!pending) throw new DaemonError('AOV-DAEMON-520');
      const reply = replyTo(pending.prompt, answer);
      const { connection, kind } = pending.prompt;
      this.#options.log.info(`user ${uid} ${reply.kind === 'none' ? 'refused' : 'answered'} the question (${kind})`, connection);
      this.#end(id, reply.kind === 'none' ? 'refused' : 'answered', reply);
    } catch (error) {
      if (answer instanceof Uint8Array) answer.fill(0);
      throw error;
    }
  }

  /** Nobody waits for the answers of this connection any more. */
  withdraw(connection: string, kinds?: readonly PromptKind[]): void {
    for (const { prompt } of this.#pending.values()) {
      if (prompt.connection === connection && (kinds === undefined || kinds.includes(prompt.kind)))
        this.#end(prompt.id, 'withdrawn', { kind: 'none', why: 'withdrawn' });
    }
  }

  close(): void {
    for (const id of this.#pending.keys()) this.#end(id, 'withdrawn', { kind: 'none', why: 'withdrawn' });
  }

  #end(id: string, outcome: PromptOutcome, reply: PromptReply): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    clearTimeout(pending.timer);
    const { connection, kind } = pending.prompt;
    if (outcome === 'expired') this.#options.log.warn(`nobody answered the question (${kind}) in time`, connection);
    this.#options.publish({ kind: 'prompt-over', id, connection, outcome });
    pending.reply(reply);
  }
}

function replyTo({ kind, choices }: Prompt, answer: PromptAnswer | Uint8Array): PromptReply {
  const unfit = (detail: string): DaemonError => new DaemonError('AOV-DAEMON-513', detail);
  if (answer instanceof Uint8Array) {
    if (!secretPromptKinds.includes(kind)) throw unfit('this question is not answered by a secret');
    if (answer.length === 0 || answer.length > maxSecretBytes) throw unfit(`a secret has 1 to ${maxSecretBytes} octets`);
    return { kind: 'secret', secret: answer };
  }
  switch (answer.answer) {
    case 'refuse':
      return { kind: 'none', why: 'refused' };
    case 'accept':
      if (kind !== 'trust') throw unfit('this question is not answered by "accept"');
      return { kind: 'accepted' };
    case 'choose':
      if (kind !== 'certificate' || !choices?.some(({ id }) => id === answer.choice))
        throw unfit('this question has no such choice');
      return { kind: 'chosen', choice: answer.choice };
  }
}
