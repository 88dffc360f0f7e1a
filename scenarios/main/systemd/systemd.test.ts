// Debian's systemd as the first process, with the units as they are shipped: the device tunnel at boot, what waits for it, the watchdog, the journal, and the end.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { network } from '../../../lab/network.ts';
import { certificateProfile, deviceProfile } from '../../../lab/profile-xml.ts';
import { repository, type Product } from '../../../lab/product.ts';
import { Systemd } from '../../../lab/systemd.ts';
import { hostState } from '../../../lab/trace.ts';
import { World } from '../../../lab/world.ts';

const units = ['aovpn-lockdown.service', 'aovpn.service', 'aovpn-wait-online.service'];
const page = `http://${network.corp.web}/`;

suite('main/systemd', () => {
  let world: World;
  let product: Product;
  let systemd: Systemd;
  let untouched: string;
  before(async () => {
    world = await World.create();
    await world.startGateway({ authentication: ['pubkey'] });
    product = world.product();
    untouched = await hostState(world.client);
    const machine = world.pki.machine();
    const file = (ending: string): string => `/etc/aovpn/profiles.d/device${ending}`;
    world.client.write(file('.xml'), deviceProfile());
    world.client.write(file('.pem'), machine.chainPem);
    world.client.write(file('.key'), machine.keyPem, 0o600);
    world.client.write(file('.ca.pem'), world.pki.root.certificatePem);
    systemd = await Systemd.boot(world.client, units, { 'aovpn.service': '[Service]\nWatchdogSec=10\n' });
  });
  after(async () => {
    await systemd?.[Symbol.asyncDispose]();
    await world?.close();
  });

  test('the device tunnel is up at boot, and what waits for it says so', async () => {
    await systemd.until('aovpn-wait-online.service', 'ActiveState', /^active$/);
    assert.equal((await product.connection('device'))?.state, 'up');
    assert.match((await world.application.fetch(page)).body, /./);
    assert.equal(await systemd.property('aovpn-lockdown.service', 'ActiveState'), 'active');
    await systemd.until('aovpn.service', 'StatusText', /^1 of 1 up$/);
    const main = await systemd.property('aovpn.service', 'MainPID');
    assert.equal(await systemd.property('aovpn.service', 'NRestarts'), '0');
    const troubles = (await systemd.journal('-u', 'aovpn.service')).map(({ MESSAGE }) => MESSAGE);
    assert.deepEqual(
      troubles.filter((text) => /EPERM|EACCES|EROFS|not permitted/.test(text!)),
      [],
      'the sandbox forbids nothing that is needed',
    );
    assert.match(await systemd.exec(['cat', `/proc/${main}/status`]), /^NoNewPrivs:\t1$[^]*^Seccomp:\t2$/m);
  });

  test('the journal has fields to look for: connection, priority, code', async () => {
    world.client.write('/etc/aovpn/profiles.d/broken.xml', '<VPNProfile');
    await systemd.until('aovpn.service', 'ActiveState', /^active$/);
    const entries = await systemd.journal('-u', 'aovpn.service', 'AOVPN_CONNECTION=device');
    const up = entries.find(({ MESSAGE }) => MESSAGE!.includes('connected to'));
    assert.ok(up, JSON.stringify(entries.map(({ MESSAGE }) => MESSAGE)));
    assert.deepEqual(
      [up['PRIORITY'], up['SYSLOG_IDENTIFIER'], up['_SYSTEMD_UNIT'], up['_TRANSPORT']],
      ['6', 'aovpnd', 'aovpn.service', 'journal'],
    );
    for (let turn = 0; ; turn++) {
      const [broken] = await systemd.journal('MESSAGE_ID=d5f0a1c95c3b4b6b8f0e7c1f6a2d9e34', 'AOVPN_CONNECTION=broken');
      if (broken) {
        assert.match(broken['AOVPN_CODE']!, /^AOV-[A-Z]+-\d{3}$/);
        assert.ok(Number(broken['PRIORITY']) <= 4);
        break;
      }
      assert.ok(turn < 600, JSON.stringify(await systemd.journal('-u', 'aovpn.service')));
    }
  });

  test('a daemon that stands still is ended by the watchdog and comes back, and so does the tunnel', async () => {
    const before = await systemd.property('aovpn.service', 'MainPID');
    await systemd.exec(['kill', '-STOP', before]);
    await systemd.until('aovpn.service', 'NRestarts', /^[1-9]/);
    await systemd.startedAnew('aovpn.service', before);
    await systemd.until('aovpn.service', 'StatusText', /^1 of \d+ up/);
    const waited = await systemd.exec(['/usr/bin/aovpn', 'wait-online', '--timeout', '30', 'device']);
    assert.match(waited, /^up after .*: device$/m);
    assert.match((await world.application.fetch(page)).body, /./);
  });

  test('a reload reads profiles anew, a stop leaves nothing', async () => {
    world.client.write('/etc/aovpn/profiles.d/second.xml', certificateProfile({ alwaysOn: false }));
    await systemd.exec(['systemctl', 'reload', 'aovpn.service']);
    await product.waitFor('second', 'there', () => true);
    await systemd.exec(['systemctl', 'stop', 'aovpn.service']);
    assert.equal(await systemd.property('aovpn.service', 'Result'), 'success');
    assert.equal(await hostState(world.client), untouched);
    const late = await systemd.run(['/usr/bin/aovpn', 'wait-online', '--timeout', '1']);
    assert.equal(late.status, 3, late.stderr);
  });

  test('the sandbox of each unit is as tight as the document says, by systemd’s own judgement', async () => {
    const document = readFileSync(repository('docs/systemd.md'), 'utf8');
    for (const unit of units) {
      const said = await systemd.exec(['systemd-analyze', 'security', '--offline=true', `/etc/systemd/system/${unit}`]);
      const [, score] = /Overall exposure level for \S+: ([\d.]+)/.exec(said)!;
      assert.ok(document.includes(`| \`${unit}\` | ${score} |`), `docs/systemd.md does not say that ${unit} has ${score}`);
    }
  });
});
