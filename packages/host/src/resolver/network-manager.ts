import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { askService } from '../dbus/bus-service.ts';

const service = 'org.freedesktop.NetworkManager';
const place = '/org/freedesktop/NetworkManager';
/** Read by NetworkManager beside its own files (NetworkManager.conf(5)); below /run, so that no restart of the machine finds it. */
const dropIn = '/run/NetworkManager/conf.d/90-aovpn.conf';
const content =
  '# Written by aovpn: its name rules are in force, and resolv.conf is in its hands meanwhile.\n[main]\nrc-manager=unmanaged\n';
/** What NetworkManager would put into resolv.conf; written whatever becomes of that. */
const shadow = '/run/NetworkManager/no-stub-resolv.conf';
/** "Configuration files" and "DNS": what is read anew (Reload flags of its D-Bus interface). */
const reloadFlags = 3;

/** How NetworkManager treats resolv.conf (`rc-manager`), such as `symlink`; undefined: it does not run. */
export async function readRcManager(): Promise<string | undefined> {
  try {
    return await askService(service, async (manager) => {
      const mode = await manager.get(`${place}/DnsManager`, `${service}.DnsManager`, 'RcManager').catch(() => '');
      return typeof mode === 'string' ? mode : '';
    });
  } catch {
    return undefined;
  }
}

/** Name servers and search list as NetworkManager has them now, in the form of resolv.conf. */
export function readNetworkManagerText(): string | undefined {
  try {
    return readFileSync(shadow, 'utf8');
  } catch {
    return undefined;
  }
}

/** Whether NetworkManager has been asked to leave resolv.conf alone. */
export function standsAside(): boolean {
  return existsSync(dropIn);
}

/**
 * Asks NetworkManager to leave resolv.conf alone: it would write it anew at every change of the network, and names inside would be asked
 * outside until we notice.
 * @returns why it could not be asked; undefined: it stands aside
 */
export async function standAside(): Promise<string | undefined> {
  try {
    mkdirSync(dirname(dropIn), { recursive: true, mode: 0o755 });
    writeFileSync(dropIn, content, { mode: 0o644 });
    if ((await reload()) === undefined) return 'it has left the bus';
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Withdraws that; NetworkManager hears of it with {@link reloadNetworkManager}. @returns whether there was anything */
export function forgetStandingAside(): boolean {
  if (!standsAside()) return false;
  rmSync(dropIn, { force: true });
  return true;
}

/** Has NetworkManager read its files anew and write resolv.conf as it thinks right. Nothing happens where it does not run. */
export async function reloadNetworkManager(): Promise<void> {
  await reload().catch(() => undefined);
}

async function reload(): Promise<unknown> {
  return await askService(service, (manager) => manager.call(place, service, 'Reload', 'u', [reloadFlags]));
}
