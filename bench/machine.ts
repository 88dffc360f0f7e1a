import { spawnSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import process from 'node:process';

/** Everything a figure depends on, without a date and without a name. */
export function describeMachine(): string {
  const processors = cpus();
  const model = processors[0]?.model.trim() ?? 'unknown processor';
  return [
    `Linux ${release()}, ${processors.length} × ${model}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `Node ${process.versions.node}, OpenSSL ${process.versions.openssl}`,
    [...peerPackages.keys()].map((name) => peerName(name)).join(', '),
  ].join('\n');
}

/** Peers as Debian packages. */
const peerPackages = new Map([
  ['strongSwan', 'strongswan-charon'],
  ['OpenVPN', 'openvpn'],
  ['wireguard-go', 'wireguard-go'],
  ['unbound', 'unbound'],
  ['FreeRADIUS', 'freeradius'],
  ['wpa_supplicant', 'eapoltest'],
]);
const known = new Map<string, string | undefined>();

/** A peer with the version of its package, such as `OpenVPN 2.6.14`. */
export function peerName(peer: string): string {
  const version = versionOf(peerPackages.get(peer)!);
  return version === undefined ? `${peer} (missing)` : `${peer} ${version}`;
}

/** Why a peer cannot be measured here. */
export function missingPackage(...packages: readonly string[]): { readonly missing?: string } {
  const absent = packages.filter((name) => versionOf(name) === undefined);
  return absent.length === 0 ? {} : { missing: `not installed: ${absent.join(', ')}` };
}

/** The upstream part of an installed package's version. */
function versionOf(name: string): string | undefined {
  if (!known.has(name)) {
    const query = spawnSync('dpkg-query', ['-W', '-f=${Version}', name], { encoding: 'utf8' });
    known.set(name, query.status === 0 ? /^(?:\d+:)?([^-+]+)/.exec(query.stdout)?.[1] : undefined);
  }
  return known.get(name);
}
