import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { pathsOfApp } from '../../src/apps/app-path.ts';

suite('paths of an app', () => {
  let root: string;
  before(() => {
    root = mkdtempSync(join(tmpdir(), 'app-path-'));
  });
  after(() => rmSync(root, { recursive: true }));

  const none = { executables: [], desktop: [], flatpak: [], snap: [] };
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const desktop = (id: string): string[] =>
    pathsOfApp({ ...none, desktop: [id] }, { root }).map((path) => path.slice(root.length));

  test('its own, those of its flatpak and of its snap', () => {
    const app = { executables: ['/opt/x/x', '/opt/x/x'], desktop: [], flatpak: ['org.example.X'], snap: ['x'] };
    assert.deepEqual(pathsOfApp(app), [
      '/opt/x/x',
      '/var/lib/flatpak/app/org.example.X/current/active/files/bin/*',
      '/var/lib/flatpak/app/org.example.X/current/active/files/libexec/*',
      '/snap/x/current/*',
      '/snap/x/current/bin/*',
      '/snap/x/current/usr/bin/*',
    ]);
  });

  test('what a desktop entry starts', () => {
    write('usr/bin/editor', '');
    write(
      'usr/share/applications/a.desktop',
      '[Desktop Action new]\nExec=other\n[Desktop Entry]\nName=A\nExec=editor %U\n\n[X]\nExec=no\n',
    );
    write('usr/share/applications/b.desktop', '[Desktop Entry]\nExec="/opt/My App/run" --flag\n');
    write('usr/local/share/applications/b.desktop', '[Desktop Entry]\nExec=/opt/local/b\n');
    write('usr/share/applications/c.desktop', '[Desktop Entry]\nExec=not-installed\n');
    assert.deepEqual(desktop('a'), ['/usr/bin/editor']);
    assert.deepEqual(desktop('b'), ['/opt/local/b']);
    assert.deepEqual(desktop('c'), []);
    assert.deepEqual(desktop('absent'), []);
  });

  test('a launcher is nobody’s app, and ids lead nowhere else', () => {
    for (const [i, command] of [
      'env X=1 y',
      '/usr/bin/flatpak run org.x',
      '/bin/sh -c x',
      'python3 -m x',
      '/opt/*/x',
      '../x',
    ].entries()) {
      write(`usr/share/applications/l${i}.desktop`, `[Desktop Entry]\nExec=${command}\n`);
      assert.deepEqual(desktop(`l${i}`), [], command);
    }
    for (const id of ['../../../etc/x', 'a/b', '', '.hidden', '*'])
      assert.deepEqual(pathsOfApp({ executables: [], desktop: [id], flatpak: [id], snap: [id] }, { root }), [], id);
  });
});
