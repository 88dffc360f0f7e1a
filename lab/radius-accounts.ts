import type { Pki } from './pki/pki.ts';
import type { FreeRadiusOptions, RadiusUser } from './server/freeradius.ts';
import type { HostapdOptions } from './server/hostapd-radius.ts';
import { users } from './stage.ts';

/** Whom RADIUS servers know beside {@link users}: one account for each trouble that an account can be in. */
export const accounts = {
  /** Has left the company. */
  dave: { password: 'dave was here', account: 'disabled' },
  /** Has not changed the password in time. */
  erin: { password: 'Summer-2019', account: 'password-expired' },
  /** Has guessed too often. */
  lou: { password: 'lou and lou', account: 'locked-out' },
  /** Is allowed a certificate only. */
  carol: { password: 'carol sings', method: 'TLS' },
} as const satisfies Readonly<Record<string, RadiusUser>>;

/** FreeRADIUS as most stories want it: a good certificate of the RADIUS authority, users below the company's root, all accounts. */
export function freeRadiusOptions(pki: Pki): FreeRadiusOptions {
  const plain = Object.entries(users).map(([name, password]) => [name, { password }] as const);
  return {
    certificate: pki.radius(),
    authorities: [pki.root.certificatePem],
    users: { ...Object.fromEntries(plain), ...accounts },
  };
}

/** hostapd's server as most stories want it. */
export function hostapdOptions(pki: Pki): HostapdOptions {
  return { certificate: pki.radius(), authorities: [pki.root.certificatePem], users };
}
