import type { Command } from './command.ts';
import type * as FurtherCommands from './further-commands.ts';
import { down } from './command/down.ts';
import { status } from './command/status.ts';
import { up } from './command/up.ts';

/** A command that is not loaded yet. */
export interface CommandEntry {
  /** {@link Command.name} */
  readonly name: string;
  load(): Promise<Command>;
}

const atHand = (command: Command): CommandEntry => ({ name: command.name, load: () => Promise.resolve(command) });
/** With what it needs of Node that would be half of a start. */
const later = (name: string, pick: (all: typeof FurtherCommands) => Command): CommandEntry => ({
  name,
  load: async () => pick(await import('./further-commands.ts')),
});

/** All commands, in the order in which help lists them. What people type while they wait for a tunnel is at hand. */
export const program: readonly CommandEntry[] = [
  atHand(status),
  atHand(up),
  atHand(down),
  later('rekey', ({ rekey }) => rekey),
  later('wait-online', ({ waitOnline }) => waitOnline),
  later('lockdown release', ({ lockdownRelease }) => lockdownRelease),
  later('lockdown engage', ({ lockdownEngage }) => lockdownEngage),
  later('prompt', ({ prompt }) => prompt),
  later('portal status', ({ portalStatus }) => portalStatus),
  later('portal open', ({ portalOpen }) => portalOpen),
  later('portal close', ({ portalClose }) => portalClose),
  later('profile add', ({ profileAdd }) => profileAdd),
  later('profile list', ({ profileList }) => profileList),
  later('profile show', ({ profileShow }) => profileShow),
  later('profile lint', ({ profileLint }) => profileLint),
  later('profile remove', ({ profileRemove }) => profileRemove),
  later('certificate list', ({ certificateList }) => certificateList),
  later('certificate enrol', ({ certificateEnrol }) => certificateEnrol),
  later('certificate renew', ({ certificateRenew }) => certificateRenew),
  later('explain', ({ explain }) => explain),
  later('explain certificate', ({ explainCertificate }) => explainCertificate),
  later('plan', ({ plan }) => plan),
  later('diff', ({ diff }) => diff),
  later('app list', ({ appList }) => appList),
  later('app which', ({ appWhich }) => appWhich),
  later('app learn', ({ appLearn }) => appLearn),
  later('doctor', ({ doctor }) => doctor),
  later('leaktest', ({ leaktest }) => leaktest),
  later('env', ({ env }) => env),
  later('session', ({ session }) => session),
  later('session open', ({ sessionOpen }) => sessionOpen),
  later('session close', ({ sessionClose }) => sessionClose),
  later('logs', ({ logs }) => logs),
  later('trace', ({ trace }) => trace),
  later('completion', ({ completion }) => completion),
  later('man', ({ man }) => man),
];

/** The whole program, for what is made from it: help, the manual page, completion. */
export function loadProgram(): Promise<readonly Command[]> {
  return Promise.all(program.map((entry) => entry.load()));
}
