import type { HostErrorEntry } from '../host-error.ts';

/** What can go wrong with traffic filters, app cgroups, the exec watch and socket marks: 600–699. */
export const filterErrors = {
  noCgroup: {
    code: 'AOV-HOST-600',
    title: 'This system has no cgroup v2 hierarchy that can be used',
    cure: 'Apps cannot be told apart without it: boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1), or remove the app filters.',
  },
  cgroupRefused: {
    code: 'AOV-HOST-601',
    title: 'The cgroup of an app cannot be made, read or removed',
    cure: 'Run the daemon as root in the first cgroup namespace; look at the path in the message.',
  },
  noExecWatch: {
    code: 'AOV-HOST-602',
    title: 'The kernel does not tell us when a program is started',
    cure: 'Needs Linux 5.0 with CONFIG_FANOTIFY_ACCESS_PERMISSIONS, and CAP_SYS_ADMIN. Apps that filters name are refused meanwhile.',
  },
  execWatchFailed: {
    code: 'AOV-HOST-603',
    title: 'The exec watch stopped',
    cure: 'Apps started from now on are refused on tunnels with filters until it runs again; please report it with the log.',
  },
  markRefused: {
    code: 'AOV-HOST-604',
    title: 'The kernel refuses the program that marks the sockets of an app',
    cure: 'Needs CONFIG_CGROUP_BPF, CAP_BPF and CAP_NET_ADMIN, and no other program that claims the cgroup for itself (bpftool cgroup tree).',
  },
  noNft: {
    code: 'AOV-HOST-605',
    title: 'The program nft cannot be run',
    cure: 'Install the package nftables.',
  },
  rulesetRefused: {
    code: 'AOV-HOST-606',
    title: 'The kernel or nft refused the ruleset; the one before stays in force',
    cure: 'The line of the ruleset stands in the message; `aovpn plan PROFILE` shows the ruleset.',
  },
  rulesetUnreadable: {
    code: 'AOV-HOST-607',
    title: 'The ruleset cannot be read back',
    cure: 'Run: nft list table inet aovpn. The kernel log may say why.',
  },
  sysctlRefused: {
    code: 'AOV-HOST-608',
    title: 'A kernel setting that the plan needs cannot be written',
    cure: 'In a container, set it outside; the name stands in the message.',
  },
  blocked: {
    code: 'AOV-HOST-609',
    title: 'Filters could not be applied nor put back: the tunnels are blocked',
    cure: 'Nothing passes through our tunnels now. Look at the message; `aovpn down NAME` and `aovpn up NAME` try again.',
  },
  notBlocked: {
    code: 'AOV-HOST-610',
    title: 'Filters could not be applied nor put back, and the tunnels could not be blocked',
    cure: 'Take the tunnels down: aovpn down NAME. Traffic may pass them unfiltered until then.',
  },
} as const satisfies Record<string, HostErrorEntry>;

export type FilterErrorName = keyof typeof filterErrors;
