import { setTimeout as sleep } from 'node:timers/promises';
import type { Capture } from '../lab/capture.ts';
import type { StrongswanClient } from '../lab/peer.ts';
import type { Product } from '../lab/product.ts';
import type { Running } from '../lab/running.ts';
import { firstIkeDatagram } from './first-datagram.ts';

/** Our handshake, from the first IKE datagram on the wire to the CHILD_SA installed, milliseconds. The tunnel is up afterwards. */
export async function ourHandshake(product: Product, connection: string, capture: Capture): Promise<number> {
  const since = Date.now();
  const { installed } = await connect(product, connection);
  return installed - (await firstIkeDatagram(capture, since));
}

/** The same of charon. */
export async function charonHandshake(charon: StrongswanClient, capture: Capture): Promise<number> {
  const since = Date.now();
  await charon.initiate();
  const first = await firstIkeDatagram(capture, since);
  return lastInstallation(charon.log(), since) - first;
}

/**
 * Brings our connection up; when its CHILD_SA was installed, and when routes and names were in force as well. Its log says so: asking
 * for the status every few milliseconds would be work for the daemon in the middle of its handshake.
 */
export async function connect(
  product: Product,
  connection: string,
): Promise<{ readonly installed: number; readonly connected: number }> {
  const since = Date.now();
  await product.up(connection);
  const installed = await nextInstalled(product.daemon, since);
  return { installed, connected: await nextConnected(product.daemon, since) };
}

/** When our daemon wrote that the first CHILD_SA is installed in the data plane. */
function nextInstalled(daemon: Running, since: number): Promise<number> {
  return nextLine(daemon, since, /^\S+Z(?= info .*; ESP .*; gateway ")/gm);
}

/** When our daemon wrote that the tunnel is up, routes and names included. */
function nextConnected(daemon: Running, since: number): Promise<number> {
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
function lastInstallation(log: string, since: number): number {
  const found = [...log.matchAll(/^(\d\d):(\d\d):(\d\d)\.(\d{3}) .*CHILD_SA net\{\d+\} established/gm)].at(-1);
  if (!found) throw new Error(`charon's log has no CHILD_SA:\n${log.slice(-2000)}`);
  const [hour, minute, second, milli] = found.slice(1).map(Number);
  const at = new Date(since).setHours(hour!, minute, second, milli);
  return at < since - 1000 ? at + 24 * 3600 * 1000 : at;
}
