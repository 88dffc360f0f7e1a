/** What stops the daemon from starting or a request from being done, apart from what the host room says itself. */
export const daemonErrors = [
  {
    code: 'AOV-DAEMON-501',
    title: 'The settings file has errors',
    cure: 'Correct the lines named; docs/settings.md lists every setting.',
  },
  {
    code: 'AOV-DAEMON-502',
    title: 'The settings file cannot be read',
    cure: 'Check that it is a regular file, readable by root.',
  },
  { code: 'AOV-DAEMON-503', title: 'A directory cannot be used', cure: 'Create it as root, writable by root only.' },
  { code: 'AOV-DAEMON-504', title: 'The daemon needs root', cure: 'Start it as root: systemctl start aovpn' },
  {
    code: 'AOV-DAEMON-505',
    title: 'There is no TUN device here',
    cure: 'Load the module (modprobe tun); in a container, give it /dev/net/tun.',
  },
  { code: 'AOV-DAEMON-506', title: 'The command line is wrong', cure: 'See: aovpnd --help' },
  {
    code: 'AOV-DAEMON-510',
    title: 'You may not do that',
    cure: 'Become root, or ask to be put into the group of the daemon; docs/control-socket.md says who may do what.',
  },
  {
    code: 'AOV-DAEMON-511',
    title: 'There is no such request',
    cure: 'The daemon and whoever asks it should be of the same version.',
  },
  { code: 'AOV-DAEMON-512', title: 'There is no profile of that name', cure: 'See: aovpn profile list' },
  {
    code: 'AOV-DAEMON-513',
    title: 'The request is not as the contract says',
    cure: 'The daemon and whoever asks it should be of the same version.',
  },
  {
    code: 'AOV-DAEMON-514',
    title: 'The name cannot be a profile name',
    cure: 'Use 1 to 100 printable characters without "/", not beginning with a dot, not ending with a blank, ".ca", ".radius-ca" or ".p12".',
  },
  {
    code: 'AOV-DAEMON-515',
    title: 'The profile has errors and was not put into force',
    cure: 'Correct the lines named; what was in force still is.',
  },
  {
    code: 'AOV-DAEMON-516',
    title: 'The profile could not be written',
    cure: 'Check free space and permissions of the configuration directory; what was in force still is.',
  },
  {
    code: 'AOV-DAEMON-517',
    title: 'Too many profiles',
    cure: 'Remove some; there may be 64 of the machine, and 16 of each user.',
  },
  {
    code: 'AOV-DAEMON-518',
    title: 'The profile file cannot be read',
    cure: 'It must be a regular file of at most 8 MiB, readable by root.',
  },
  {
    code: 'AOV-DAEMON-519',
    title: 'You may not answer for this machine',
    cure: 'Root may, and whoever prompt-users in aovpn.toml names.',
  },
  {
    code: 'AOV-DAEMON-520',
    title: 'Nobody waits for that answer any more',
    cure: 'Somebody else answered, or it took too long. See: aovpn prompt --list',
  },
  {
    code: 'AOV-DAEMON-521',
    title: 'Keys may not be exported on this machine',
    cure: 'Set allow-key-export = true in [daemon] of aovpn.toml for as long as it is needed. Whoever has the keys reads everything.',
  },
  {
    code: 'AOV-DAEMON-550',
    title: 'The connection is not up',
    cure: 'Bring it up first: aovpn up NAME. `aovpn status NAME` says why it is not.',
  },
  {
    code: 'AOV-DAEMON-540',
    title: 'A connection with LockDown cannot be put down',
    cure: 'Its way out is: aovpn lockdown release NAME (root).',
  },
  {
    code: 'AOV-DAEMON-541',
    title: 'A profile with LockDown cannot be removed',
    cure: 'Release it first: aovpn lockdown release NAME (root).',
  },
  {
    code: 'AOV-DAEMON-542',
    title: 'The file of a profile with LockDown is gone; its last good version stays in force',
    cure: 'Put the file back, or release it: aovpn lockdown release NAME (root).',
  },
  { code: 'AOV-DAEMON-543', title: 'This profile has no LockDown', cure: 'See: aovpn status' },
  {
    code: 'AOV-DAEMON-551',
    title: 'There is no need to open the way to a captive portal',
    cure: 'The tunnel is up, or no connection that holds traffic inside is wanted: use any browser. See: aovpn status',
  },
  {
    code: 'AOV-DAEMON-552',
    title: 'That process cannot be let out',
    cure: 'It must be a waiting child of the command that asks, of the same user: let aovpn portal open start it.',
  },
  {
    code: 'AOV-DAEMON-560',
    title: 'A profile of a user cannot have this',
    cure: 'DeviceTunnel and LockDown are the machine’s: put such a profile into profiles.d.',
  },
  {
    code: 'AOV-DAEMON-561',
    title: 'A tunnel for one user cannot have this',
    cure: 'What starts with programs or forces them concerns everybody here: leave it out, or let root set scope = "machine" for this profile.',
  },
  {
    code: 'AOV-DAEMON-562',
    title: 'Profiles of users are files, not requests',
    cure: 'Root keeps them in users.d/USER beside aovpn.toml, users in ~/.config/aovpn/profiles.d where own-files allows it.',
  },
  {
    code: 'AOV-DAEMON-563',
    title: 'The files of a user could not be read',
    cure: 'At most 16 profiles, 1 MiB a file and 8 MiB in all; regular files of that user, no links. See docs/users.md.',
  },
  {
    code: 'AOV-DAEMON-564',
    title: 'You cannot sign in or out for somebody else',
    cure: 'Root may (from PAM): aovpn session open USER. Without a name it is yourself.',
  },
  {
    code: 'AOV-DAEMON-565',
    title: 'The gateway of a user gave an address that is not theirs to have',
    cure: 'A user’s own tunnel may have private addresses only, and none that this machine, its networks or another tunnel has. Let root install the profile in users.d.',
  },
  {
    code: 'AOV-DAEMON-570',
    title: 'There is no enrolment of that name',
    cure: 'See: aovpn certificate list. Each is a table [enrol."NAME"] of aovpn.toml.',
  },
  {
    code: 'AOV-DAEMON-571',
    title: 'There is no valid certificate that could renew itself',
    cure: 'Enrol instead: aovpn certificate enrol NAME --secret',
  },
  {
    code: 'AOV-DAEMON-572',
    title: 'The file of authorities that ca names in [enrol] is not there',
    cure: 'Put the certificate of whoever the enrolment server comes from into it (PEM).',
  },
  {
    code: 'AOV-DAEMON-573',
    title: 'There is no secret to enrol with',
    cure: 'Give one: aovpn certificate enrol NAME --secret. Or set secret-file, secret-credential or certificate in [enrol].',
  },
  {
    code: 'AOV-DAEMON-553',
    title: 'You may not open the way to a captive portal',
    cure: 'Root may, and whoever users of [portal] in aovpn.toml names.',
  },
  {
    code: 'AOV-DAEMON-554',
    title: 'polkit wants a password for that, and cannot ask for it here',
    cure: 'Run it in a session of your desktop, start pkttyagent beside it, or become root.',
  },
] as const;

export type DaemonErrorCode = (typeof daemonErrors)[number]['code'];

/** `what` says what happened to what; the cure is the table's. */
export class DaemonError extends Error {
  override readonly name = 'DaemonError';
  readonly code: DaemonErrorCode;
  readonly what: string;
  readonly cure: string;

  constructor(code: DaemonErrorCode, detail?: string, cause?: unknown) {
    const row = daemonErrors.find((entry) => entry.code === code)!;
    const what = detail ? `${row.title}: ${detail}` : row.title;
    super(`${code}: ${what}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.what = what;
    this.cure = row.cure;
  }
}
