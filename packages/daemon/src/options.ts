import { parseArgs } from 'node:util';
import type { LogLevel } from '@aovpn/api';
import { DaemonError } from './daemon-error.ts';

export interface DaemonOptions {
  readonly configDir: string;
  readonly stateDir: string;
  readonly runDir: string;
  /** Name of the cgroup that holds those of the apps. */
  readonly cgroup: string;
  readonly logLevel: LogLevel;
  readonly logFormat: 'text' | 'json';
  readonly task: 'run' | 'help' | 'version' | 'clean-up' | 'block';
  /** Only with `clean-up`. */
  readonly releaseLockdown: boolean;
}

export const defaultCgroup = 'aovpn';

const levels: readonly string[] = ['error', 'warn', 'info', 'debug'] satisfies readonly LogLevel[];

export const helpText = `aovpnd: keeps the Always On VPN connections of this machine

Usage: aovpnd [options]

  --config-dir DIR    profiles.d/*.xml, credentials and aovpn.toml (/etc/aovpn)
  --state-dir DIR     what must survive a restart (/var/lib/aovpn)
  --run-dir DIR       control socket and lock (/run/aovpn)
  --cgroup NAME       cgroup that holds those of the apps, below the root of cgroup v2 (aovpn)
  --log-level LEVEL   error, warn, info or debug (info)
  --log-format FORM   text or json (text)
  --block             put LockDown of the profiles into force, and end; needs no network
  --clean-up          remove what a killed daemon left behind, LockDown excepted, and end
  --release-lockdown  with --clean-up: release LockDown of every profile as well
  --version           print the version, and end
  --help              print this, and end

Exit codes: 0 stopped as asked, 1 failed, 2 wrong command line, 3 another daemon runs.
`;

/** @throws {DaemonError} AOV-DAEMON-506 */
export function parseOptions(args: readonly string[]): DaemonOptions {
  try {
    const { values } = parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: false,
      options: {
        'config-dir': { type: 'string', default: '/etc/aovpn' },
        'state-dir': { type: 'string', default: '/var/lib/aovpn' },
        'run-dir': { type: 'string', default: '/run/aovpn' },
        cgroup: { type: 'string', default: defaultCgroup },
        'log-level': { type: 'string', default: 'info' },
        'log-format': { type: 'string', default: 'text' },
        'clean-up': { type: 'boolean', default: false },
        block: { type: 'boolean', default: false },
        'release-lockdown': { type: 'boolean', default: false },
        version: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (!levels.includes(values['log-level'])) throw new TypeError(`--log-level takes ${levels.join(', ')}`);
    if (values['log-format'] !== 'text' && values['log-format'] !== 'json')
      throw new TypeError('--log-format takes text or json');
    for (const name of ['config-dir', 'state-dir', 'run-dir'] as const) {
      if (!values[name].startsWith('/')) throw new TypeError(`--${name} takes an absolute path`);
    }
    if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(values.cgroup))
      throw new TypeError('--cgroup takes a name of letters, digits, _ and -');
    if (values['release-lockdown'] && !values['clean-up']) throw new TypeError('--release-lockdown goes with --clean-up');
    if (values.block && values['clean-up']) throw new TypeError('--block and --clean-up exclude each other');
    return {
      configDir: values['config-dir'],
      stateDir: values['state-dir'],
      runDir: values['run-dir'],
      cgroup: values.cgroup,
      logLevel: values['log-level'] as LogLevel,
      logFormat: values['log-format'],
      task: values.help ? 'help' : values.version ? 'version' : values['clean-up'] ? 'clean-up' : values.block ? 'block' : 'run',
      releaseLockdown: values['release-lockdown'],
    };
  } catch (error) {
    throw new DaemonError('AOV-DAEMON-506', (error as Error).message, error);
  }
}
