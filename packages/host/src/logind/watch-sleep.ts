import { watchService } from '../dbus/watch-service.ts';

export interface SleepWatchOptions {
  /** `asleep`: the machine is about to sleep; otherwise it is awake again. */
  readonly onSleep: (asleep: boolean) => void;
  /** Where the bus listens; otherwise the system bus. */
  readonly socket?: () => string | undefined;
}

/**
 * What logind says about sleep (org.freedesktop.login1(5), PrepareForSleep). It is told to nobody that we would like to wait: a gateway
 * that hears no goodbye keeps the tunnel, which is what one wants to find after a short sleep, and no key has to be put away first. So no
 * inhibitor is taken.
 */
export function watchSleep({ onSleep, socket }: SleepWatchOptions): { close(): void } {
  return watchService({
    service: 'org.freedesktop.login1',
    signals: [{ interface: 'org.freedesktop.login1.Manager', member: 'PrepareForSleep', path: '/org/freedesktop/login1' }],
    ...(socket && { socket }),
    onSignal: ({ signature, values }) => {
      if (signature === 'b') onSleep(values[0] === true);
    },
  });
}
