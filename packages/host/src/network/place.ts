/** Where programs look for their resolver. */
export const defaultResolvConf = '/etc/resolv.conf';
/** Where the resolver journal lives; it outlives a reboot, as resolv.conf does. */
export const defaultStateDirectory = '/var/lib/aovpn';
/** What must not outlive a reboot. */
export const defaultRunDirectory = '/run/aovpn';
