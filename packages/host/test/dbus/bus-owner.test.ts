import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connectBus } from '../../src/dbus/connection.ts';

/** A bus asks the user database about everybody, so it must be somebody who is in it. */
const nobody = { uid: 65_534, gid: 65_534 };
const bridge = fileURLToPath(new URL('../../src/dbus/bus-bridge.ts', import.meta.url));

/** The other user must be able to run our programs at all: a checkout in a closed home directory is none of theirs. */
function whyNot(): string | false {
  if (process.geteuid?.() !== 0) return 'needs root';
  if (!existsSync('/usr/bin/dbus-daemon')) return 'not on this machine: dbus-daemon';
  const found = spawnSync(process.execPath, ['--check', bridge], { ...nobody, cwd: '/' });
  return found.status === 0 ? false : 'this checkout is closed to other users';
}

test('the bus of another user lets root in only through a process of that user', { skip: whyNot() }, async () => {
  const place = mkdtempSync(path.join(tmpdir(), 'aovpn-bus-owner-'));
  chmodSync(place, 0o755);
  const own = path.join(place, 'own');
  mkdirSync(own, { mode: 0o700 });
  chownSync(own, nobody.uid, nobody.gid);
  const socket = path.join(own, 'bus');
  writeFileSync(
    path.join(place, 'bus.conf'),
    `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=${socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`,
  );
  const daemon = spawn('dbus-daemon', [`--config-file=${place}/bus.conf`, '--nofork', '--print-address=1'], {
    ...nobody,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    await once(daemon.stdout, 'data');
    await assert.rejects(connectBus(socket));
    const connection = await connectBus(socket, nobody);
    const call = { destination: 'org.freedesktop.DBus', path: '/org/freedesktop/DBus', interface: 'org.freedesktop.DBus' };
    const [names] = (await connection.call({ ...call, member: 'ListNames', signature: '', body: [] })) as [string[]];
    const ours = names.find((name) => name.startsWith(':'))!;
    const [uid] = await connection.call({ ...call, member: 'GetConnectionUnixUser', signature: 's', body: [ours] });
    assert.equal(uid, nobody.uid);
    connection.close();
  } finally {
    const ended = once(daemon, 'exit');
    daemon.kill();
    await ended;
    rmSync(place, { recursive: true, force: true });
  }
});
