import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { HostError } from '../../src/host-error.ts';
import { connectBus } from '../../src/dbus/connection.ts';
import { openSecretService } from '../../src/password/secret-service.ts';

const missing = ['dbus-daemon', 'gnome-keyring-daemon'].filter((name) => !existsSync(`/usr/bin/${name}`));
const skip = missing.length > 0 ? `not on this machine: ${missing.join(', ')}` : false;

const attributes = { application: 'aovpn', profile: 'Contoso User' };
const secret = Buffer.from('pä55 wörd\u{1f511}');

function isHostError(code: string): (error: unknown) => boolean {
  return (error) => error instanceof HostError && error.code === code && !error.message.includes('wörd');
}

suite('the secret service of a desktop: a real gnome-keyring on a bus of its own', { skip }, () => {
  let place: string;
  let bus: string;
  const daemons: ChildProcess[] = [];

  before(async () => {
    place = mkdtempSync(path.join(tmpdir(), 'aovpn-keyring-'));
    bus = path.join(place, 'bus');
    mkdirSync(path.join(place, 'run'), { mode: 0o700 });
    // Nothing is started by name: what is on this bus is what the test put there.
    writeFileSync(
      path.join(place, 'bus.conf'),
      `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path=${bus}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`,
    );
    const daemon = spawn('dbus-daemon', [`--config-file=${place}/bus.conf`, '--nofork', '--print-address=1'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    daemons.push(daemon);
    await once(daemon.stdout, 'data');
  });

  after(async () => {
    for (const daemon of daemons.reverse()) {
      const ended = once(daemon, 'exit');
      daemon.kill();
      await ended;
    }
    rmSync(place, { recursive: true, force: true });
  });

  test('without a keyring on the bus it says so', async () => {
    await assert.rejects(openSecretService(bus).lookUp(attributes), isHostError('AOV-HOST-500'));
  });

  test('stored, looked up by attributes, replaced; another profile has another secret, or none', async () => {
    const keyring = spawn('gnome-keyring-daemon', ['--foreground', '--components=secrets', '--unlock'], {
      stdio: ['pipe', 'ignore', 'ignore'],
      env: {
        PATH: process.env['PATH'],
        HOME: place,
        XDG_DATA_HOME: path.join(place, 'data'),
        XDG_RUNTIME_DIR: path.join(place, 'run'),
        DBUS_SESSION_BUS_ADDRESS: `unix:path=${bus}`,
      },
    });
    daemons.push(keyring);
    keyring.stdin.end('keyring password');
    await nameOwned(bus);
    const service = openSecretService(bus);
    assert.equal(await service.lookUp(attributes), undefined);
    await service.store('Always On VPN: Contoso User', attributes, secret);
    assert.deepEqual(Buffer.from((await service.lookUp(attributes))!), secret);
    await service.store('Always On VPN: Contoso User', attributes, Buffer.from('another'));
    assert.equal(Buffer.from((await service.lookUp(attributes))!).toString(), 'another');
    assert.equal(await service.lookUp({ ...attributes, profile: 'Other' }), undefined);
    // As large as a secret may be, so that answers come in several pieces.
    const large = Buffer.alloc(1024, 'x');
    await service.store('Always On VPN: large', { ...attributes, profile: 'large' }, large);
    assert.deepEqual(Buffer.from((await service.lookUp({ ...attributes, profile: 'large' }))!), large);
  });

  test('a locked keyring is told as such, and nothing is asked of its user', async () => {
    const connection = await connectBus(bus);
    await connection.call({
      destination: 'org.freedesktop.secrets',
      path: '/org/freedesktop/secrets',
      interface: 'org.freedesktop.Secret.Service',
      member: 'Lock',
      signature: 'ao',
      body: [['/org/freedesktop/secrets/aliases/default']],
    });
    connection.close();
    await assert.rejects(openSecretService(bus).lookUp(attributes), isHostError('AOV-HOST-501'));
    await assert.rejects(openSecretService(bus).store('x', attributes, secret), isHostError('AOV-HOST-501'));
  });
});

suite('a bus that is none', () => {
  let place: string;
  let server: Server | undefined;

  before(() => {
    place = mkdtempSync(path.join(tmpdir(), 'aovpn-bus-'));
  });

  after(() => {
    server?.close();
    rmSync(place, { recursive: true, force: true });
  });

  test('no socket', async () => {
    await assert.rejects(openSecretService(path.join(place, 'nothing')).lookUp(attributes), isHostError('AOV-HOST-500'));
  });

  for (const [name, answer] of [
    ['refuses', 'REJECTED EXTERNAL\r\n'],
    ['goes away', undefined],
    ['says what is no message', `OK 0123\r\n${'l\x02\x00\x09'.padEnd(64, 'x')}`],
    ['announces a message of 4 GiB', `OK 0123\r\n${'l\x02\x00\x01\xff\xff\xff\xff'.padEnd(64, '\xff')}`],
  ] as const) {
    test(`it ${name}`, async () => {
      const file = path.join(place, name.replaceAll(' ', '-'));
      server = createServer((socket) => {
        socket.on('error', () => {});
        socket.once('data', () => (answer === undefined ? socket.destroy() : socket.write(Buffer.from(answer, 'latin1'))));
      });
      await new Promise<void>((resolve) => void server!.listen(file, resolve));
      await assert.rejects(openSecretService(file).lookUp(attributes), isHostError('AOV-HOST-500'));
      server.close();
    });
  }
});

async function nameOwned(bus: string): Promise<void> {
  const connection = await connectBus(bus);
  try {
    for (const end = performance.now() + 60_000; performance.now() < end;) {
      const [owned] = await connection.call({
        destination: 'org.freedesktop.DBus',
        path: '/org/freedesktop/DBus',
        interface: 'org.freedesktop.DBus',
        member: 'NameHasOwner',
        signature: 's',
        body: ['org.freedesktop.secrets'],
      });
      if (owned === true) return;
      await new Promise((next) => void setTimeout(next, 50));
    }
    assert.fail('the keyring does not come up');
  } finally {
    connection.close();
  }
}
