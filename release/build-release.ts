import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { build, type BuildOptions } from 'esbuild';
import { builtinModules } from './builtin.ts';
import { licensesOf } from './license.ts';
import { findPrograms, placement } from './place.ts';

/** What people and the service manager start. */
const commands = { aovpnd: 'packages/daemon/bin/aovpnd.mjs', aovpn: 'packages/cli/bin/aovpn.mjs' } as const;

/** Files that are taken as they are. */
const copies: Readonly<Record<string, string>> = {
  LICENSE: 'LICENSE',
  'apps.d': 'packages/policy/apps.d',
  systemd: 'packages/daemon/systemd',
  polkit: 'packages/daemon/polkit',
  session: 'packages/cli/session',
};

/**
 * Makes all that an administrator installs: `bin` (both programs), `lib` (what they load, threads and side programs among it), data, units, licences, and
 * V8's cache of it. It needs Node and nothing else beside it.
 * @param directory a new one
 */
export async function buildRelease(root: string, directory: string): Promise<void> {
  const options: BuildOptions = {
    absWorkingDir: root,
    outdir: directory,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    plugins: [placement, builtinModules],
    splitting: true,
    chunkNames: 'lib/[name]-[hash]',
    outExtension: { '.js': '.js' },
    // Names stay: they are in stack traces, whose lines the maps give. Statements stay as they were written and tested.
    minifyWhitespace: true,
    // Node shows the line of a fault.
    lineLimit: 200,
    legalComments: 'none',
    sourcemap: 'external',
    sourcesContent: false,
    metafile: true,
    write: false,
    logLevel: 'warning',
  };
  // Each by itself: nothing is shared between them, so each loads as few files as it can.
  const results = await Promise.all([
    ...Object.entries(commands).map(([name, file]) =>
      build({
        ...options,

        entryPoints: { [`bin/${name}`]: file },
        chunkNames: `lib/${name}-[name]-[hash]`,
      }),
    ),
    ...findPrograms(root).map((file) =>
      build({
        ...options,
        entryPoints: { [`lib/${path.basename(file, '.ts')}`]: file },
        chunkNames: `lib/${path.basename(file, '.ts')}-[name]-[hash]`,
      }),
    ),
  ]);
  for (const part of ['bin', 'lib']) mkdirSync(path.join(directory, part), { recursive: true });
  for (const { path: file, text } of results.flatMap(({ outputFiles }) => outputFiles!)) write(root, directory, file, text);
  cpSync(libraryOf(root), path.join(directory, 'lib/koffi.node'));
  for (const [name, from] of Object.entries(copies))
    cpSync(path.join(root, from), path.join(directory, name), { recursive: true, filter: (file) => !file.endsWith('.md') });
  const inputs = results.flatMap(({ metafile }) => Object.keys(metafile!.inputs));
  writeFileSync(
    path.join(directory, 'LICENSES-OF-OTHERS'),
    licensesOf(root, [...inputs, 'node_modules/koffi/', 'node_modules/esbuild/']),
  );
  const { version, description, license } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Record<
    string,
    string
  >;
  const manifest = { name: 'aovpn', version, description, license, private: true, type: 'module', engines: { node: '>=24' } };
  writeFileSync(path.join(directory, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
  warmUp(directory);
}

function write(root: string, directory: string, file: string, text: string): void {
  // With one wide character V8 keeps all of it in two octets each.
  const wide = /[^\0-\x7f]/.exec(text);
  if (wide && !file.endsWith('.map'))
    throw new Error(
      `"${text.slice(Math.max(0, wide.index - 40), wide.index + 20)}": in a regular expression write it as \\u and its number`,
    );
  if (!file.endsWith('.map')) {
    const command = file.startsWith(path.join(directory, 'bin'));
    writeFileSync(command ? file.replace(/\.js$/, '.mjs') : file, text);
    if (command) chmodSync(file.replace(/\.js$/, '.mjs'), 0o755);
    return;
  }
  const map = JSON.parse(text) as { sources: string[] };
  // As they are called in the repository, wherever this one lies.
  map.sources = map.sources.map((source) => path.relative(root, path.resolve(path.dirname(file), source)));
  writeFileSync(file, JSON.stringify(map));
}

/** koffi's library for this machine. @throws when the package for it is not installed */
function libraryOf(root: string): string {
  const { platform, arch } = process;
  return path.join(root, `node_modules/@koromix/koffi-${platform}-${arch}/${platform}_${arch}/koffi.node`);
}

/** First starts, what they are given and what they end with. V8 keeps what they ran: for the command that is its way to the daemon, then all of it. */
const firstStarts = [
  ['aovpnd', ['--version'], 0],
  ['aovpn', ['up', '--socket', '/nonexistent/control.sock'], 3],
  ['aovpn', ['man'], 0],
] as const;

/** They write V8's cache, which a program without the right to write there then has too. */
function warmUp(directory: string): void {
  for (const [name, words, expected] of firstStarts) {
    const file = path.join(directory, 'bin', `${name}.mjs`);
    const options = readFileSync(file, 'utf8')
      .split('\n', 1)[0]!
      .split(' ')
      .filter((word) => word.startsWith('--'));
    const { status, stderr, error } = spawnSync(process.execPath, [...options, file, ...words], { encoding: 'utf8' });
    if (status !== expected) throw new Error(`${name} of the release does not start: ${error?.message ?? stderr}`);
  }
}
