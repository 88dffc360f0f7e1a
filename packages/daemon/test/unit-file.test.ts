import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const units = ['aovpn.service', 'aovpn-lockdown.service', 'aovpn-wait-online.service'];
const directory = fileURLToPath(new URL('../systemd', import.meta.url));
const read = (name: string): string => readFileSync(path.join(directory, name), 'utf8');
/** The values of a directive, all lines of it. */
const values = (text: string, key: string): string[] =>
  [...text.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].flatMap(([, value]) => value!.split(' '));

test('systemd itself finds nothing wrong with the units', () => {
  const copies = mkdtempSync(path.join(tmpdir(), 'aovpn-units-'));
  try {
    for (const name of units)
      writeFileSync(
        path.join(copies, name),
        // Where nothing is installed there is no program and no manual page to be found.
        read(name)
          .replaceAll(/\/usr\/bin\/aovpnd?\b/g, '/bin/true')
          .replace(/^Documentation=.*\n/m, ''),
      );
    const files = units.map((name) => path.join(copies, name));
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', ...files], { encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
  } finally {
    rmSync(copies, { recursive: true });
  }
});

test('the lock is shut before any network manager starts, and stays when its unit or the daemon ends', () => {
  const early = read('aovpn-lockdown.service');
  assert.ok(values(early, 'Before').includes('network-pre.target'));
  assert.ok(values(early, 'Wants').includes('network-pre.target'), 'which exists only when somebody wants it');
  assert.deepEqual(values(early, 'DefaultDependencies'), ['no']);
  assert.deepEqual(values(early, 'WantedBy'), ['sysinit.target']);
  assert.ok(values(early, 'After').includes('nftables.service'), 'whose start flushes every table');
  assert.deepEqual(values(early, 'ExecStop'), []);
  assert.match(early, /^ExecStart=\/usr\/bin\/aovpnd --block$/m);
  // A file beside the control socket says so when no daemon answers.
  for (const text of [early, read('aovpn.service')]) assert.deepEqual(values(text, 'RuntimeDirectoryPreserve'), ['yes']);
});

test('what waits for the network waits for the tunnels, and the daemon for neither', () => {
  const waiting = read('aovpn-wait-online.service');
  assert.ok(values(waiting, 'Before').includes('network-online.target'));
  assert.deepEqual(values(waiting, 'After'), ['aovpn.service']);
  assert.deepEqual(values(waiting, 'WantedBy'), ['network-online.target']);
  assert.ok(!read('aovpn.service').includes('network-online.target'), 'which would wait for the tunnels');
});

test('/etc can be written to: systemd lets ProtectSystem=full win over ReadWritePaths=/etc', () => {
  assert.deepEqual(values(read('aovpn.service'), 'ProtectSystem'), ['yes']);
});
