// Where a machine belongs: nowhere, then a domain by a real SSSD, then as realmd has it after a join; told without a restart.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import type { DoctorReport } from '@aovpn/api';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import type { Product } from '../../../lab/product.ts';
import { startBus } from '../../../lab/server/message-bus.ts';
import { joinDomain } from '../../../lab/server/sssd.ts';
import { inUnpacked } from '../../../lab/unpacked.ts';
import { World } from '../../../lab/world.ts';

const missing = ['sssd-common', 'slapd', 'realmd'].filter((name) => !existsSync(inUnpacked(name, 'usr')));

suite('always-on/platform', { skip: missing.length > 0 && `not unpacked: ${missing.join(', ')}` }, () => {
  let world: World;
  let product: Product;
  before(async () => {
    world = await World.create({ bare: true });
    product = world.product();
    await startBus(world.client);
    await product.start();
    const { chainPem: certificatePem, keyPem } = world.pki.machine();
    await product.put('plain', certificateProfile({ alwaysOn: false }), {
      certificatePem,
      keyPem,
      gatewayCaPem: world.pki.root.certificatePem,
    });
  });
  after(async () => await world?.[Symbol.asyncDispose]());

  /** What `aovpn doctor` says of it. */
  async function checked(): Promise<DoctorReport['checks'][number]> {
    const { stdout } = await product.aovpn(['doctor', '--json']);
    return (JSON.parse(stdout) as DoctorReport).checks.find(({ name }) => name === 'platform')!;
  }

  test('a machine of its own', async () => {
    const { platform } = await product.status();
    assert.equal(platform.kind, 'workgroup');
    assert.doesNotMatch((await product.aovpn(['status'])).stdout, /this machine:/);
    const { verdict, found } = await checked();
    assert.equal(verdict, 'ok');
    assert.match(found, /belongs to no domain/);
  });

  test('SSSD knows a domain: a member, whose full name is of that domain', async () => {
    await joinDomain(world.client, [{ name: 'carol', rid: 1201 }], ['realmd']);
    const { platform } = await product.status();
    assert.deepEqual(
      [platform.kind, platform.joinedTo, platform.by, platform.suffixes],
      ['domain', 'corp.example', 'SSSD (ldap)', ['corp.example']],
    );
    assert.match(platform.hostName ?? '', /\.corp\.example$/);
    assert.match((await product.aovpn(['status'])).stdout, /this machine: member of the domain corp\.example, by SSSD \(ldap\)/);
  });

  test('after a join to Active Directory realmd says so too; without a key of its own the machine’s membership is not whole', async () => {
    // What `realm join` leaves behind, with the password of no domain.
    const text =
      '[sssd]\ndomains = corp.example\nservices = nss\n[domain/corp.example]\nid_provider = ad\nad_domain = corp.example\nkrb5_realm = CORP.EXAMPLE\nrealmd_tags = manages-system joined-with-adcli\n';
    world.client.write('/etc/sssd/sssd.conf', text, 0o600);
    const realmd = world.client.spawn(['/usr/libexec/realmd', '--debug'], { name: 'realmd' });
    await realmd.saysWithin(/claimed name|acquired|name/i);
    const { verdict, found, cure } = await checked();
    assert.equal(verdict, 'warning', found);
    assert.match(found, /member of the domain corp\.example, by SSSD \(ad\) and realmd; no machine account was found/);
    assert.match(cure ?? '', /realm join/);
    await realmd.stop('SIGTERM');
  });
});
