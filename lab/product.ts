import { request } from 'node:http';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  type ConnectionState,
  type ConnectionStatus,
  type DaemonStatus,
  defaultSocketPath,
  type ErrorAnswer,
  type ProfileStatus,
  type Prompt,
  type PromptAnswer,
  type PromptKind,
  type PutProfile,
  rootSocketName,
} from '@aovpn/api';
import { currentRelease } from '../release/current-release.ts';
import { cgroupArguments } from './app.ts';
import { inCheckout, type ExecOptions, type ExecResult, type Host } from './host.ts';
import { hangMs, patience } from './patience.ts';
import type { Running } from './running.ts';

/** Any path in the repository. */
export const repository = (...parts: readonly string[]): string =>
  path.join(fileURLToPath(new URL('..', import.meta.url)), ...parts);

/** A command line that starts one of the two programs, those of the release that these sources make. */
export function installed(name: 'aovpnd' | 'aovpn'): readonly string[] {
  const file = path.join(currentRelease(), 'bin', `${name}.mjs`);
  return [process.execPath, ...interpreterOptions(file), file];
}

/** What the first line of a program gives Node, where it is started by its own name. */
function interpreterOptions(file: string): readonly string[] {
  return readFileSync(file, 'utf8')
    .split('\n', 1)[0]!
    .split(' ')
    .filter((word) => word.startsWith('--'));
}

export interface StartOptions {
  /** Further arguments of aovpnd. */
  readonly args?: readonly string[];
  /** Words before the daemon's command line, such as `setpriv …`. */
  readonly through?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

export interface Answer {
  readonly status: number;
  readonly value: unknown;
}

/** The daemon and the command on one host, as a person there would use them: the release, not the sources. */
export class Product {
  readonly host: Host;
  #daemon: Running | undefined;

  constructor(host: Host) {
    this.host = host;
  }

  /** The daemon that {@link start} started last. */
  get daemon(): Running {
    if (!this.#daemon) throw new Error('the daemon was never started');
    return this.#daemon;
  }

  /** Starts the daemon and waits until it answers. */
  async start(options: StartOptions = {}): Promise<void> {
    this.launch(options);
    await this.ready();
  }

  /** Starts the daemon without waiting for anything. */
  launch(options: StartOptions = {}): Running {
    const command = installed('aovpnd');
    const argv = [
      ...(options.through ? command.map(inCheckout) : command),
      ...cgroupArguments(this.host),
      ...(options.args ?? []),
    ];
    this.#daemon = this.host.spawn([...(options.through ?? []), ...argv], {
      name: 'aovpnd',
      ...(options.env ? { env: options.env } : {}),
    });
    return this.#daemon;
  }

