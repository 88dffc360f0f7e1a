import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertOnlyEsp, contains, countSorts } from '../capture.ts';
import { CommandFailed } from '../host.ts';
import { removeLeftovers } from '../leftover.ts';
import { canary, network, publicCanary } from '../network.ts';
import { hangMs } from '../patience.ts';
import { StrongswanClient } from '../peer.ts';
import { World } from '../world.ts';

suite('a world', () => {
  let world: World;
  before(async () => {
    world = await World.create();
    await world.startGateway();
  });
  after(() => world?.close());

  test('has an internet that the client reaches, and a corporate network that it does not', async () => {
    const { application } = world;
    for (const family of [4, 6] as const) {
      const page = await application.fetch(`http://${network.internet.web}/`, { family });
      assert.match(page.body, new RegExp(publicCanary));
    }
    assert.deepEqual(await application.resolve(network.gateway.name, 4), [network.gateway.v4]);
    await assert.rejects(application.resolve(network.corp.web), /ENOTFOUND/);
    await assert.rejects(application.connect(network.corp.web4, 80, 300));
  });

  test('carries a strongSwan client to the intranet, with ESP only on the wire', async () => {
    const peer = new StrongswanClient(world.client, {
      certificate: world.pki.machine(),
      authority: world.pki.root.certificatePem,
    });
    const capture = await world.capture();
    try {
      await peer.start();
      await peer.initiate();
      for (const address of [network.corp.web4, `[${network.corp.web6}]`]) {
        const page = await world.application.fetch(`http://${address}/`);
        assert.match(page.body, new RegExp(canary));
      }
      assert.match(readFileSync(world.client.file('/etc/resolv.conf'), 'utf8'), new RegExp(network.corp.dns4));
      const page = await world.application.fetchUntil(`http://${network.corp.web}/`);
      assert.match(page.body, new RegExp(canary));
      const inside = await capture.packets();
      assertOnlyEsp(inside, [canary, network.corp.web], { publicDns: [network.internet.dns4] });

      // The positive control: what goes outside the tunnel is seen, and would fail the same check.
      await world.application.fetch(`http://${network.internet.web4}/`);
      const outside = await capture.packets();
      assert.ok(contains(outside, publicCanary), 'the capture does not see plaintext');
      assert.ok(countSorts(outside).plaintext > 0);
      assert.throws(() => assertOnlyEsp(outside, []), /in clear/);
    } finally {
      await capture.stop();
      await peer.stop();
    }
  });

  test('loses, delays, doubles, reorders, drops and translates as told', async () => {
    const { application } = world;
    const gateway = world.gatewayHost.spawn([process.execPath, '-e', echo], { name: 'echo' });
    await gateway.saysWithin(/ready/);
    const measure = async (): ReturnType<Awaited<ReturnType<typeof application.flow>>['stop']> => {
      const flow = await application.flow(network.gateway.v4, 7777, 400, 100);
      while ((await flow.look()).sent < 200) await sleep(20);
      return flow.stop();
    };
    const plain = await measure();
    assert.equal(plain.lost, 0);

    await world.impair({ loss: 0.2 });
    const lossy = await measure();
    assert.ok(
      lossy.lost > lossy.sent * 0.2 && lossy.lost < lossy.sent * 0.55,
      `both ways 20 %: lost ${lossy.lost} of ${lossy.sent}`,
    );

    await world.impair({ delayMs: 40 });
    const late = await measure();
    assert.equal(late.lost, 0);
    assert.ok(late.medianMs >= 79, `80 ms expected, ${late.medianMs}`);

    await world.impair({ duplicate: 0.3, delayMs: 1 });
    assert.ok((await measure()).duplicated > 20);

    await world.impair({ reorder: 0.1, delayMs: 10 });
    assert.ok((await measure()).reordered > 5);

    await world.impair({ rateKbit: 100 });
    assert.ok((await measure()).lost > 20);

    await world.impair({ dropUdpPorts: [7777] });
    assert.equal((await measure()).received, 0);

    await world.impair({ nat: true });
    const translated = await measure();
    assert.equal(translated.lost, 0);
    assert.match(gateway.output(), new RegExp(`from ${network.router.v4} [2-6]\\d{4}`));

    await world.impair({ blackhole: true });
    assert.equal((await measure()).received, 0);

    await world.impair({});
    assert.equal((await measure()).lost, 0);
    await gateway.stop();
  });

  test('lets the client move to another network and back', async () => {
    const { application } = world;
    for (const to of ['away', 'home'] as const) {
      await world.moveClient(to);
      const who = await application.fetch(`http://${network.internet.web}/who`, { family: 4 });
      assert.equal(who.body.trim(), network.client[to].v4);
    }
  });

  test('says what a failed command said', async () => {
    await assert.rejects(world.client.exec(['sh', '-c', 'echo oh dear >&2; exit 3']), (error) => {
      assert.ok(error instanceof CommandFailed);
      assert.match(error.message, /status 3\noh dear/);
      return true;
    });
  });
});

suite('the end of a world', () => {
  test('takes processes, namespaces and files with it', async () => {
    const world = await World.create({ bare: true });
    const stayer = world.client.spawn(['sh', '-c', 'trap "" TERM HUP INT; while :; do sleep 1; done']);
    const pid = await stayer.pid();
    const namespace = readlinkSync(`/proc/${pid}/ns/net`);
    assert.ok(usersOf(namespace) >= 2);
    await world.close();
    assert.equal(usersOf(namespace), 0);
    assert.equal(existsSync(world.directory), false);
  });

  test('comes with the end of its owner, even by SIGKILL; the next world removes the files', async (context) => {
    // A place of its own: a world that is made beside this test would remove them first.
    const place = mkdtempSync(path.join(tmpdir(), 'aovpn-end-'));
    context.after(() => rmSync(place, { recursive: true }));
    for (const signal of ['SIGKILL', 'SIGINT'] as const) {
      const program = `
        const { World } = await import(${JSON.stringify(new URL('../world.ts', import.meta.url).href)});
        const world = await World.create({ bare: true });
        console.log(JSON.stringify({ directory: world.directory, holder: world.client.holder }));
        setInterval(() => {}, 1000);`;
      const owner = spawn(process.execPath, ['--input-type=module', '-e', program], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, AOVPN_LAB_DIR: place },
      });
      const line = await new Promise<string>((resolve, reject) => {
        owner.stdout.setEncoding('utf8').once('data', resolve);
        owner.once('close', () => reject(new Error('the owner of a world ended early')));
      });
      const { directory, holder } = JSON.parse(line) as { directory: string; holder: number };
      const namespace = readlinkSync(`/proc/${holder}/ns/net`);
      owner.kill(signal);
      await new Promise((resolve) => owner.once('close', resolve));
      for (const deadline = performance.now() + hangMs; usersOf(namespace) > 0 && performance.now() < deadline;) await sleep(20);
      assert.equal(usersOf(namespace), 0, `processes survive ${signal}`);
      if (signal === 'SIGKILL') assert.deepEqual(removeLeftovers(place), [directory]);
      assert.equal(existsSync(directory), false);
    }
  });
});

const echo = `
const socket = require('node:dgram').createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
let seen = '';
socket.on('message', (message, from) => {
  const who = 'from ' + from.address + ' ' + from.port;
  if (who !== seen) console.log(seen = who);
  socket.send(message, from.port, from.address);
});
socket.bind(7777, () => console.log('ready'));`;

/** Processes whose network namespace is this one. */
function usersOf(namespace: string): number {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readlinkSync(`/proc/${name}/ns/net`) === namespace;
    } catch {
      return false;
    }
  }).length;
}
