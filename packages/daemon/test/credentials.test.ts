import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, suite, test } from 'node:test';
import { parseProfile } from '@aovpn/profile';
import { decideCertificate, openRing } from '../src/credentials.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'aovpn-credentials-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const xml = `<VPNProfile>
  <DeviceTunnel>true</DeviceTunnel>
  <NativeProfile>
    <Servers>vpn.example</Servers>
    <RoutingPolicyType>SplitTunnel</RoutingPolicyType>
    <NativeProtocolType>IKEv2</NativeProtocolType>
    <Authentication><MachineMethod>Certificate</MachineMethod></Authentication>
  </NativeProfile>
</VPNProfile>
`;
const { profile } = parseProfile(new TextEncoder().encode(xml));

/** Makes NAME.crt with NAME.key. @returns the SHA-1 of the certificate */
function issue(name: string, issuer?: string): string {
  const at = (file: string): string => path.join(directory, file);
  const extension = `basicConstraints=critical,CA:${name !== 'laptop'}`;
  const signer = issuer === undefined ? [] : ['-CA', at(`${issuer}.crt`), '-CAkey', at(`${issuer}.key`)];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-keyout', at(`${name}.key`)];
  const more = ['-subj', `/CN=${name}`, '-addext', extension, '-days', '30', '-out', at(`${name}.crt`)];
  const { status, stderr } = spawnSync('openssl', ['req', '-x509', ...key, ...signer, ...more], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  const { raw } = new X509Certificate(readFileSync(at(`${name}.crt`)));
  return createHash('sha1').update(raw).digest('hex');
}

suite('which certificate speaks for us', () => {
  const [root, middle] = [issue('root'), issue('middle', 'root')];
  issue('laptop', 'middle');
  const place = (name: string): string => path.join(directory, name);
  const keys = { files: { kind: 'pem', certificate: place('laptop.crt'), key: place('laptop.key') }, more: [] } as const;
  const above = async (paths: Parameters<typeof decideCertificate>[1]): Promise<readonly string[]> => {
    const ring = openRing(keys);
    try {
      const decided = await decideCertificate(profile!, paths, keys, ring);
      return decided!.choice.judged[0]!.candidate.issuerHashes;
    } finally {
      await ring.close();
    }
  };

  test('authorities above it are those of its own file, and those that are named for the gateway or for RADIUS', async () => {
    assert.deepEqual(await above({}), [], 'the PEM holds the certificate alone');
    writeFileSync(place('both.pem'), readFileSync(place('middle.crt'), 'utf8') + readFileSync(place('root.crt'), 'utf8'));
    assert.deepEqual(await above({ gatewayCa: place('both.pem') }), [middle, root]);
    assert.deepEqual(await above({ gatewayCa: place('root.crt'), radiusCa: place('middle.crt') }), [middle, root]);
    assert.deepEqual(await above({ radiusCa: place('root.crt') }), [], 'there is a gap in the way up');
  });

  test('a file that cannot be used is no reason to judge no certificate', async () => {
    writeFileSync(place('open.pem'), readFileSync(place('middle.crt')));
    chmodSync(place('open.pem'), 0o666);
    assert.deepEqual(await above({ gatewayCa: place('open.pem'), radiusCa: place('nowhere.pem') }), []);
  });
});
