import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseAddress, type IpAddress } from '@aovpn/bytes';
import { emptyPlan, type DnsPlan, type DnsRule } from '@aovpn/policy';
import { decideResolver } from '../../src/resolver/decide-resolver.ts';
import { formatResolvConf, isOurs, parseResolvConf } from '../../src/resolver/resolv-conf.ts';
import { arrangeResolvedLinks } from '../../src/resolver/resolved-links.ts';

function address(text: string): IpAddress {
  return parseAddress(text)!;
}

suite('who owns the resolver', () => {
  const stubFile = 'nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n';

  test('systemd-resolved, when it runs and programs ask it', () => {
    assert.deepEqual(
      decideResolver({ resolvConf: stubFile, resolvConfLink: '../run/systemd/resolve/stub-resolv.conf', resolvedRunning: true }),
      {
        owner: 'systemd-resolved',
        trace: [
          'resolv.conf is a link to ../run/systemd/resolve/stub-resolv.conf',
          'it names 127.0.0.53',
          'systemd-resolved answers on the system bus',
          'programs ask systemd-resolved: our name rules go there',
        ],
      },
    );
  });

  test('the stub, when systemd-resolved is named but dead', () => {
    const { owner, trace } = decideResolver({ resolvConf: stubFile, resolvedRunning: false });
    assert.equal(owner, 'stub');
    assert.deepEqual(trace.slice(1), [
      'it names 127.0.0.53',
      'systemd-resolved does not answer on the system bus',
      'resolv.conf names systemd-resolved, but it is not there',
      'our own stub resolver takes resolv.conf over while name rules are in force',
    ]);
  });

  test('the stub, when resolv.conf goes past a running systemd-resolved', () => {
    for (const resolvConf of ['nameserver 192.168.1.1\n', 'nameserver 127.0.0.53\nnameserver 192.168.1.1\n']) {
      const { owner, trace } = decideResolver({ resolvConf, resolvedRunning: true });
      assert.equal(owner, 'stub');
      assert.ok(trace.includes('resolv.conf goes past systemd-resolved, so rules in it would not bind programs'));
    }
  });

  test('the stub, when nothing is there at all', () => {
    assert.equal(decideResolver({ resolvConf: '', resolvedRunning: false }).owner, 'stub');
  });
});

suite('resolv.conf', () => {
  test('is read as the C library reads it', () => {
    const text =
      '# comment\n; other\nnameserver 192.168.1.1 # mine\nnameserver  fe80::1%eth0\nnameserver 2001:db8::1\nnonsense\ndomain a.example\nsearch B.example c.example.\noptions ndots:2\n';
    assert.deepEqual(parseResolvConf(text), {
      nameservers: [address('192.168.1.1'), address('2001:db8::1')],
      search: ['b.example', 'c.example'],
      options: ['ndots:2'],
    });
  });

  test('what is written is read back, and known as ours', () => {
    const configuration = { nameservers: [address('127.0.0.96')], search: ['corp.example'], options: ['edns0'] };
    assert.deepEqual(parseResolvConf(formatResolvConf(configuration)), configuration);
    assert.ok(isOurs(formatResolvConf(configuration)));
    assert.ok(!isOurs('nameserver 1.1.1.1\n'));
  });
});

suite('name rules in the words of systemd-resolved', () => {
  const stub = address('127.0.0.96');
  const rule = (name: string, servers: readonly string[], device: string | undefined = 'aov0'): DnsRule => ({
    name,
    servers: servers.map(address),
    profile: 'Corp',
    ...(device === undefined ? {} : { device }),
    because: { profile: 'Corp', why: 'test' },
    instead: [],
  });
  const dns = (rules: readonly DnsRule[], search: DnsPlan['search'] = []): DnsPlan => ({
    ...emptyPlan.dns,
    resolver: 'systemd-resolved',
    rules,
    search,
  });

  test('one list of servers a tunnel: said directly', () => {
    const because = { profile: 'Corp', why: 'test' };
    const arranged = arrangeResolvedLinks(
      dns(
        [rule('.corp.example', ['10.0.0.53']), rule('.lab.example', ['10.0.0.53'])],
        [{ domain: 'corp.example', device: 'aov0', because }],
      ),
      'aovdns',
      stub,
    );
    assert.deepEqual(arranged.links, [
      {
        device: 'aov0',
        servers: [address('10.0.0.53')],
        domains: [
          { domain: 'corp.example', routingOnly: false },
          { domain: 'lab.example', routingOnly: true },
        ],
        defaultRoute: false,
      },
    ]);
    assert.equal(arranged.throughStub, false);
  });

  test('all names: the default route for names', () => {
    const [link] = arrangeResolvedLinks(dns([rule('.', ['10.0.0.53'])]), 'aovdns', stub).links;
    assert.deepEqual([link?.domains, link?.defaultRoute], [[{ domain: '.', routingOnly: true }], true]);
  });

  test('what it has no words for goes through our stub', () => {
    const cases: [readonly DnsRule[], string][] = [
      [[rule('.corp.example', ['10.0.0.53']), rule('vpn.corp.example', [])], 'vpn.corp.example is exempted'],
      [[rule('host.corp.example', ['10.0.0.53'])], 'host.corp.example is one name, without those below it'],
      [[rule('.corp.example', ['10.0.0.53']), rule('.lab.example', ['10.0.0.54'])], 'aov0 has several lists of servers'],
      [
        [{ ...rule('.corp.example', ['10.0.0.53']), device: undefined } as never],
        '.corp.example stays in force while its tunnel is down',
      ],
    ];
    for (const [rules, why] of cases) {
      const arranged = arrangeResolvedLinks(dns(rules), 'aovdns', stub);
      assert.deepEqual([arranged.throughStub, arranged.why], [true, why]);
      assert.deepEqual(
        arranged.links.map(({ device, servers }) => [device, servers]),
        [['aovdns', [stub]]],
      );
    }
  });

  test('nothing for nothing', () => {
    assert.deepEqual(arrangeResolvedLinks(dns([]), 'aovdns', stub).links, []);
  });
});
