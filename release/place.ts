import { readFileSync, globSync } from 'node:fs';
import path from 'node:path';
import type { Plugin } from 'esbuild';

/** `new URL(PLACE, import.meta.url)` and the one of a room whose files are data: how sources name what lies beside them. */
const named = /new URL\('([^']+)', import\.meta\.(?:url|resolve\('@aovpn\/policy'\))\)/g;
const sources = /\/packages\/[a-z]+\/(?:src|bin)\/[^:]*\.(?:ts|mjs)$/;
/** What may be left of `import.meta` once places are known: a file of the release, whichever it is. */
const left = /import\.meta(?!\.url\))/;

/**
 * Programs that the product starts from its own files (worker threads and processes), found where it names them: no list that could be forgotten.
 * @returns absolute paths
 * @throws when two of them have one name
 */
export function findPrograms(root: string): readonly string[] {
  const found = new Map<string, string>();
  for (const file of globSync('packages/*/src/**/*.ts', { cwd: root })) {
    for (const [, place] of readFileSync(path.join(root, file), 'utf8').matchAll(named)) {
      if (!place!.endsWith('.ts')) continue;
      const program = path.resolve(root, path.dirname(file), place!);
      const name = path.basename(program);
      if ((found.get(name) ?? program) !== program)
        throw new Error(`two programs are called ${name}: ${found.get(name)} and ${program}`);
      found.set(name, program);
    }
  }
  return [...found.values()].toSorted();
}

/** Gives everything that sources name the place that it has in a release: {@link findPrograms} and koffi's library in `lib`, data and cache above it. */
export const placement: Plugin = {
  name: 'placement',
  setup(bundler) {
    bundler.onLoad({ filter: sources, namespace: 'file' }, ({ path: file }) => {
      const text = readFileSync(file, 'utf8');
      const contents = text.replaceAll(named, (_, place: string) => `new URL('${placeOf(place, file)}', import.meta.url)`);
      if (left.test(contents)) throw new Error(`${file}: a release has no place for this use of import.meta`);
      const isMain = file.endsWith('/src/main.ts');
      return {
        contents: isMain ? `import '../../../release/fault.ts';\n${contents}` : contents,
        loader: file.endsWith('.ts') ? 'ts' : 'js',
      };
    });
    // What koffi's own JavaScript does is search for this file, in places that are not the release's.
    bundler.onResolve({ filter: /^koffi$/ }, () => ({ path: 'koffi', namespace: 'library', sideEffects: false }));
    bundler.onLoad({ filter: /^koffi$/, namespace: 'library' }, () => ({
      contents: `import { createRequire } from 'node:module';\nexport default createRequire(import.meta.url)('./koffi.node');\n`,
    }));
  },
};

function placeOf(place: string, file: string): string {
  if (place.endsWith('.ts')) return `./${path.basename(place, '.ts')}.js`;
  if (place.endsWith('/.build/compile-cache')) return '../compile-cache';
  if (place === '../apps.d/') return place;
  throw new Error(`${file}: a release has no place for ${place}`);
}
