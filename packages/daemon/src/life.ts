import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { EncryptedResolverState } from '@aovpn/host';
import { isSettled, startSupervisor } from '@aovpn/supervisor';
import type { Daemon } from './daemon.ts';
import { DaemonError } from './daemon-error.ts';
import { DirectoryWatch } from './directory-watch.ts';
import { tellResolver } from './encrypted-dns.ts';
import { messageOf } from './problem-error.ts';
import { weaknessOf } from './profile-store.ts';
import { removeProxyNotice } from './proxy-publisher.ts';
import { WakeWatch } from './wake-watch.ts';

/** Files are watched; what nobody tells of, such as a card in a reader, is looked for this often while a connection may be waiting for it. Milliseconds. */
const rescanInterval = { wanting: 10_000, settled: 300_000 } as const;
/** How long goodbyes and clearing away may take at the end, milliseconds. */
const stopPatience = 15_000;

/** The life of the daemon from its start to its end: what an earlier one left is cleared away, what happens is heard, and nothing is left behind. */
export class Life {
  readonly #watches: { close(): void }[] = [];
  readonly #daemon: Daemon;

  constructor(daemon: Daemon) {
    this.#daemon = daemon;
  }

  async start(): Promise<void> {
    const daemon = this.#daemon;
    await mkdir(daemon.profilesDir, { recursive: true, mode: 0o755 });
    const weakness = await weaknessOf(daemon.profilesDir);
    if (weakness !== undefined) throw new DaemonError('AOV-DAEMON-503', weakness);
    removeProxyNotice(daemon.options.runDir);
    const left = await daemon.platform.network.cleanUp();
    if (left.rules + left.routes + left.devices.length + left.ipsec > 0 || left.resolver === 'restored') {
      daemon.log.warn(
        `cleared away what an earlier run left: ${left.rules} rules, ${left.routes} routes, devices ${left.devices.join(' ') || '–'}, ${left.ipsec} IPsec SAs and policies, resolver ${left.resolver}`,
      );
    }
    for (const what of left.problems) daemon.log.error(`could not be cleared away: ${what}`);
    await daemon.users.start();
    const held = await daemon.held.read();
    daemon.loop.begin(startSupervisor(held, await daemon.places.read()));
    daemon.holdEnds.take(held);
    await daemon.portal.start();
    await daemon.lockdown.read();
    await daemon.tickets.load();
    await daemon.network.read();
    await daemon.rescan();
    // Also without any profile: a lock that nothing asks for any more goes. What profiles say decides, not whether their plan could be applied.
    if (!daemon.lockdown.isWantedBy(daemon.intents().values())) await daemon.lockdown.apply(undefined);
    // What guards forced apps is replaced by the first plan in one go, not removed before: they had a moment in the open otherwise.
    if (daemon.traffic.state.state === 'off')
      for (const what of await daemon.platform.filters.cleanUp()) daemon.log.error(`could not be cleared away: ${what}`);
    daemon.deeds.heedPortal();
    this.#watch();
  }

  /** Says goodbye to every gateway and leaves nothing behind. Resolves in any case. */
  async stop(): Promise<void> {
    const daemon = this.#daemon;
    const { deeds } = daemon;
    if (deeds.stopping) return await deeds.stopped;
    deeds.stopping = true;
    daemon.log.info('stopping');
    daemon.configuration.close();
    await daemon.users.close();
    for (const watch of this.#watches) watch.close();
    daemon.prompts.close();
    daemon.enrolments.close();
    await daemon.portal.stop();
    const patience = setTimeout(() => {
      daemon.log.error('a tunnel did not end in time');
      deeds.giveUp();
    }, stopPatience);
    daemon.loop.say({ kind: 'stop' });
    await deeds.stopped;
    await daemon.tickets.settled();
    clearTimeout(patience);
    daemon.loop.close();
    await this.abandon('remove');
  }

  /** The promised state by the shortest way: after a bug, or as the last step of an orderly end. */
  async abandon(guards: 'remove' | 'keep'): Promise<void> {
    const daemon = this.#daemon;
    try {
      await daemon.plans.clear(guards);
      await daemon.lockdown.close();
      await daemon.candidates.close();
      await daemon.tunnels.closeAll();
      await daemon.platform.network.close();
    } catch (error) {
      daemon.log.error(`clearing away failed: ${messageOf(error)}; "aovpnd --clean-up" tries again`);
    }
    daemon.registrar.close();
    daemon.nameRoutes.close();
    await daemon.proxies.follow(undefined);
    daemon.platform.asker.close();
  }

  #watch(): void {
    const daemon = this.#daemon;
    const rescan = (): void => void daemon.rescan().catch(() => {});
    const appDirectories = ['apps.d', 'sids.d'].map((name) => path.join(daemon.options.configDir, name));
    const files = new DirectoryWatch({
      directories: () => [
        daemon.options.configDir,
        daemon.profilesDir,
        ...appDirectories,
        ...daemon.users.directories(),
        ...daemon.candidates.directories(),
      ],
      onChange: rescan,
      pollMs: () => (isSettled(daemon.loop.state) ? rescanInterval.settled : rescanInterval.wanting),
    });
    daemon.files = files;
    daemon.network.watch();
    const wake = new WakeWatch({
      platform: daemon.platform.wake,
      log: daemon.log,
      onWake: () => {
        daemon.holdEnds.look();
        void daemon.enrolments.look();
        daemon.loop.say({ kind: 'clock-jump' });
        daemon.network.look();
      },
    });
    wake.watch();
    this.#watches.push(
      files,
      wake,
      daemon.users.watch(),
      daemon.holdEnds,
      daemon.triggers,
      daemon.platform.network.watchTriggers((profile, rule) => daemon.triggers.asked(profile, rule)),
      daemon.platform.network.watchResolvers((state) => this.#resolverChanged(state)),
      daemon.network,
      daemon.trusted,
      daemon.plans.watch(),
    );
  }

  #resolverChanged(state: EncryptedResolverState): void {
    const daemon = this.#daemon;
    tellResolver(daemon.log, state);
    for (const name of daemon.store.names()) daemon.board.publish(name);
  }
}
