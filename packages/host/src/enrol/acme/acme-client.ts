import type { KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EnrolmentKey } from '@aovpn/policy';
import type { AnchorStore } from '../../trust/anchor-store.ts';
import { parseCertificate, type ParsedCertificate } from '../../trust/certificate.ts';
import { readPemBlocks } from '../../keys/pem.ts';
import { acceptCertificate, authoritiesOf, type Authorities } from '../accept-certificate.ts';
import { createCertificateRequest } from '../certificate-request.ts';
import { EnrolError, usable } from '../enrol-error.ts';
import type { Answer } from '../http-exchange.ts';
import type { Issue } from '../issue.ts';
import { newKey } from '../new-key.ts';
import { openAccount, registerAccount, type AcmeSecret } from './acme-account.ts';
import { readAuthorization, readOrder, resourceUrl, type Authorization, type Challenge, type Order } from './acme-objects.ts';
import { AcmeSession, problemIn, type Signer } from './acme-session.ts';
import { writeAcmeState, type AcmeState } from './acme-state.ts';
import { removeProof, serversText, waitForProof, writeProof, type ProofPlace } from './dns-proofs.ts';
import { dnsProof, publicJwk, toBase64Url } from './jws.ts';

export interface AcmeRequest {
  /** The state directory, and the name of this enrolment in it. */
  readonly directory: string;
  readonly name: string;
  /** Of the server's directory. */
  readonly url: URL;
  /** Whom the server must come from. */
  readonly anchors: AnchorStore;
  /** Whom the certificate must come from. */
  readonly issuers: readonly ParsedCertificate[];
  /** External account binding: key identifier, empty for none, and MAC key. */
  readonly keyId: string;
  readonly secret?: AcmeSecret;
  /** The secret is for another account than the one that is there. */
  readonly anew: boolean;
  readonly termsAgreed: boolean;
  /** DNS names that are certified, normalised. */
  readonly dns: readonly string[];
  readonly keyKind: EnrolmentKey | undefined;
  /** Of a request that the authority has not decided on. */
  readonly key?: KeyObject;
  /** What is renewed. */
  readonly current?: ParsedCertificate;
  /** Where `dns-01` is answered; undefined: nowhere. */
  readonly proofs?: ProofPlace;
  /** Until when it is waited for the authority; then it is asked again at another time. Milliseconds of `Date.now()`. */
  readonly deadline: number;
  readonly signal: AbortSignal;
}

/** Our own choices, milliseconds. */
const pauses = { first: 250, longest: 4000, dnsAgain: 15_000 } as const;
/** What is written is taken out again in so long, or at another time, milliseconds. */
const cleanUpPatience = 15_000;
/** Records of ours that may be in the DNS at the same time: as many as names, and those of a try before. */
const proofLimit = 32;
/** Certificates of one chain. */
const chainLimit = 16;

/**
 * Has a certificate issued by ACME (RFC 8555): an account, an order for the names, their proofs where they are wanted, the request, the certificate. Whatever comes of
 * it, records that were written for it are taken out of the DNS again, unless the authority has not looked yet.
 * @throws {EnrolError}
 */
export async function enrolByAcme(request: AcmeRequest): Promise<Issue> {
  if (request.dns.length === 0) throw new EnrolError('host', 'ACME certifies DNS names, and there is none: set dns-names');
  const { url, anchors, secret, signal } = request;
  const session = await AcmeSession.open({ url, anchors, secrets: secret ? [secret.text] : [], signal });
  const state = await openAccount(session, request);
  const undertaking = new Undertaking(session, request, state);
  let issue: Issue | undefined;
  try {
    return (issue = await undertaking.run());
  } finally {
    await undertaking.end(issue?.kind === 'pending');
  }
}

/** One try of one account. */
class Undertaking {
  readonly #session: AcmeSession;
  readonly #request: AcmeRequest;
  #signer: Signer;
  #state: AcmeState;
  /** Authorisations that need nothing any more. */
  readonly #settled = new Set<string>();
  readonly #answered = new Set<string>();
  #why: string | undefined;

  constructor(session: AcmeSession, request: AcmeRequest, state: AcmeState) {
    this.#session = session;
    this.#request = request;
    this.#state = state;
    this.#signer = { key: state.key, account: state.account! };
  }

