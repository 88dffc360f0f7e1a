import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { parse } from 'smol-toml';
import { appNameOf, readAppCatalogue } from '../../src/index.ts';

const directory = new URL('../../apps.d/', import.meta.url);
const files = readdirSync(directory)
  .filter((name) => name.endsWith('.toml'))
  .sort()
  .map((name) => ({ source: name, content: parse(readFileSync(new URL(name, directory), 'utf8')) }));
const { catalogue, faults } = readAppCatalogue(files);

suite('the starter set of apps.d', () => {
  test('every entry counts, and no two share a name, a key or an executable', () => {
    assert.deepEqual(faults, []);
    const written = files.reduce((count, { content }) => count + (content['app'] as unknown[]).length, 0);
    assert.equal(catalogue.apps.length, written);
    const owners = new Map<string, string>();
    for (const { key, executables, windows, packages } of catalogue.apps) {
      for (const name of [...executables, ...windows, ...packages]) {
        const other = owners.get(name.toLowerCase());
        assert.ok(other === undefined, `${name} belongs to ${other} and ${key}`);
        owners.set(name.toLowerCase(), key);
      }
    }
  });

  for (const [id, key] of [
    ['C:\\Windows\\System32\\mstsc.exe', 'remote-desktop'],
    ['C:\\Program Files (x86)\\Microsoft Office\\root\\Office16\\OUTLOOK.EXE', 'mail'],
    ['C:\\Program Files (x86)\\Google\\Chrome\\Application\\chrome.exe', 'chrome'],
    ['%windir%\\explorer.exe', 'file-manager'],
    ['MSTeams_8wekyb3d8bbwe', 'teams'],
    ['Microsoft.MicrosoftEdge_8wekyb3d8bbwe', 'edge'],
  ] as const) {
    test(`${id} is ${key}`, () => {
      const type = id.includes('\\') ? 'FilePath' : 'PackageFamilyName';
      assert.equal(catalogue.find(appNameOf({ id, type }))?.key, key);
    });
  }
});
