import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, suite, test } from 'node:test';
import type { PutProfile } from '@aovpn/api';
import { reviewProfile } from '@aovpn/supervisor';
import { DaemonError } from '../src/daemon-error.ts';
import { Log } from '../src/log.ts';
import { ProfileStore } from '../src/profile-store.ts';
import { storeProfile } from '../src/put-profile.ts';
import { parseSettings } from '../src/settings.ts';

const xml = `<VPNProfile>
  <AlwaysOn>true</AlwaysOn>
  <DeviceTunnel>true</DeviceTunnel>
  <NativeProfile>
    <Servers>vpn.example</Servers>
    <RoutingPolicyType>SplitTunnel</RoutingPolicyType>
    <NativeProtocolType>IKEv2</NativeProtocolType>
    <Authentication><MachineMethod>Certificate</MachineMethod></Authentication>
  </NativeProfile>
</VPNProfile>
`;

const root = mkdtempSync(path.join(tmpdir(), 'aovpn-put-'));
after(() => rmSync(root, { recursive: true, force: true }));

function certificate(): string {
  const file = path.join(root, 'ca.pem');
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-keyout', path.join(root, 'ca.key')];
  const { status, stderr } = spawnSync('openssl', ['req', '-x509', ...key, '-subj', '/CN=ca', '-out', file], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  return readFileSync(file, 'utf8');
}

suite('a profile with credentials, as it is put in place', () => {
  const gatewayCaPem = certificate();
  let count = 0;

  /** What the daemon is made of, as far as this concerns it. */
  function daemonWith(settings: string): { readonly daemon: never; readonly profilesDir: string } {
    const configDir = path.join(root, String(++count));
    const profilesDir = path.join(configDir, 'profiles.d');
    const stateDir = path.join(configDir, 'state');
    for (const directory of [profilesDir, stateDir]) mkdirSync(directory, { recursive: true });
    chmodSync(profilesDir, 0o755);
    const parsed = parseSettings(settings);
    assert.ok('settings' in parsed);
    const store = new ProfileStore({
      directory: profilesDir,
      lastGoodDirectory: path.join(stateDir, 'last-good'),
      review: (_name, profile) => reviewProfile(profile, { allowWeak: false, postQuantum: 'offer' }),
      log: new Log({ level: 'error', format: 'text', journal: false, write: () => {}, clock: Date.now }),
      clock: () => 0,
    });
    const options = { configDir, stateDir };
    const rescan = async (): Promise<void> => void (await store.scan());
    return { daemon: { options, profilesDir, store, settings: { current: parsed.settings }, rescan } as never, profilesDir };
  }

  const body = (credentials: PutProfile['credentials']): PutProfile => ({
    xmlBase64: Buffer.from(xml).toString('base64'),
    ...(credentials && { credentials }),
  });

  const token = '[profile."office"]\npkcs11-module = "/usr/lib/none.so"\npkcs11-token = "card"\n';
  for (const [whose, settings] of [
    ['whose certificate is on a token', token],
    ['whose certificate comes later', ''],
  ] as const) {
    test(`${whose}: the authority of the gateway is taken without it`, async () => {
      const { daemon, profilesDir } = daemonWith(settings);
      assert.equal((await storeProfile(daemon, 'office', body({ gatewayCaPem }))).state, 'in-force');
      assert.deepEqual(readdirSync(profilesDir).toSorted(), ['office.ca.pem', 'office.xml']);
      assert.equal((await storeProfile(daemon, 'office', body({ userName: 'jo' }))).state, 'in-force');
    });

    test(`${whose}: an authority that is none is refused, and nothing is written`, async () => {
      const { daemon, profilesDir } = daemonWith(settings);
      await assert.rejects(storeProfile(daemon, 'office', body({ gatewayCaPem: 'no certificate' })), (error: unknown) => {
        assert.ok(error instanceof DaemonError);
        assert.equal(error.code, 'AOV-DAEMON-515');
        assert.match(error.message, /the given gatewayCa holds no certificate \[AOV-HOST-110\]/);
        return true;
      });
      assert.deepEqual(readdirSync(profilesDir), []);
    });
  }

  test('a certificate without its key is refused', async () => {
    const { daemon, profilesDir } = daemonWith('');
    await assert.rejects(storeProfile(daemon, 'office', body({ certificatePem: gatewayCaPem })), /AOV-HOST-111/);
    assert.deepEqual(readdirSync(profilesDir), []);
  });
});
