import { rmSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { proxyEnvironmentFile, proxyNoticeFile, type ProxyNotice } from '@aovpn/api';
import { type PacServer, writeFileAtomically } from '@aovpn/host';
import { neverProxied, pacPlace, printPac, proxyEnvironment, type ProxyPlan } from '@aovpn/policy';
import type { Log } from './log.ts';
import { messageOf } from './problem-error.ts';

/**
 * Tells programs of people which proxies to use: in two files below /run, of which the session of each person makes its settings (`aovpn
 * session`), and by a script on loopback. The daemon itself goes to nobody's home.
 */
export class ProxyPublisher {
  readonly #directory: string;
  readonly #pac: PacServer;
  readonly #log: Log;
  #inForce = '';
  #turn: Promise<void> = Promise.resolve();

  constructor(runDirectory: string, pac: PacServer, log: Log) {
    this.#directory = runDirectory;
    this.#pac = pac;
    this.#log = log;
  }

  /** Never fails: without its proxy a browser says so itself, and the tunnel is up all the same. */
  follow(proxy: ProxyPlan | undefined): Promise<void> {
    this.#turn = this.#turn
      .then(() => this.#apply(proxy))
      .catch((error: unknown) => this.#log.error(`proxy: ${messageOf(error)}`));
    return this.#turn;
  }

  async #apply(proxy: ProxyPlan | undefined): Promise<void> {
    const key = JSON.stringify(proxy && { ...proxy, because: undefined });
    if (key === this.#inForce) return;
    if (!proxy) {
      removeProxyNotice(this.#directory);
      await this.#pac.stop();
      if (this.#inForce !== '') this.#log.info('proxy: taken back');
    } else {
      const scripted = proxy.rules.length > 0;
      // The script first: whoever reads the notice asks for it at once.
      if (scripted) await this.#pac.serve(printPac(proxy));
      const lines = Object.entries(proxyEnvironment(proxy)).map(([name, value]) => `${name}=${value}\n`);
      await writeFileAtomically(fileIn(this.#directory, proxyEnvironmentFile), lines.join(''), 0o644);
      await writeFileAtomically(fileIn(this.#directory, proxyNoticeFile), `${JSON.stringify(noticeOf(proxy))}\n`, 0o644);
      if (!scripted) await this.#pac.stop();
      this.#log.info('proxy: told to programs of people');
    }
    this.#inForce = proxy ? key : '';
  }
}

/** With no memory of what ran before. */
export function removeProxyNotice(runDirectory: string): void {
  for (const file of [proxyNoticeFile, proxyEnvironmentFile]) rmSync(fileIn(runDirectory, file), { force: true });
}

function noticeOf({ otherwise, autoConfigUrl, rules }: ProxyPlan): ProxyNotice {
  const common = { version: 1, pid: process.pid, except: neverProxied } as const;
  if (autoConfigUrl !== undefined) return { ...common, mode: 'auto', url: autoConfigUrl };
  if (rules.length > 0 || !otherwise)
    return { ...common, mode: 'auto', url: `http://${pacPlace.address}:${pacPlace.port}/proxy.pac` };
  return { ...common, mode: 'manual', server: otherwise };
}

function fileIn(runDirectory: string, usual: string): string {
  return path.join(runDirectory, path.basename(usual));
}
