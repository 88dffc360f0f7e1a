import { accessSync, chmodSync, constants, mkdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { defaultSocketPath, interactiveHeader, maxRequestBytes, rootSocketName } from '@aovpn/api';
import { formatBecause } from '@aovpn/policy';
import {
  cleanUp,
  isJournalStream,
  isLockdownInForce,
  lockInstance,
  keepServiceWatchdog,
  notifyService,
  openControlServer,
  openJournal,
  openPolkit,
  setNoNewPrivileges,
  setUndumpable,
  stackOf,
  type ControlServer,
  type InstanceLock,
} from '@aovpn/host';
import { AccessDesk, type AccessFacts } from './access-desk.ts';
import { DaemonError } from './daemon-error.ts';
import { Daemon } from './daemon.ts';
import { blockEarly, releaseAll } from './early-block.ts';
import { Later } from './later.ts';
import { Life } from './life.ts';
import { Log } from './log.ts';
import { helpText, parseOptions, type DaemonOptions } from './options.ts';
import { linuxFilters, linuxPlatform } from './platform.ts';
import { removeProxyNotice } from './proxy-publisher.ts';
import { createRouter } from './router.ts';
import { keepMemorySmall } from './memory-return.ts';
import { keepServiceStatus } from './service-status.ts';
import { SettingsFile } from './settings-file.ts';
import { messageOf } from './problem-error.ts';
import { groupId } from './user-database.ts';
import { version } from './version.ts';

const exitCode = { done: 0, failed: 1, usage: 2, running: 3 } as const;

/** The whole life of `aovpnd`. */
export async function main(args: readonly string[]): Promise<void> {
  let options: DaemonOptions;
  try {
    options = parseOptions(args);
  } catch (error) {
    process.stderr.write(`aovpnd: ${(error as DaemonError).what}\n${(error as DaemonError).cure}\n`);
    process.exitCode = exitCode.usage;
    return;
  }
  if (options.task === 'help') return void process.stdout.write(helpText);
  if (options.task === 'version') return void process.stdout.write(`aovpnd ${version}\n`);
  const journal = isJournalStream() ? openJournal() : undefined;
  const later = new Later();
  process.on('exit', () => later.flush());
  const log = new Log({
    level: options.logLevel,
    format: options.logFormat,
    journal: journal !== undefined,
    ...(journal && { send: (fields) => journal.send(fields) }),
    write: (line) => process.stderr.write(line),
    clock: Date.now,
    later,
  });
  let lock: InstanceLock | undefined;
  try {
    if (options.task === 'block') return await blockOnly(options, log);
    checkMachine(options);
    lock = lockInstance(path.join(options.runDir, 'aovpnd.lock'));
    if (options.task === 'clean-up') await cleanUpOnly(options, log);
    else await run(options, log);
  } catch (error) {
    fail(log, error);
  } finally {
    lock?.release();
  }
  // Workers and sockets of ours are closed by now; what still holds the loop (a look-up under way) must not keep us.
  setTimeout(() => process.exit(), 2_000).unref();
}

async function run(options: DaemonOptions, log: Log): Promise<void> {
  // Per thread in Linux, so before any worker starts: no core dump holds our keys, no child of ours gains privileges.
  setUndumpable();
  setNoNewPrivileges();
  const settings = await SettingsFile.open(path.join(options.configDir, 'aovpn.toml'), log);
  log.info(`aovpnd ${version}, process ${process.pid}, Node ${process.versions.node}`);
  const platform = linuxPlatform(options);
  // Whatever became of the run before, and however long the start takes.
  await blockEarly(options, log).catch((error: unknown) =>
    log.error(`LockDown could not be put in force yet: ${messageOf(error)}`),
  );
  const daemon = new Daemon(options, platform, settings, log);
  const life = new Life(daemon);
  const { promise: asked, resolve: stop } = Promise.withResolvers<string>();
  let dying = false;
  const die = (what: string, error: unknown): void => {
    if (dying) return;
    dying = true;
    log.error(`${what}: ${stackOf(error)}`);
    process.exitCode = exitCode.failed;
    // No tunnel can be trusted after this: clear away and end; the service manager starts us anew.
    const patience = setTimeout(() => process.exit(exitCode.failed), 10_000);
    void life.abandon('keep').finally(() => {
      clearTimeout(patience);
      process.exit(exitCode.failed);
    });
  };
  process.on('uncaughtException', (error) => die('bug, the daemon ends', error));
  process.on('unhandledRejection', (error) => die('bug, the daemon ends', error));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(signal));
  process.on('SIGHUP', () => void daemon.rescan().catch(() => {}));

  const controls: ControlServer[] = [];
  try {
    await life.start();
    if (groupId(settings.current.group) === undefined)
      log.warn(
        `there is no group "${settings.current.group}": nobody but root may look (groupadd --system ${settings.current.group})`,
      );
    const desk = new AccessDesk(accessFacts(daemon, settings), openPolkit(), log);
    const handle = createRouter(daemon, desk);
    const listen = async (name: string, openTo: 'everybody' | 'root'): Promise<void> => {
      const control = await openControlServer({
        path: path.join(options.runDir, name),
        openTo,
        maxBodyBytes: maxRequestBytes,
        interactiveHeader,
        admit: (peer) => desk.admits(peer),
        handle,
        onError: (error) => log.error(`control: ${messageOf(error)}`),
      });
      controls.push(control);
    };
    await listen(rootSocketName, 'root');
    await listen(path.basename(defaultSocketPath), 'everybody');
    notifyService('READY=1');
    keepServiceStatus({ connections: () => daemon.overview.connections(), subscribe: (watcher) => daemon.subscribe(watcher) });
    keepMemorySmall(daemon);
    keepServiceWatchdog();
    log.info('ready');
    log.info(`${await asked} received`);
    notifyService('STOPPING=1');
  } finally {
    for (const control of controls) await control.close();
    await life.stop();
  }
  log.info('stopped');
}

