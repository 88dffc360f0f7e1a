import process from 'node:process';
import type { Host } from '../host.ts';
import type { Authority } from '../pki/authority.ts';
import type { Running } from '../running.ts';
import { inUnpacked } from '../unpacked.ts';

const port = 14_000;
const managementPort = 15_000;

export interface PebbleLab {
  /** Of its directory. */
  readonly url: string;
  /** The authority that issues, PEM. */
  readonly rootPem: string;
  readonly running: Running;
}

export interface PebbleSettings {
  /** Of its https server, and where it listens. */
  readonly name: string;
  readonly address: string;
  /** MAC keys of external accounts, base64url, by their identifiers. */
  readonly accounts: Readonly<Record<string, string>>;
  /** The name server that it asks for proofs. */
  readonly dns: string;
  readonly lifetimeSeconds: number;
}

/**
 * Let's Encrypt's ACME server for tests, with an authority of its own, on one host. As it comes it refuses one nonce in twenty, and uses every second proof again; only
 * its sleeps of several seconds are off.
 * @param tls where its https certificate comes from
 */
export async function startPebble(host: Host, tls: Authority, settings: PebbleSettings): Promise<PebbleLab> {
  const { name, address, accounts, dns, lifetimeSeconds } = settings;
  const server = tls.issue({ commonName: name, dns: [name], usages: ['serverAuth'] });
  host.write('/run/pebble.pem', server.chainPem);
  host.write('/run/pebble.key', server.keyPem, 0o600);
  const pebble = {
    listenAddress: `${address}:${port}`,
    managementListenAddress: `${address}:${managementPort}`,
    certificate: '/run/pebble.pem',
    privateKey: '/run/pebble.key',
    httpPort: 5002,
    tlsPort: 5001,
    externalAccountBindingRequired: true,
    externalAccountMACKeys: accounts,
    certificateValidityPeriod: lifetimeSeconds,
  };
  host.write('/run/pebble.json', JSON.stringify({ pebble }));
  const program = inUnpacked('pebble', 'usr/bin/pebble');
  const running = host.spawn([program, '-config', '/run/pebble.json', '-strict', '-dnsserver', `${dns}:53`], {
    name: 'pebble',
    env: { ...process.env, PEBBLE_VA_NOSLEEP: '1' },
  });
  await running.saysWithin(/ACME directory available/, 15_000);
  const roots = `https://${address}:${managementPort}/roots/0`;
  const rootPem = await host.exec(['curl', '-sSk', '--retry', '50', '--retry-connrefused', '--retry-delay', '0', roots]);
  return { url: `https://${name}:${port}/dir`, rootPem, running };
}
