import type { CryptographySuite, EapSettings, Located, NativeProfile, Profile } from '@aovpn/profile';

/** A value as if it stood on this line. */
export function on<T>(line: number, value: T): Located<T> {
  return { value, at: { line, column: 1 } };
}

export function profile(native: Partial<NativeProfile> = {}, changes: Partial<Profile> = {}): Profile {
  return {
    appTriggers: [],
    domainNameInformation: [],
    trafficFilters: [],
    routes: [],
    unknown: [],
    nativeProfile: {
      at: { line: 2, column: 1 },
      servers: on(3, [{ host: 'vpn.example' }]),
      nativeProtocolType: on(4, 'IKEv2'),
      authentication: { at: { line: 5, column: 1 }, machineMethod: on(6, 'Certificate') },
      ...native,
    },
    ...changes,
  };
}

export function eapProfile(eap: EapSettings): Profile {
  return profile({ authentication: { at: { line: 5, column: 1 }, userMethod: on(6, 'EAP'), eap: on(7, eap) } });
}

type Words = { readonly [K in keyof Omit<CryptographySuite, 'at'>]: NonNullable<CryptographySuite[K]>['value'] };

/** Each element on a line of its own, from 20 on. */
export function suiteOf(words: Words): CryptographySuite {
  const located = Object.entries(words).map(([name, value], i) => [name, on(20 + i, value)]);
  return { at: { line: 19, column: 1 }, ...Object.fromEntries(located) } as CryptographySuite;
}
