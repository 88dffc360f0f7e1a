// Other people on the machine, and what they may see, do and break: nothing that the manual does not say.
import assert from 'node:assert/strict';
import { appendFileSync, chmodSync, chownSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { defaultSocketPath } from '@aovpn/api';
import { certificateProfile, mschapv2Profile } from '../../../lab/profile-xml.ts';
import { inCheckout } from '../../../lab/host.ts';
import { hangMs } from '../../../lab/patience.ts';
import { installed } from '../../../lab/product.ts';
import type { Running } from '../../../lab/running.ts';
import { Stage, users } from '../../../lab/stage.ts';
import { until } from '../../../lab/until.ts';

const gid = 4242;
const member = ['setpriv', '--reuid=65534', '--regid=65534', `--groups=${gid}`, '--'];
const stranger = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'];
const node = inCheckout(process.execPath);
const aovpn = installed('aovpn').map(inCheckout);

suite('attack/user', () => {
  let stage: Stage;
  let connectedAt: string | undefined;
  before(async () => {
    stage = await Stage.set({ authentication: ['pubkey', 'eap-mschapv2'] });
    const { product, world } = stage;
    await product.stop();
    appendFileSync(world.client.file('/etc/group'), `aovpn:x:${gid}:\n`);
    await product.start();
    await product.put('tunnel', certificateProfile(), stage.machine());
    connectedAt = (await product.waitForState('tunnel', 'up')).connectedAt;
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const unmoved = async (): Promise<void> => {
    const connection = await stage.product.connection('tunnel');
    assert.equal(connection?.state, 'up', connection?.reason);
    assert.equal(connection.connectedAt, connectedAt);
  };
  const beside = (file: string): string => stage.world.client.file(`/etc/aovpn/profiles.d/${file}`);

  test('the group looks, and changes nothing; nobody else does either', async () => {
    const { client } = stage.world;
    client.write('/run/other.xml', certificateProfile({ alwaysOn: false }));
    for (const args of [['down'], ['up'], ['profile', 'remove', 'tunnel'], ['profile', 'add', '/run/other.xml']]) {
      const refused = await client.run([...member, ...aovpn, ...args]);
      assert.equal(refused.status, 4, `${args.join(' ')}: ${refused.stdout}${refused.stderr}`);
    }
    for (const args of [['status'], ['plan'], ['explain', '10.20.0.80'], ['logs'], ['profile', 'show', 'tunnel']]) {
      const seen = await client.run([...member, ...aovpn, ...args]);
      assert.equal(seen.status, 0, `${args.join(' ')}: ${seen.stderr}`);
    }
    assert.equal((await client.run([...stranger, ...aovpn, 'status'])).status, 4);
    await unmoved();
  });

  test('HTTP of every shape is refused by name, and a member who holds lines open locks nobody out', async () => {
    for (const [name, text] of [
      ['noise', 'xyz\r\n\r\n'],
      ['a huge header', `GET /v1/status HTTP/1.1\r\nhost: x\r\na: ${'b'.repeat(20_000)}\r\n\r\n`],
      ['two lengths', 'POST /v1/status HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'],
      ['a huge body', 'PUT /v1/profiles/x HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n'],
      ['an upgrade', 'GET /v1/status HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'],
      ['a tunnel', 'CONNECT / HTTP/1.1\r\nhost: x\r\n\r\n'],
      ['half an escape', 'GET /v1/%zz HTTP/1.1\r\nhost: x\r\n\r\n'],
    ] as const) {
      assert.match(await say(text), /^HTTP\/1\.1 4\d\d [^]*AOV-HOST-41\d/, name);
    }
    const holder = `
      const { connect } = require('node:net');
      let refused = 0;
      const hold = () => {
        const line = connect('${defaultSocketPath}', () => line.write('GET /v1/status HTTP/1.1\\r\\nhost: x\\r\\n'));
        const more = setInterval(() => line.writable && line.write('a: b\\r\\n'), 200);
        // Closed at once: whether the reason still arrives is a race between its octets and ours. And again, so that there is no moment in which it is not so.
        line.resume().on('error', () => {}).on('close', () => { refused++; clearInterval(more); setTimeout(hold, 200); });
      };
      for (let i = 0; i < 100; i++) hold();
      setInterval(() => refused > 50 && console.log('refused'), 50);
    `;
    const holding = stage.world.client.spawn([...member, node, '-e', holder], { name: 'slow' });
    await holding.saysWithin(/refused/);
    await stage.product.status();
    const neighbour = ['setpriv', '--reuid=1002', '--regid=1002', `--groups=${gid}`, '--'];
    assert.equal((await stage.world.client.run([...neighbour, ...aovpn, 'status'])).status, 0);
    await holding.stop('SIGKILL');
    await unmoved();
  });

  test('users who open hundreds of sockets, send noise, ask and never read, and a crowd that holds all there are: root is answered', async () => {
    const { client } = stage.world;
    const flood = `
      const { connect } = require('node:net');
      const ask = (line, body = '') => line + ' HTTP/1.1\\r\\nhost: x\\r\\n' + body;
      const say = [
        () => Buffer.from(Array.from({ length: 4000 }, () => Math.floor(Math.random() * 256))),
        () => ask('GET /v1/events', '\\r\\n'),
        () => ask('GET /v1/status', '\\r\\n').repeat(200),
        () => ask('PUT /v1/profiles/x', 'content-length: 8000000\\r\\n\\r\\n' + 'x'.repeat(50000)),
        () => '',
      ];
      let opened = 0;
      const open = (i) => {
        const line = connect('${defaultSocketPath}', () => { opened++; line.write(say[i % say.length]()); });
        // Nothing is read, so nobody here hears that the other end has closed: it is given up after a while, and comes again.
        line.pause().on('error', () => {}).on('close', () => setTimeout(open, 5, i));
        setTimeout(() => line.destroy(), 300 + i);
      };
      for (let i = 0; i < 400; i++) open(i);
      setInterval(() => opened > 400 && console.log('there'), 50);
    `;
    const hold = `
      const { connect } = require('node:net');
      let opened = 0;
      for (let i = 0; i < 16; i++) connect('${defaultSocketPath}', () => ++opened === 16 && console.log('there')).on('error', () => {});
      setInterval(() => {}, 1000);
    `;
    const people = [1, 2, 3, 4, 5, 6, 7].map((i) => ['setpriv', `--reuid=${1010 + i}`, '--regid=1010', `--groups=${gid}`, '--']);
    const crowd = [...people.map((who) => [who, hold] as const), [member, flood] as const, [stranger, flood] as const];
    const crowding: Running[] = [];
    try {
      for (const [who, script] of crowd) {
        const one = client.spawn([...who, node, '-e', script], { name: 'crowd' });
        crowding.push(one);
        await one.saysWithin(/there/);
      }
      for (let turn = 0; turn < 5; turn++) {
        const seen = await stage.product.aovpn(['status', '--json']);
        assert.equal(seen.status, 0, seen.stderr);
        assert.equal((JSON.parse(seen.stdout) as { connections: unknown[] }).connections.length, 1);
      }
      for (const one of crowding) assert.equal(one.exit, undefined, 'they go on');
      await unmoved();
    } finally {
      await Promise.all(crowding.map(async (one) => await one.stop('SIGKILL')));
    }
    // Whoever asked too often is heard again after a rest.
    await until('the member is heard again', async () => {
      const after = await client.run([...member, ...aovpn, 'status']);
      if (after.status !== 0) assert.match(after.stderr, /AOV-HOST-416/);
      return after.status === 0;
    });
  });

  test('names of profiles make no other files than their own', async () => {
    const before = readdirSync(beside('.')).sort();
    const xmlBase64 = Buffer.from(certificateProfile({ alwaysOn: false })).toString('base64');
    for (const name of ['../x', '..', 'a/b', 'a\0b', 'a\nb', 'a\u001b[31mb', '\u202eevil', 'a\u200bb', '.x', 'x'.repeat(101)]) {
      const answer = await stage.product.ask('PUT', `/v1/profiles/${encodeURIComponent(name)}`, { xmlBase64 });
      // With a slash it would be a user's, whose profiles are files.
      assert.equal(answer.status, name.includes('/') && !name.startsWith('.') ? 409 : 400, JSON.stringify(name));
    }
    // The credentials of "tunnel" are not the files of a profile "tunnel.ca".
    for (const name of ['tunnel.ca', 'tunnel.radius-ca', 'tunnel.p12']) {
      const answer = await stage.product.ask('PUT', `/v1/profiles/${name}`, { xmlBase64 });
      assert.equal(answer.status, 400, name);
    }
    for (const name of ['%2e%2e', "a'b$(id)`id`", '😀', 'ü'.repeat(100)]) {
      await stage.product.put(name, certificateProfile({ alwaysOn: false }));
      await stage.product.remove(name);
    }
    assert.deepEqual(readdirSync(beside('.')).sort(), before);
    await unmoved();
  });

  test('secrets are in files of root, and nowhere else', async () => {
    const { product, world } = stage;
    world.client.write('/run/user.xml', mschapv2Profile({ alwaysOn: false }));
    world.client.write('/run/password', `${users.alice}\n`, 0o600);
    world.client.write('/run/ca.pem', world.pki.root.certificatePem);
    const add = [
      'profile',
      'add',
      '/run/user.xml',
      '--user',
      'alice',
      '--password-file',
      '/run/password',
      '--gateway-ca',
      '/run/ca.pem',
    ];
    const added = await product.aovpn(add);
    assert.equal(added.status, 0, added.stderr);
    await product.up('user');
    await product.waitForState('user', 'up');
    for (const file of ['user.secret', 'user.user', 'user.ca.pem', 'tunnel.key']) {
      const { mode, uid } = statSync(beside(file));
      assert.deepEqual([(mode & 0o777).toString(8), uid], ['600', 0], file);
    }
    const places = {
      processes: await world.client.exec(['ps', 'axwwe']),
      log: product.daemon.output(),
      logs: (await product.aovpn(['logs'])).stdout,
      status: JSON.stringify(await product.status()),
      profile: JSON.stringify((await product.ask('GET', '/v1/profiles/user')).value),
      doctor: (await product.aovpn(['doctor'])).stdout,
      added: added.stdout,
    };
    assert.match(places.processes, /aovpnd\.mjs/);
    for (const [place, text] of Object.entries(places)) {
      assert.ok(text.length > 10, `${place} says something`);
      for (const secret of [users.alice, stage.machine().keyPem!.split('\n')[1]!]) assert.ok(!text.includes(secret), place);
    }
    await product.remove('user');
  });

  test('a pre-shared key in a profile is hidden from the group, however it is written', async () => {
    const { product, world } = stage;
    for (const element of ['<L2tpPsk>hunter2</L2tpPsk>', '<L2tpPsk><![CDATA[hunter2]]></L2tpPsk>']) {
      const xml = certificateProfile({ alwaysOn: false }).replace('<NativeProtocolType>', `${element}$&`);
      await product.put('psk', xml);
      const ask = ['curl', '-s', '--unix-socket', defaultSocketPath, 'http://x/v1/profiles/psk'];
      const [whole, shown] = [await world.client.exec(ask), await world.client.exec([...member, ...ask])];
      assert.ok(whole.includes('hunter2') && !shown.includes('hunter2') && shown.includes('NativeProtocolType'), shown);
      assert.notEqual((await world.client.run([...member, 'cat', '/etc/aovpn/profiles.d/psk.xml'])).status, 0);
      await product.remove('psk');
    }
  });

  test('what others than root can write is not believed, and what is in force stays', async () => {
    const { product } = stage;
    const lines = product.daemon.output().length;
    chmodSync(beside('.'), 0o777);
    writeFileSync(beside('planted.xml'), certificateProfile());
    const told = new RegExp(`AOV-DAEMON-503[^\\n]*others than root can write[^\\n]*what is in force stays`);
    await until(
      () => `${String(told)} in\n${product.daemon.output().slice(lines)}`,
      () => told.test(product.daemon.output().slice(lines)),
    );
    assert.equal(await product.connection('planted'), undefined);
    await unmoved();
    chownSync(beside('planted.xml'), 65534, 65534);
    chmodSync(beside('.'), 0o755);
    await product.daemon.signal('SIGHUP');
    const planted = await until('it is looked at', async () =>
      (await product.status()).profiles.find(({ name }) => name === 'planted'),
    );
    assert.equal(planted.state, 'refused');
    await unmoved();
  });

  function say(text: string): Promise<string> {
    return new Promise((resolve) => {
      let answer = '';
      const line = createConnection(stage.world.client.file(defaultSocketPath), () => line.write(text));
      line.on('data', (data) => {
        answer += data.toString();
        // Some keep the line.
        if (/AOV-HOST-41\d/.test(answer)) line.destroy();
      });
      line.on('error', () => undefined).on('close', () => resolve(answer));
      setTimeout(() => line.destroy(), hangMs).unref();
    });
  }
});