  /** Waits until the control socket answers. */
  async ready(): Promise<DaemonStatus> {
    const deadline = performance.now() + hangMs;
    for (;;) {
      try {
        return await this.status();
      } catch (error) {
        if (this.#daemon?.exit)
          throw new Error(`aovpnd ended (${JSON.stringify(this.#daemon.exit)}):\n${this.#daemon.output()}`, { cause: error });
        if (performance.now() > deadline)
          throw new Error(`aovpnd does not answer:\n${this.#daemon?.output() ?? ''}`, { cause: error });
        await sleep(10);
      }
    }
  }

  /** Ends the daemon in good order, if it runs. */
  async stop(): Promise<void> {
    await this.#daemon?.stop('SIGTERM', hangMs);
  }

  /** Ends the daemon as a crash would. */
  async kill(): Promise<void> {
    await this.daemon.stop('SIGKILL');
  }

  /** Runs `aovpn ARGS` on the host. */
  aovpn(args: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    return this.host.run(this.command(args), options);
  }

  /** The same as a command line, for one that stays. */
  command(args: readonly string[]): string[] {
    return [...installed('aovpn'), ...args];
  }

  async status(): Promise<DaemonStatus> {
    return (await this.#must('GET', '/v1/status')) as DaemonStatus;
  }

  async connection(name: string): Promise<ConnectionStatus | undefined> {
    return (await this.status()).connections.find((connection) => connection.name === name);
  }

  /** Adds or replaces a profile and its credentials. @throws with the daemon's words when it refuses. */
  async put(name: string, xml: string, credentials?: PutProfile['credentials']): Promise<ProfileStatus> {
    const body: PutProfile = { xmlBase64: Buffer.from(xml).toString('base64'), ...(credentials ? { credentials } : {}) };
    return (await this.#must('PUT', `/v1/profiles/${encodeURIComponent(name)}`, body)) as ProfileStatus;
  }

  async remove(name: string): Promise<void> {
    await this.#must('DELETE', `/v1/profiles/${encodeURIComponent(name)}`);
  }

  async up(name: string): Promise<void> {
    await this.#must('POST', `/v1/connections/${encodeURIComponent(name)}/up`);
  }

  async down(name: string): Promise<void> {
    await this.#must('POST', `/v1/connections/${encodeURIComponent(name)}/down`);
  }

  /** Writes `/etc/aovpn/aovpn.toml`; when the daemon runs, until it has read it. */
  async settings(text: string): Promise<void> {
    const file = '/etc/aovpn/aovpn.toml';
    const before = existsSync(this.host.file(file)) ? readFileSync(this.host.file(file), 'utf8') : undefined;
    if (before === text || (before === undefined && text === '')) return;
    const count = (): number => this.daemon.output().split('settings read anew').length;
    const seen = this.#daemon && !this.#daemon.exit ? count() : undefined;
    this.host.write(file, text);
    for (const deadline = performance.now() + hangMs; seen !== undefined && count() === seen;) {
      if (performance.now() > deadline)
        throw new Error(`the daemon does not read its settings anew:\n${tail(this.daemon.output())}`);
      await sleep(10);
    }
  }

  /** Waits until a connection is as wanted; fails with what it was instead, the daemon's log included. */
  async waitFor(
    name: string,
    what: string,
    isSo: (connection: ConnectionStatus) => boolean,
    timeoutMs?: number,
  ): Promise<ConnectionStatus> {
    const limit = timeoutMs === undefined ? hangMs : timeoutMs * patience;
    const deadline = performance.now() + limit;
    for (;;) {
      const connection = await this.connection(name);
      if (connection && isSo(connection)) return connection;
      if (performance.now() > deadline) {
        throw new Error(
          `${name} is not ${what} after ${limit} ms: ${JSON.stringify(connection, null, 1)}\n${tail(this.daemon.output())}`,
        );
      }
      await sleep(10);
    }
  }

  waitForState(name: string, state: ConnectionState, timeoutMs?: number): Promise<ConnectionStatus> {
    return this.waitFor(name, state, (connection) => connection.state === state, timeoutMs);
  }

  /** Waits until nothing of a connection is left, after its profile was removed. */
  async waitForGone(name: string): Promise<void> {
    for (const deadline = performance.now() + hangMs; await this.connection(name);) {
      if (performance.now() > deadline) throw new Error(`${name} is still there:\n${tail(this.daemon.output())}`);
      await sleep(10);
    }
  }

  /** Waits until a connection has a problem, whatever its state. */
  waitForProblem(name: string, timeoutMs?: number): Promise<ConnectionStatus> {
    return this.waitFor(name, 'in trouble', (connection) => connection.problem !== undefined, timeoutMs);
  }

  /** Waits for a question to a person about a connection. */
  async waitForPrompt(name: string, kind: PromptKind, timeoutMs?: number): Promise<Prompt> {
    const deadline = performance.now() + (timeoutMs === undefined ? hangMs : timeoutMs * patience);
    for (;;) {
      const prompts = (await this.#must('GET', '/v1/prompts')) as readonly Prompt[];
      const found = prompts.find((prompt) => prompt.connection === name && prompt.kind === kind);
      if (found) return found;
      if (performance.now() > deadline) {
        const connection = JSON.stringify(await this.connection(name), null, 1);
        throw new Error(`${name} asks for no ${kind}: ${JSON.stringify(prompts)} ${connection}\n${tail(this.daemon.output())}`);
      }
      await sleep(10);
    }
  }

  /** Answers a question: with a secret, or with one of the other answers. */
  async answer(prompt: Prompt, answer: PromptAnswer | string): Promise<void> {
    await this.#must('POST', `/v1/prompts/${prompt.id}`, typeof answer === 'string' ? Buffer.from(answer, 'utf8') : answer);
  }

  /** One request to the control socket, as root. Octets go as a secret, everything else as JSON. */
  async ask(method: string, url: string, body?: unknown): Promise<Answer> {
    const ofRoot = path.join(path.dirname(defaultSocketPath), rootSocketName);
    const socketPath = this.host.file(ofRoot);
    if (!existsSync(socketPath)) throw new Error(`there is no ${ofRoot} on ${this.host.name}`);
    const isSecret = body instanceof Uint8Array;
    const text = isSecret || body === undefined ? body : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const type = isSecret ? 'application/octet-stream' : 'application/json';
      const headers = text === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(text) };
      const sent = request({ socketPath, method, path: url, headers, agent: false, timeout: hangMs }, (response) => {
        let answer = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
        response.on('error', reject);
        response.on('end', () => {
          try {
            resolve({ status: response.statusCode ?? 0, value: JSON.parse(answer) });
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        });
      });
      sent.on('timeout', () => sent.destroy(new Error('the daemon does not answer')));
      sent.on('error', reject);
      sent.end(text);
    });
  }

  async #must(method: string, url: string, body?: unknown): Promise<unknown> {
    const answer = await this.ask(method, url, body);
    if (answer.status >= 200 && answer.status < 300) return answer.value;
    throw new Refused(answer);
  }
}

/** The daemon said no. */
export class Refused extends Error {
  readonly status: number;
  readonly error: ErrorAnswer['error'];

  constructor(answer: Answer) {
    const { error } = answer.value as ErrorAnswer;
    super(
      `${error.code}: ${error.message} (${error.cure})${(error.diagnostics ?? []).map((line) => `\n${line.line}: ${line.message}`).join('')}`,
    );
    this.name = 'Refused';
    this.status = answer.status;
    this.error = error;
  }
}

function tail(text: string): string {
  return text.split('\n').slice(-60).join('\n');
}
