import type { HostErrorEntry } from '../host-error.ts';

/** What can go wrong with routes, rules, addresses and the resolver: 300–399. */
export const networkErrors = [
  { code: 'AOV-HOST-300', title: 'The kernel’s routing interface cannot be used', cure: 'Run as root, or with CAP_NET_ADMIN.' },
  {
    code: 'AOV-HOST-301',
    title: 'The tunnel’s device is gone',
    cure: 'Connect again; the device is made anew. If it stays away, check that /dev/net/tun exists.',
  },
  {
    code: 'AOV-HOST-302',
    title: 'The kernel refused a part of the plan; the routing before it was put back',
    cure: 'Look at the command in the message; `aovpn doctor` checks the usual causes (IPv6 switched off, no CAP_NET_ADMIN).',
  },
  {
    code: 'AOV-HOST-303',
    title: 'The kernel refused a part of the plan, and the routing before it could not be put back',
    cure: 'Run: aovpn down NAME, then aovpn up NAME. What is true now stands in the message.',
  },
  {
    code: 'AOV-HOST-304',
    title: 'Somebody else changes our routes or rules',
    cure: 'Another program removes or adds routes in our table (7296) or rules at our priorities (7200–7299); stop it from doing so.',
  },
  {
    code: 'AOV-HOST-310',
    title: 'Our stub resolver cannot listen',
    cure: 'Another resolver holds port 53 of our loopback address; restrict it to its own address.',
  },
  {
    code: 'AOV-HOST-311',
    title: 'resolv.conf cannot be written',
    cure: 'Check that its file system is writable and that it is not immutable (lsattr).',
  },
  {
    code: 'AOV-HOST-312',
    title: 'The resolver journal cannot be written or read',
    cure: 'Check that the state directory is writable and not full.',
  },
  {
    code: 'AOV-HOST-313',
    title: 'systemd-resolved refuses our name rules',
    cure: 'Check: systemctl status systemd-resolved; busctl status org.freedesktop.resolve1',
  },
  {
    code: 'AOV-HOST-320',
    title: 'The proxy script cannot be served',
    cure: 'Another program holds port 996 of 127.0.0.96; restrict it to its own address.',
  },
] as const satisfies readonly HostErrorEntry[];

type NetworkErrorCode = (typeof networkErrors)[number]['code'];

/** The advice of the table for one code. */
export function networkCure(code: NetworkErrorCode): string {
  return networkErrors.find((entry) => entry.code === code)!.cure;
}
