import { setTimeout as sleep } from 'node:timers/promises';
import type { WatchedLinks } from '@aovpn/host';
import type { FollowedConnection } from './follow-daemon.ts';
import type { NetworkChanger } from './network-changer.ts';

/** What the test does to the machine, in the order in which it does it. */
export const allSteps = ['rekey', 'roam', 'cut', 'silence', 'kill', 'restart'] as const;
export type StepName = (typeof allSteps)[number];
/** The daemon is left alone unless somebody asks. */
export const defaultSteps: readonly StepName[] = ['rekey', 'roam', 'cut', 'silence', 'kill'];

export interface StepContext {
  readonly connection: FollowedConnection;
  readonly changer: NetworkChanger;
  readonly links: () => WatchedLinks;
  readonly rekey: () => Promise<void>;
  /** @throws where nobody restarts it */
  readonly restartDaemon: () => Promise<void>;
  readonly signal: AbortSignal;
}

/** What each step does, for people. */
export const stepTitles: { readonly [S in StepName]: string } = {
  rekey: 'new keys',
  roam: 'the address is gone and comes back',
  cut: 'the cable is out and in again',
  silence: 'the gateway cannot be reached',
  kill: 'the tunnel’s device is deleted',
  restart: 'the daemon is killed and started again',
};

/** How long each state is held, milliseconds: long enough for the first retransmissions. */
const hold = 1_500;
/** How long the silence of the gateway may go unnoticed, milliseconds. */
const silencePatience = 20_000;

/** Performs one step. Resolves to why it was left out, if it was. @throws what the machine says when a change is refused */
export async function performStep(step: StepName, context: StepContext): Promise<string | undefined> {
  const { connection, changer, links, signal } = context;
  const pause = (milliseconds: number): Promise<void> => sleep(milliseconds, undefined, { signal }).catch(() => {});
  switch (step) {
    case 'rekey':
      await context.rekey();
      await pause(hold);
      return undefined;
    case 'roam':
    case 'cut': {
      const device = links().defaultRoutes[0]?.device;
      if (device === undefined) return 'there is no way out of this machine';
      const undo = await changer.change({ op: step === 'cut' ? 'cut' : 'readdress', device });
      await pause(hold);
      await undo();
      return undefined;
    }
    case 'silence': {
      const address = connection.status?.gateway.address;
      if (address === undefined) return 'the gateway’s address is not known';
      const undo = await changer.change({ op: 'silence', addresses: [address] });
      await connection.until(({ state }) => state !== 'up', silencePatience);
      await pause(hold);
      await undo();
      return undefined;
    }
    case 'kill': {
      const device = connection.status?.device;
      if (device === undefined) return 'the tunnel has no device';
      await changer.change({ op: 'drop-device', device });
      await pause(hold);
      return undefined;
    }
    case 'restart':
      await context.restartDaemon();
      return undefined;
  }
}