function accessFacts(daemon: Daemon, settings: SettingsFile): AccessFacts {
  return {
    group: () => groupId(settings.current.group),
    adminGroup: () => {
      const { adminGroup } = settings.current;
      return adminGroup === undefined ? undefined : groupId(adminGroup);
    },
    mayAnswer: (uid) => daemon.wishes.mayAnswer(uid),
    mayOpenPortal: (uid) => daemon.portal.mayOpen(uid),
    ownerOf: (name) => daemon.store.ownerOf(name)?.uid,
    ownsAny: (uid) => daemon.store.owns(uid),
  };
}

async function cleanUpOnly(options: DaemonOptions, log: Log): Promise<void> {
  removeProxyNotice(options.runDir);
  // Copies of what users had brought.
  rmSync(path.join(options.runDir, 'users'), { recursive: true, force: true });
  const { rules, routes, devices, resolver, problems } = await cleanUp({
    stateDirectory: options.stateDir,
    runDirectory: options.runDir,
  });
  // systemd.exec(5): after a crash what refuses stays for the next start; whoever asks for a clean-up by hand means all of it.
  const crashed = (process.env['SERVICE_RESULT'] ?? 'success') !== 'success';
  const left = [...problems, ...(crashed ? [] : await linuxFilters(options).cleanUp())];
  await openLocks(options, log);
  log.info(`removed: ${rules} rules, ${routes} routes, devices ${devices.join(' ') || '–'}; resolver: ${resolver}`);
  for (const what of left) log.error(`could not be removed: ${what}`);
  if (left.length > 0) process.exitCode = exitCode.failed;
}

async function openLocks(options: DaemonOptions, log: Log): Promise<void> {
  if (options.releaseLockdown) {
    const names = await releaseAll(options, 'aovpnd --clean-up --release-lockdown', log);
    log.warn(`LockDown released: ${names.join(', ') || 'no profile has it'}; until: aovpn lockdown engage NAME`);
  } else if (await isLockdownInForce())
    log.warn('LockDown stays in force, traffic is blocked; root opens it with: aovpnd --clean-up --release-lockdown');
}

/**
 * The first thing of the machine: see systemd/aovpn-lockdown.service. Nothing that is amiss with directories keeps it from locking: what can be read
 * decides, and only a daemon that runs already knows better.
 */
async function blockOnly(options: DaemonOptions, log: Log): Promise<void> {
  if (process.geteuid?.() !== 0) throw new DaemonError('AOV-DAEMON-504');
  process.umask(0o022);
  let lock: InstanceLock | undefined;
  try {
    mkdirSync(options.runDir, { recursive: true, mode: 0o755 });
    lock = lockInstance(path.join(options.runDir, 'aovpnd.lock'));
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === 'AOV-HOST-401') return log.info('a daemon runs, and sees to LockDown');
    log.warn(messageOf(error));
  }
  try {
    await lockNow(options, log);
  } finally {
    lock?.release();
  }
}

async function lockNow(options: DaemonOptions, log: Log): Promise<void> {
  const plan = await blockEarly(options, log);
  if (!plan) return log.info('no profile has LockDown, or root has released it');
  log.info(`LockDown is in force: ${plan.because.map(formatBecause).join(', ')}`);
}

/** What must be so before anything is touched. @throws {DaemonError} AOV-DAEMON-503 to 505 */
function checkMachine({ configDir, stateDir, runDir, task }: DaemonOptions): void {
  if (process.geteuid?.() !== 0) throw new DaemonError('AOV-DAEMON-504');
  if (task === 'run') {
    try {
      accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    } catch (error) {
      throw new DaemonError('AOV-DAEMON-505', undefined, error);
    }
  }
  // Files with secrets are made with their mode; this is for whatever else is made.
  process.umask(0o022);
  for (const [directory, mode] of [
    [configDir, 0o755],
    [stateDir, 0o700],
    [runDir, 0o755],
  ] as const) {
    try {
      mkdirSync(directory, { recursive: true, mode });
      const facts = statSync(directory);
      if (!facts.isDirectory()) throw new Error('it is not a directory');
      if (facts.uid !== 0) throw new Error(`it belongs to user ${facts.uid}`);
      if ((facts.mode & 0o022) !== 0) throw new Error('others than root can write to it');
      if (directory === stateDir) chmodSync(stateDir, 0o700);
    } catch (error) {
      throw new DaemonError('AOV-DAEMON-503', `${directory}: ${messageOf(error)}`, error);
    }
  }
}

function fail(log: Log, error: unknown): void {
  if (error instanceof Error && 'code' in error && 'what' in error && 'cure' in error) {
    const { code, what, cure } = error as Error & { readonly code: unknown; readonly what: unknown; readonly cure: unknown };
    // One line would hide the places in a settings file.
    process.stderr.write(`aovpnd: ${String(what)} [${String(code)}]\n${String(cure)}\n`);
    process.exitCode = code === 'AOV-HOST-401' ? exitCode.running : exitCode.failed;
    return;
  }
  log.error(stackOf(error));
  process.exitCode = exitCode.failed;
}