  async run(): Promise<Issue> {
    const { key: kept, keyKind } = this.#request;
    const key = kept ?? (await newKey(keyKind ?? 'p256'));
    let { order, retryAfter } = (kept && (await this.#resume())) ?? (await this.#order());
    let pause: number = pauses.first;
    let asked = false;
    for (;;) {
      if (order.status === 'pending') retryAfter = (await this.#authorise(order)) ?? retryAfter;
      else if (order.status === 'valid')
        return { kind: 'issued', key, certificates: await this.#download(order.certificate!, key) };
      else if (order.status === 'invalid') throw this.#failed(order);
      else if (order.status === 'ready' && !asked) {
        const taken = await this.#finalise(order, key);
        asked = taken !== undefined;
        if (taken) ({ order, retryAfter } = taken);
        if (taken && order.status !== 'processing') continue;
      }
      // §7.4, §7.5.1: not before the server wants it; what takes longer than a try is asked for in another one.
      const wait = Math.max(pause, retryAfter ?? 0);
      if (Date.now() + wait > this.#request.deadline) return this.#pending(key, retryAfter);
      await sleep(wait);
      pause = Math.min(pauses.longest, pause * 2);
      ({ order, retryAfter } = this.#read(await this.#ask(this.#state.order!, undefined, 'the order was asked for')));
    }
  }

  /** @param goesOn order and records stay for the next try */
  async end(goesOn: boolean): Promise<void> {
    if (goesOn) return;
    if (this.#state.order !== undefined) await this.#save({ order: undefined });
    await this.#takeOut();
  }

  /** What this try or one before has written. */
  async #takeOut(): Promise<void> {
    const { proofs } = this.#request;
    if (!proofs) return;
    const until = Date.now() + cleanUpPatience;
    for (const record of this.#state.records) {
      try {
        await removeProof(proofs, record, until);
      } catch (error) {
        if (!(error instanceof EnrolError)) throw error;
        // It is noted, and the next try takes it out.
        continue;
      }
      await this.#save({ records: this.#state.records.filter((other) => other !== record) });
    }
  }

  /** The order of the last try, where it is still one for the same names. */
  async #resume(): Promise<Known | undefined> {
    const { order: url } = this.#state;
    if (url === undefined) return undefined;
    const answer = await this.#session.post(url, this.#signer, undefined);
    if (answer.status >= 500 || answer.status === 429) throw this.#session.refusal(answer, 'the order was asked for');
    if (answer.status !== 200) return undefined;
    const order = readOrder(answer.body, this.#session.url);
    return order.status !== 'invalid' && this.#isOurs(order) ? { order, retryAfter: answer.retryAfter } : undefined;
  }

  /** §7.4 */
  async #order(): Promise<Known> {
    // They were for an order that is no more.
    await this.#takeOut();
    const { directory, url: server } = this.#session;
    const identifiers = this.#request.dns.map((value) => ({ type: 'dns', value }));
    let answer = await this.#session.post(directory.newOrder, this.#signer, { identifiers });
    if (problemIn(answer)?.type === 'accountDoesNotExist') {
      // An authority that was set up anew knows nobody: the same key makes itself known again.
      await this.#save({ account: await registerAccount(this.#session, this.#state, this.#request) });
      this.#signer = { key: this.#state.key, account: this.#state.account! };
      answer = await this.#session.post(directory.newOrder, this.#signer, { identifiers });
    }
    if (answer.status !== 201) throw this.#session.refusal(answer, 'a certificate was ordered');
    const known = this.#read(answer);
    await this.#save({ order: resourceUrl(answer.headers.location, 'the URL of the order', server) });
    return known;
  }

  #isOurs({ names }: Order): boolean {
    const { dns } = this.#request;
    return names.length === dns.length && dns.every((name) => names.includes(name));
  }

  /** §7.5. @returns what the server wants to be waited for, milliseconds */
  async #authorise(order: Order): Promise<number | undefined> {
    let longest: number | undefined;
    for (const url of order.authorizations) {
      if (this.#settled.has(url)) continue;
      const answer = await this.#ask(url, undefined, 'an authorisation was asked for');
      const authorization = readAuthorization(answer.body, this.#session.url);
      if (!order.names.includes(authorization.name)) throw new EnrolError('unusable', 'an authorisation for another name');
      if (authorization.status === 'valid') {
        this.#settled.add(url);
        continue;
      }
      if (authorization.status !== 'pending') throw this.#unproven(authorization);
      await this.#answer(authorization);
      if (answer.retryAfter !== undefined) longest = Math.max(longest ?? 0, answer.retryAfter);
    }
    return longest;
  }

  /** §7.5.1, §8.4 */
  async #answer(authorization: Authorization): Promise<void> {
    const { name, challenges } = authorization;
    const challenge = challenges.find(({ type }) => type === 'dns-01');
    if (challenge?.token === undefined) {
      const types = challenges.map(({ type }) => JSON.stringify(type)).join(', ');
      throw new EnrolError('refused', `the authority wants a proof of ${name}, and offers no dns-01 (but ${types || 'nothing'})`);
    }
    if (challenge.status === 'invalid') throw this.#unproven(authorization);
    if (challenge.status !== 'pending' || this.#answered.has(challenge.url)) return;
    if (!(await this.#publish(name, challenge.token))) return;
    // §7.5.1: nothing is said but that it is there.
    await this.#ask(challenge.url, {}, 'a challenge was answered');
    this.#answered.add(challenge.url);
  }

  /** Whether all name servers have it. */
  async #publish(name: string, token: string): Promise<boolean> {
    const { proofs, deadline } = this.#request;
    if (!proofs)
      throw new EnrolError(
        'unproven',
        `the authority wants ${name} proven by DNS, and there is neither dns-update-key nor dns-update-keytab`,
      );
    const record = { name: `_acme-challenge.${name}`, text: dnsProof(token, publicJwk(this.#state.key)) };
    const isNoted = this.#state.records.some(({ name: other, text }) => other === record.name && text === record.text);
    if (!isNoted && this.#state.records.length >= proofLimit)
      throw new EnrolError(
        'unusable',
        `the authority wants more than ${proofLimit} proofs, or those of before cannot be taken out`,
      );
    // Before it is written: who dies in between knows of it afterwards.
    if (!isNoted) await this.#save({ records: [...this.#state.records, record] });
    await writeProof(proofs, record);
    const missing = await waitForProof(proofs, record, deadline);
    if (missing.length > 0) this.#why = `${serversText(missing)} has not got ${record.name} yet`;
    return missing.length === 0;
  }

  /** §7.4. Undefined: it is not ready, and its own state says what is missing. */
  async #finalise({ finalize }: Order, key: KeyObject): Promise<Known | undefined> {
    const { dns } = this.#request;
    const csr = createCertificateRequest({ subject: [], dns, email: [], upn: [], key });
    const answer = await this.#session.post(finalize, this.#signer, { csr: toBase64Url(csr) });
    if (problemIn(answer)?.type === 'orderNotReady') return undefined;
    if (answer.status !== 200) throw this.#session.refusal(answer, 'it was asked for the certificate');
    return this.#read(answer);
  }

  /** §7.4.2, §9.1 */
  async #download(url: string, key: KeyObject): Promise<readonly ParsedCertificate[]> {
    const type = 'application/pem-certificate-chain';
    const answer = await this.#ask(url, undefined, 'the certificate was asked for', type);
    if (!answer.contentType.toLowerCase().startsWith(type))
      throw new EnrolError('unusable', `an answer of type "${answer.contentType.slice(0, 80)}"`);
    const blocks = readPemBlocks(Buffer.from(answer.body).toString('latin1'));
    // §11.4: a chain is nothing but certificates.
    if (blocks.length === 0 || blocks.length > chainLimit || blocks.some(({ label }) => label !== 'CERTIFICATE'))
      throw new EnrolError('unusable', `a chain of ${blocks.length} parts that are not all certificates`);
    const certificates = usable(() => blocks.map(({ der }) => parseCertificate(der)));
    const { issuers, current } = this.#request;
    const authorities: Authorities = authoritiesOf(issuers);
    return await acceptCertificate({ certificates, authorities, key, ...(current && { current }) });
  }

  #pending(key: KeyObject, retryAfter: number | undefined): Issue {
    const why = this.#why;
    const again = retryAfter ?? (why === undefined ? undefined : pauses.dnsAgain);
    return { kind: 'pending', key, ...(again !== undefined && { retryAfter: again }), ...(why !== undefined && { why }) };
  }

  #failed({ error }: Order): EnrolError {
    const words = error ? `: ${this.#session.words(error)}` : '';
    // It fails either way when a proof is not taken; which one it was is told by its problem.
    const isProof = error && proofProblems.has(error.type) && this.#answered.size > 0;
    return new EnrolError(isProof ? 'unproven' : 'refused', `the authority refuses the order${words}`);
  }

  #unproven({ name, status, challenges }: Authorization): EnrolError {
    const error = challenges.find((one: Challenge) => one.error)?.error;
    return new EnrolError(
      'unproven',
      `the authority does not believe ${name} ours (${status})${error ? `: ${this.#session.words(error)}` : ''}`,
    );
  }

  async #ask(url: string, payload: unknown, what: string, accept?: string): Promise<Answer> {
    return await this.#session.ask(url, this.#signer, payload, what, accept);
  }

  /** Whatever is said about an order, it is for the names that were ordered: they come into the DNS. @throws {EnrolError} unusable */
  #read({ body, retryAfter }: Answer): Known {
    const order = readOrder(body, this.#session.url);
    if (!this.#isOurs(order)) throw new EnrolError('unusable', 'an order for other names than ours');
    return { order, retryAfter };
  }

  async #save(change: Partial<AcmeState>): Promise<void> {
    this.#state = { ...this.#state, ...change };
    await writeAcmeState(this.#request.directory, this.#request.name, this.#state);
  }
}

interface Known {
  readonly order: Order;
  /** Milliseconds. */
  readonly retryAfter: number | undefined;
}

/** §6.7: what comes of looking for a proof. */
const proofProblems = new Set(['unauthorized', 'dns', 'connection', 'incorrectResponse', 'caa', 'tls']);
