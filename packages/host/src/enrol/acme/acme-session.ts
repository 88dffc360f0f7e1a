import type { KeyObject } from 'node:crypto';
import { encodeUtf8 } from '@aovpn/bytes';
import type { AnchorStore } from '../../trust/anchor-store.ts';
import { EnrolError } from '../enrol-error.ts';
import { exchange, pageWords, type Answer } from '../http-exchange.ts';
import { serverWords } from '../server-words.ts';
import { readDirectory, readProblem, type AcmeProblem, type Directory } from './acme-objects.ts';
import { isBase64Url, publicJwk, signJws } from './jws.ts';

/** Of a nonce, characters. */
const nonceLimit = 512;
/** Times that one request is sent anew because its nonce was not taken. */
const nonceTries = 10;

export interface AcmeServer {
  /** Of its directory. */
  readonly url: URL;
  /** Whom it must come from. */
  readonly anchors: AnchorStore;
  /** Nothing that the server says may show these. */
  readonly secrets: readonly string[];
  readonly signal: AbortSignal;
}

/** Who signs: the account by its URL, or before there is one its key. */
export interface Signer {
  readonly key: KeyObject;
  readonly account?: string;
}

/** Requests to one ACME server: signed, each with a nonce of its own (RFC 8555 §6). */
export class AcmeSession {
  readonly directory: Directory;
  readonly #server: AcmeServer;
  #nonce: string | undefined;

  private constructor(server: AcmeServer, directory: Directory) {
    this.#server = server;
    this.directory = directory;
  }

  get url(): URL {
    return this.#server.url;
  }

  /** Reads the directory (§7.1.1). @throws {EnrolError} */
  static async open(server: AcmeServer): Promise<AcmeSession> {
    const { url, anchors, signal } = server;
    const answer = await exchange({ url, method: 'GET', accept: 'application/json', anchors, signal });
    if (answer.status !== 200) throw refusalOf(server, answer, 'its directory was asked for');
    return new AcmeSession(server, readDirectory(answer.body, url));
  }

  /**
   * One request, sent anew with the nonce that comes with the refusal as long as nothing but its nonce is refused (§6.5). Other refusals are answers.
   * @param url as the server wrote it (§6.4)
   * @param payload undefined: the resource is asked for (§6.3)
   * @throws {EnrolError} no answer
   */
  async post(url: string, { key, account }: Signer, payload: unknown, accept = 'application/json'): Promise<Answer> {
    const { anchors, signal } = this.#server;
    for (let tries = 1; ; tries++) {
      const nonce = await this.#takeNonce();
      const who = account === undefined ? { jwk: publicJwk(key) } : { kid: account };
      const body = encodeUtf8(JSON.stringify(signJws(key, { ...who, nonce, url }, payload)));
      const answer = await exchange({
        url: new URL(url),
        method: 'POST',
        contentType: 'application/jose+json',
        accept,
        body: () => body,
        anchors,
        staysHere: true,
        signal,
      });
      this.#keepNonce(answer);
      if (problemIn(answer)?.type !== 'badNonce') return answer;
      if (tries === nonceTries) throw new EnrolError('unreachable', `the server took none of ${nonceTries} nonces of its own`);
    }
  }

  /** The same, where anything but 200 and 201 is a failure. @param what completes "… when" @throws {EnrolError} */
  async ask(url: string, signer: Signer, payload: unknown, what: string, accept?: string): Promise<Answer> {
    const answer = await this.post(url, signer, payload, accept);
    if (answer.status !== 200 && answer.status !== 201) throw this.refusal(answer, what);
    return answer;
  }

  /** Why an answer is none that helps. @param what completes "… when" */
  refusal(answer: Answer, what: string): EnrolError {
    return refusalOf(this.#server, answer, what);
  }

  /** A problem of the server for people. */
  words(problem: AcmeProblem): string {
    return wordsOf(this.#server, problem);
  }

  async #takeNonce(): Promise<string> {
    if (this.#nonce === undefined) {
      const { anchors, signal } = this.#server;
      // §7.2
      const answer = await exchange({ url: new URL(this.directory.newNonce), method: 'HEAD', anchors, staysHere: true, signal });
      if (answer.status !== 200 && answer.status !== 204) throw this.refusal(answer, 'a nonce was asked for');
      this.#keepNonce(answer);
    }
    const nonce = this.#nonce;
    if (nonce === undefined) throw new EnrolError('unusable', 'the server gives no nonce');
    this.#nonce = undefined;
    return nonce;
  }

  /** §6.5.1: what is none is passed over. */
  #keepNonce({ headers }: Answer): void {
    const nonce = headers['replay-nonce'];
    if (typeof nonce === 'string' && isBase64Url(nonce, nonceLimit)) this.#nonce = nonce;
  }
}

/** The problem that an answer reports; undefined: it is no problem document. */
export function problemIn({ status, contentType, body }: Answer): AcmeProblem | undefined {
  return status >= 400 && /^application\/problem\+json\b/i.test(contentType) ? readProblem(body) : undefined;
}

function refusalOf(server: AcmeServer, answer: Answer, what: string): EnrolError {
  const { status, retryAfter } = answer;
  const problem = problemIn(answer);
  const passes = status === 429 || status >= 500 || problem?.type === 'rateLimited' || problem?.type === 'serverInternal';
  const words = problem ? `, ${wordsOf(server, problem)}` : pageWords(answer, server.secrets);
  return new EnrolError(passes ? 'unreachable' : 'refused', `HTTP ${status} when ${what}${words}`, { retryAfter });
}

function wordsOf({ secrets }: AcmeServer, { type, detail, instance }: AcmeProblem): string {
  const plain = type.replaceAll(/[^\w:./-]+/g, ' ').slice(0, 60) || 'a problem';
  // §6.7: a person has to go there.
  const place = type === 'userActionRequired' && instance !== undefined ? serverWords(encodeUtf8(instance), secrets) : '';
  return `${plain}${serverWords(encodeUtf8(detail), secrets)}${place}`;
}
