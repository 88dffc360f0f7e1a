import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const packages = new URL('../packages/', import.meta.url);

interface Room {
  readonly kind: string;
  readonly imports: readonly string[];
}

/** The door table of ARCHITECTURE.md. */
function documented(): Map<string, Room> {
  const text = readFileSync(new URL('../ARCHITECTURE.md', import.meta.url), 'utf8');
  const rows = [...text.matchAll(/^\| `([a-z]+)` \| (thinks|acts) \| [^|]* \| ([^|]*) \|$/gm)];
  return new Map(
    rows.map(([, name, kind, imports]) => [
      name!,
      { kind: kind!, imports: imports!.trim() === '–' ? [] : imports!.trim().split(', ').toSorted() },
    ]),
  );
}

/** What the package files say. */
function built(): Map<string, Room> {
  return new Map(
    readdirSync(packages).map((name) => {
      const manifest = JSON.parse(readFileSync(new URL(`${name}/package.json`, packages), 'utf8')) as {
        exports: unknown;
        dependencies?: Record<string, string>;
      };
      const project = JSON.parse(readFileSync(new URL(`${name}/tsconfig.json`, packages), 'utf8')) as {
        extends: string;
        references?: { path: string }[];
      };
      assert.deepEqual(manifest.exports, { '.': './src/index.ts' }, `${name} has one door`);
      const imports = Object.keys(manifest.dependencies ?? {})
        .filter((dependency) => dependency.startsWith('@aovpn/'))
        .map((dependency) => dependency.slice('@aovpn/'.length))
        .toSorted();
      const references = (project.references ?? []).map((reference) => reference.path.slice('../'.length)).toSorted();
      assert.deepEqual(references, imports, `${name}: tsconfig references and dependencies are the same rooms`);
      return [name, { kind: project.extends.includes('thinks') ? 'thinks' : 'acts', imports }];
    }),
  );
}

test('the door table of ARCHITECTURE.md is what the package files say, both ways', () => {
  const table = documented();
  assert.ok(table.size > 0, 'the table was found');
  assert.deepEqual(Object.fromEntries(table), Object.fromEntries(built()));
});

test('a thinking room imports no acting room, and only libraries that its wall allows', () => {
  const rooms = built();
  for (const [name, room] of rooms) {
    if (room.kind !== 'thinks') continue;
    for (const imported of room.imports) assert.equal(rooms.get(imported)?.kind, 'thinks', `${name} imports ${imported}`);
  }
});

test('no room imports another by a path around its door', () => {
  for (const room of readdirSync(packages)) {
    const source = new URL(`${room}/src/`, packages);
    if (!existsSync(source)) continue;
    for (const file of readdirSync(source, { recursive: true, encoding: 'utf8' })) {
      if (!file.endsWith('.ts')) continue;
      const text = readFileSync(new URL(file, source), 'utf8');
      const around = [...text.matchAll(/from '(@aovpn\/[a-z]+\/[^']*|[./]+\/packages\/[^']*)'/g)].map((match) => match[1]);
      assert.deepEqual(around, [], `${room}/src/${file}`);
    }
  }
});
