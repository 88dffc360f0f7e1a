import { setTimeout as sleep } from 'node:timers/promises';
import type { Running } from '../lab/running.ts';

/** When our daemon wrote that the first CHILD_SA is installed in the data plane. */
export function nextInstalled(daemon: Running, since: number): Promise<number> {
  return nextLine(daemon, since, /^\S+Z(?= info .*; ESP .*; gateway ")/gm);
}

/** When our daemon wrote that the tunnel is up, routes and names included. */
export function nextConnected(daemon: Running, since: number): Promise<number> {
  return nextLine(daemon, since, /^\S+Z(?= info .* connected to )/gm);
}

async function nextLine(daemon: Running, since: number, time: RegExp): Promise<number> {
  for (let turn = 0; turn < 2000; turn++) {
    const at = daemon
      .output()
      .match(time)
      ?.map((text) => Date.parse(text))
      .at(-1);
    if (at !== undefined && at >= since) return at;
    await sleep(5);
  }
  throw new Error(`the daemon does not connect:\n${daemon.output().slice(-2000)}`);
}

/** When charon last wrote that a CHILD_SA is established, which it does right behind installing it. It writes the time of day only. */
export function lastInstallation(log: string, since: number): number {
  const found = [...log.matchAll(/^(\d\d):(\d\d):(\d\d)\.(\d{3}) .*CHILD_SA net\{\d+\} established/gm)].at(-1);
  if (!found) throw new Error(`charon's log has no CHILD_SA:\n${log.slice(-2000)}`);
  const [hour, minute, second, milli] = found.slice(1).map(Number);
  const at = new Date(since).setHours(hour!, minute, second, milli);
  return at < since - 1000 ? at + 24 * 3600 * 1000 : at;
}
