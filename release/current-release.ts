import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  chmodSync,
  utimesSync,
} from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
const releases = path.join(root, '.build/releases');
/** Whose start has looked already says so to those that it starts. */
const variable = 'AOVPN_LAB_RELEASE';
/** Releases of earlier sources that stay: something that runs may still load parts of one. */
const kept = 4;

/**
 * The directory of the release that these sources make; it is made when it is not there. Two that do so at once do not disturb each other, and what
 * runs keeps its own release when sources change.
 */
export function currentRelease(): string {
  const known = process.env[variable];
  if (known !== undefined && existsSync(known)) return known;
  const directory = path.join(releases, digest());
  if (!existsSync(directory)) {
    const { status, stderr, error } = spawnSync(process.execPath, [path.join(root, 'scripts/build.ts')], { encoding: 'utf8' });
    if (status !== 0 || !existsSync(directory)) throw new Error(`the release cannot be built: ${error?.message ?? stderr}`);
  }
  process.env[variable] = directory;
  return directory;
}

/** Builds unless it is there, and forgets old ones. In its usual place `.build/release` becomes a link to it. */
export async function makeRelease(place = releases): Promise<string> {
  const directory = path.join(place, digest());
  if (!existsSync(directory)) await buildInto(place, directory);
  const now = new Date();
  utimesSync(directory, now, now);
  if (place === releases) linkTo(directory);
  const made = readdirSync(place)
    .filter((name) => !name.startsWith('.'))
    .map((name) => ({ name, at: statSync(path.join(place, name), { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .toSorted((a, b) => b.at - a.at);
  for (const { name } of made.slice(kept)) rmSync(path.join(place, name), { recursive: true, force: true });
  return directory;
}

/** Under a name of its own first: a release is there as a whole or not at all. */
async function buildInto(place: string, directory: string): Promise<void> {
  // Only a build needs the bundler.
  const { buildRelease } = await import('./build-release.ts');
  mkdirSync(place, { recursive: true });
  const fresh = mkdtempSync(path.join(place, '.new-'));
  try {
    await buildRelease(root, fresh);
    // Users start programs of it.
    chmodSync(fresh, 0o755);
    renameSync(fresh, directory);
  } catch (error) {
    // Somebody else may have been faster, with the same result.
    if (!existsSync(directory)) throw error;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

function linkTo(directory: string): void {
  const place = path.join(root, '.build/release');
  const fresh = `${place}.${process.pid}`;
  symlinkSync(path.relative(path.dirname(place), directory), fresh);
  renameSync(fresh, place);
}

/** Of everything that a release is made from. */
function digest(): string {
  const hash = createHash('sha256');
  const files = [
    'package.json',
    'package-lock.json',
    'LICENSE',
    ...globSync(['release/**', 'tsconfig.*.json', 'packages/*/*.json', 'packages/*/{src,bin,apps.d,systemd,polkit,session}/**'], {
      cwd: root,
    }),
  ];
  for (const file of files.toSorted()) {
    const place = path.join(root, file);
    if (!statSync(place).isFile()) continue;
    hash.update(`${file}\0`).update(readFileSync(place)).update('\0');
  }
  return hash.digest('hex').slice(0, 16);
}
