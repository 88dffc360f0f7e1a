import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Host } from './host.ts';

const root = fileURLToPath(new URL('../.build/debian/', import.meta.url));

/**
 * Lets one host have Debian packages that this machine only has unpacked (`unpack` in scripts/debian-packages.json): for programs that would
 * change this machine if they were installed. Their files lie over `/usr`, their libraries are found, nothing of theirs is set up or started.
 */
export async function layOver(host: Host, packages: readonly string[]): Promise<void> {
  const trees = packages.map((name) => path.join(root, name));
  const missing = trees.filter((tree) => !existsSync(tree));
  if (missing.length > 0) throw new Error(`not unpacked: ${missing.join(', ')}; npm test does it`);
  // Fewer levels than an overlay for each tree, which a kernel that already runs on one would refuse.
  const layers = trees.map((tree) => path.join(tree, 'usr')).filter((tree) => existsSync(tree));
  await host.exec(['mount', '-t', 'overlay', 'overlay', '-o', `lowerdir=${[...layers, '/usr'].join(':')}`, '/usr']);
  // Whatever a package has below /lib; the links of this machine from there into /usr stay as they are.
  const libraries = trees.flatMap((tree) => ['x86_64', 'aarch64'].map((machine) => path.join(tree, `lib/${machine}-linux-gnu`)));
  host.write('/etc/ld.so.conf.d/unpacked.conf', `${libraries.filter((directory) => existsSync(directory)).join('\n')}\n`);
  await host.exec(['ldconfig']);
}

/** A file of an unpacked package. */
export function inUnpacked(name: string, file: string): string {
  return path.join(root, name, file);
}
