import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';
import type { Link } from '../../src/network/kernel-network.ts';
import { parseDhclientLeases, parseNetworkdState, readLinkSuffixes, type SuffixHints } from '../../src/network/link-suffix.ts';

const link = (index: number, name: string, changes: Partial<Link> = {}): Link => ({
  index,
  name,
  kind: '',
  up: true,
  running: true,
  loopback: false,
  mtu: 1500,
  master: 0,
  ...changes,
});
const links = [
  link(1, 'lo', { loopback: true }),
  link(2, 'eth0'),
  link(3, 'wlan0'),
  link(4, 'wg0', { kind: 'wireguard' }),
  link(5, 'eth1', { running: false }),
];
const nothing: SuffixHints = { search: [], resolved: [], networkManager: [] };

/** systemd-networkd 252, /run/systemd/netif/leases: the lines that matter and their neighbours. */
const lease =
  'ADDRESS=192.0.2.10\nNETMASK=255.255.255.0\nDOMAINNAME=corp.example\nDOMAIN_SEARCH_LIST=lab.example dev.example\nHOSTNAME=pc\n';
/** isc-dhcp-client 4.4, dhclient.leases(5). */
const leases = `lease {
  interface "eth0";
  fixed-address 192.0.2.9;
  option domain-name "old.example";
}
lease {
  interface "eth0";
  fixed-address 192.0.2.10;
  option domain-name-servers 192.0.2.53;
  option domain-name "corp.example";
  option domain-search "a.example.", "b.example.";
}
lease6 {
  interface "wlan0";
  ia-na 00:00:00:01 {
  }
  option dhcp6.domain-search "six.example.";
}
`;

suite('suffixes of links', () => {
  let root: string;
  before(() => {
    root = mkdtempSync(path.join(tmpdir(), 'aovpn-suffix-'));
  });
  after(() => rmSync(root, { recursive: true, force: true }));
  const write = (file: string, text: string): void => {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    writeFileSync(path.join(root, file), text);
  };
  const found = (hints: Partial<SuffixHints> = {}): string[] =>
    readLinkSuffixes(links, { ...nothing, ...hints }, root).map(({ device, suffix, source }) => `${device} ${suffix} ${source}`);

  test('state of systemd-networkd and leases of dhclient, the last one of an interface', () => {
    assert.deepEqual(parseNetworkdState(lease), ['corp.example', 'lab.example', 'dev.example']);
    assert.deepEqual(
      parseDhclientLeases(leases).map(({ device, domain }) => `${device} ${domain}`),
      ['eth0 corp.example', 'eth0 a.example.', 'eth0 b.example.', 'wlan0 six.example.'],
    );
  });

  test('resolv.conf speaks for the default route only when nobody says more', () => {
    assert.deepEqual(found({ search: ['Corp.Example.'], defaultDevice: 'eth0' }), ['eth0 corp.example resolv.conf']);
    const resolved = [{ index: 3, domain: 'home.example', routingOnly: false }];
    assert.deepEqual(found({ search: ['corp.example'], defaultDevice: 'eth0', resolved }), [
      'wlan0 home.example systemd-resolved',
    ]);
  });

  test('tunnels, loopback, links without cable, routing-only domains and nonsense do not count', () => {
    const resolved = [1, 4, 5, 9].map((index) => ({ index, domain: 'corp.example', routingOnly: false }));
    resolved.push(
      { index: 2, domain: '.', routingOnly: false },
      { index: 2, domain: `${'x'.repeat(64)}.example`, routingOnly: false },
    );
    assert.deepEqual(found({ resolved: [...resolved, { index: 2, domain: 'corp.example', routingOnly: true }] }), []);
    assert.deepEqual(found({ search: ['corp.example'], defaultDevice: 'wg0' }), []);
  });

  test('files of every program, each for its own link', () => {
    write('run/systemd/netif/leases/3', lease);
    write('var/lib/dhcp/dhclient.eth0.leases', leases);
    write('run/resolvconf/interface/eth0.dhclient', 'domain rc.example\nnameserver 192.0.2.53\n');
    assert.deepEqual(found({ networkManager: [{ device: 'eth0', domain: 'nm.example' }] }), [
      'eth0 nm.example NetworkManager',
      'wlan0 corp.example systemd-networkd',
      'wlan0 lab.example systemd-networkd',
      'wlan0 dev.example systemd-networkd',
      'eth0 corp.example dhclient',
      'eth0 a.example dhclient',
      'eth0 b.example dhclient',
      'wlan0 six.example dhclient',
      'eth0 rc.example resolvconf',
    ]);
  });
});
