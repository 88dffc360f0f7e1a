// RegisterDNS against a real BIND behind a real gateway: the machine's addresses stand in the company's DNS while the tunnel is up, told
// through the tunnel alone, and are gone afterwards.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { contains } from '../../../lab/capture.ts';
import { network } from '../../../lab/network.ts';
import { certificateProfile, deviceProfile } from '../../../lab/profile-xml.ts';
import type { Running } from '../../../lab/running.ts';
import { startBind } from '../../../lab/server/bind.ts';
import { Stage } from '../../../lab/stage.ts';

const key = `key "laptop" { algorithm hmac-sha256; secret "${randomBytes(32).toString('base64')}"; };\n`;
const name = `laptop-7.${network.corp.zone}`;

suite('net/register-dns', () => {
  let stage: Stage;
  let bind: Running;
  before(async () => {
    stage = await Stage.set();
    const { world, product } = stage;
    await world.corporateDns.stop();
    const policy = { more: 'update-policy { grant laptop zonesub ANY; };' };
    bind = await startBind(
      world.corp,
      network.corp.dns4,
      [
        { name: network.corp.zone, records: `ns1 IN A ${network.corp.dns4}\nintranet IN A ${network.corp.web4}\n`, ...policy },
        { name: '30.10.in-addr.arpa', records: '', ...policy },
      ],
      key,
    );
    world.client.write('/etc/aovpn/laptop.key', key);
    chmodSync(world.client.file('/etc/aovpn/laptop.key'), 0o600);
    await product.settings(
      `[profile.tunnel]\ndns-update-key = "laptop.key"\ndns-update-name = "${name}"\n[profile.second]\ndns-update-name = "${name}"\n`,
    );
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const ask = async (...args: string[]): Promise<string> => {
    const { stdout } = await stage.world.corp.run(['dig', '+short', `@${network.corp.dns4}`, ...args]);
    return stdout.trim();
  };
  const registration = async (profile: string) => (await stage.product.connection(profile))?.dns.registration;
  const until = async (what: string, probe: () => Promise<boolean>): Promise<void> => {
    for (let wait = 0; !(await probe()); wait += 100) {
      if (wait > 60_000)
        throw new Error(`${what}: never\n${bind.output().slice(-2000)}\n${stage.product.daemon.output().slice(-2000)}`);
      await sleep(100);
    }
  };

  test('while the tunnel is up: A and PTR, signed, through the tunnel and not beside it', async () => {
    const { world, product } = stage;
    const capture = await world.capture();
    await product.put('tunnel', certificateProfile({ extra: '<RegisterDNS>true</RegisterDNS>' }), stage.machine());
    await product.waitForState('tunnel', 'up');
    await until('registered', async () => (await registration('tunnel'))?.state === 'registered');
    const mine = (await product.connection('tunnel'))!.addresses.find((address) => network.pool.any4.test(address))!;
    assert.equal(await ask(name, 'A'), mine);
    assert.equal(await ask('-x', mine), `${name}.`);
    assert.match(bind.output(), /key laptop: updating zone/);
    assert.match(
      (await product.aovpn(['status', 'tunnel'])).stdout,
      new RegExp(`registered\\s+as ${name.replaceAll('.', '\\.')}`),
    );
    // Positive control: a public name does go out in clear, the machine's own does not.
    await world.application.resolve(network.internet.web, 4);
    const packets = await capture.stop();
    assert.ok(contains(packets, network.internet.web));
    assert.ok(!contains(packets, 'laptop-7'));
  });

  test('a second tunnel that wants the same is told, and changes nothing', async () => {
    const { product } = stage;
    const before = await ask(name, 'A');
    // A certificate of its own: for the same one the gateway would end the first tunnel.
    const other = stage.machine(stage.world.pki.machine('p256', 'other.corp.example'));
    await product.put('upper', certificateProfile({ extra: '<RegisterDNS>true</RegisterDNS>' }), other);
    await product.waitForState('upper', 'up');
    assert.equal(await registration('upper'), undefined);
    const status = (await product.status()).profiles.find((profile) => profile.name === 'upper')!;
    assert.ok(
      status.diagnostics.some(({ code }) => code === 'AOV-POLICY-442'),
      JSON.stringify(status.diagnostics),
    );
    assert.equal(await ask(name, 'A'), before);
    await product.remove('upper');
  });

  test('after disconnecting: neither A nor PTR', async () => {
    const { product } = stage;
    const mine = await ask(name, 'A');
    await product.down('tunnel');
    await product.waitForState('tunnel', 'held');
    assert.equal(await ask(name, 'A'), '');
    assert.equal(await ask('-x', mine), '');
    assert.equal(await registration('tunnel'), undefined);
    await product.remove('tunnel');
  });

  test('refused: the tunnel is up all the same, and the status says why and what to do', async () => {
    const { product } = stage;
    await product.put('second', deviceProfile({ extra: '<RegisterDNS>true</RegisterDNS>' }), stage.machine());
    await product.waitForState('second', 'up');
    await until('failed', async () => (await registration('second'))?.state === 'failed');
    assert.equal((await registration('second'))!.problem!.code, 'AOV-HOST-331');
    assert.match((await product.aovpn(['status', 'second'])).stdout, /REFUSED.*dns-update-key/);
    assert.equal(await ask(name, 'A'), '');
  });
});
