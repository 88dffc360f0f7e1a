import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import type { Host } from '../host.ts';
import type { Running } from '../running.ts';

export interface LeaseOffer {
  readonly device: string;
  /** Address of the lease, and its prefix length. */
  readonly address: string;
  readonly length: number;
  readonly router: string;
  /** Classless static routes (RFC 3442), prefix to router; a client that knows them ignores the router option. */
  readonly routes: readonly (readonly [prefix: string, router: string])[];
  readonly dns?: string;
  /** DNS suffix (option 15). */
  readonly domain?: string;
}

/** dnsmasq as a DHCP server on a host: honest or not, as its options say. */
export async function startDhcpServer(host: Host, offer: LeaseOffer): Promise<Running> {
  mkdirSync(host.file('/run/dhcp'), { recursive: true });
  const routes = offer.routes.flat().join(',');
  const server = host.spawn(
    [
      'dnsmasq',
      '--keep-in-foreground',
      '--conf-file=/dev/null',
      '--port=0',
      '--log-facility=-',
      '--log-dhcp',
      '--pid-file=',
      '--user=root',
      `--interface=${offer.device}`,
      '--bind-dynamic',
      '--dhcp-authoritative',
      '--no-ping',
      '--dhcp-leasefile=/run/dhcp/leases',
      `--dhcp-range=${offer.address},${offer.address},${maskOf(offer.length)},10m`,
      `--dhcp-option=option:router,${offer.router}`,
      ...(offer.dns === undefined ? [] : [`--dhcp-option=option:dns-server,${offer.dns}`]),
      ...(offer.domain === undefined ? [] : [`--dhcp-option=option:domain-name,${offer.domain}`]),
      ...(routes === '' ? [] : [`--dhcp-option=121,${routes}`]),
    ],
    { name: 'dnsmasq' },
  );
  await server.saysWithin(/DHCP, IP range/);
  return server;
}

/** ISC's client with Debian's scripts, classless routes included, until it has a lease. */
export async function leaseAddress(host: Host, device: string): Promise<Running> {
  // Its scripts look there; a host has only what was copied into its /etc.
  cpSync('/etc/dhcp', host.file('/etc/dhcp'), { recursive: true });
  host.write('/etc/fstab', '');
  mkdirSync(host.file('/var/lib/dhcp'), { recursive: true });
  writeFileSync(host.file('/var/lib/dhcp/dhclient.leases'), '');
  const client = host.spawn(['dhclient', '-4', '-d', '-v', '-pf', '/run/dhclient.pid', device], { name: 'dhclient' });
  await client.saysWithin(/bound to/);
  return client;
}

function maskOf(length: number): string {
  const mask = length === 0 ? 0 : (0xffff_ffff << (32 - length)) >>> 0;
  return [24, 16, 8, 0].map((shift) => (mask >>> shift) & 0xff).join('.');
}
