import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { addressFromBytes, parseAddress, parsePrefix, type IpFamily } from '@aovpn/bytes';
import { guardTables, printGuard, printLockdown, printWaitingGuard, type TunnelPlan } from '@aovpn/policy';
import fc from 'fast-check';
import { printBlockRuleset } from '../../src/filter/block-ruleset.ts';
import { encodeRuleset } from '../../src/filter/encode-ruleset.ts';
import { commit } from '../../src/filter/nfnetlink.ts';
import { inOwnNamespace, run } from '../network/namespace.ts';

const tunnel: TunnelPlan = {
  device: 'aov-corp',
  profile: 'corp',
  kind: 'device',
  mtu: 1380,
  addresses: ['10.30.0.10/32', 'fd00:30::10/128'].map((text) => parsePrefix(text)!),
  metric: { v4: 25, v6: 25 },
  outer: { gateway: parseAddress('203.0.113.2')!, mark: 0x6172_6e },
  because: { profile: 'corp', why: 'test' },
};

const address = (family: IpFamily) =>
  fc.uint8Array({ minLength: family === 4 ? 4 : 16, maxLength: family === 4 ? 4 : 16 }).map(addressFromBytes);
const anyAddress = fc.oneof(address(4), address(6));
const prefix = fc.oneof(
  fc.tuple(address(4), fc.integer({ min: 1, max: 32 })),
  fc.tuple(address(6), fc.integer({ min: 1, max: 128 })),
  // Some that touch each other and the ends of all addresses.
  fc.tuple(
    fc.constantFrom(...['0.0.0.0', '64.0.0.0', '128.0.0.0', '192.0.0.0'].map((text) => parseAddress(text)!)),
    fc.constant(2),
  ),
);
const range = fc.tuple(fc.nat(70_000), fc.nat(3)).map(([from, more]) => ({ from, to: from + more }));
const anyTunnel: fc.Arbitrary<TunnelPlan> = fc
  .record({
    device: fc.stringMatching(/^aov-[a-z]{1,11}$/),
    own: fc.uniqueArray(anyAddress, { maxLength: 3, selector: ({ bytes }) => bytes.join() }),
    gateway: fc.option(anyAddress),
    direct: fc.option(fc.uniqueArray(prefix, { maxLength: 6 })),
    users: fc.uniqueArray(range, { minLength: 1, maxLength: 3, selector: ({ from }) => from >> 3 }),
    servers: fc.uniqueArray(anyAddress, { maxLength: 3, selector: ({ bytes }) => bytes.join() }),
  })
  .map(({ device, own, gateway, direct, users, servers }) => {
    const { outer: _, ...rest } = tunnel;
    return {
      ...rest,
      device,
      addresses: own.map((one) => ({ address: one, length: one.family === 4 ? 32 : 128 })),
      ...(gateway ? { outer: { gateway, mark: 0x6172_6e } } : {}),
      ...(direct
        ? {
            past: {
              direct: direct.map(([one, length]) => {
                const bytes = one.bytes.map((octet, i) => octet & ~(0xff >> Math.min(8, Math.max(0, length - i * 8))));
                return { address: addressFromBytes(bytes), length };
              }),
              resolver: { users, servers },
            },
          }
        : {}),
    };
  });

suite('what of nft’s language is spoken without nft', () => {
  test('the guards of every tunnel but one of a user, and their removal', () => {
    for (const text of [
      printWaitingGuard(5),
      printGuard([]),
      printGuard([tunnel]),
      printGuard([{ ...tunnel, past: { direct: [parsePrefix('198.51.100.0/24')!] } }]),
      printBlockRuleset([]),
    ])
      assert.ok(encodeRuleset(text), text);
  });

  test('a word that it does not know, or half a text, is nft’s business as a whole', () => {
    const text = printGuard([tunnel]);
    assert.equal(encodeRuleset(text.replace('iifname "lo" return', 'iifname "lo" queue')), undefined);
    assert.equal(encodeRuleset(text.replace('counter drop', 'counter drop 5')), undefined);
    assert.equal(encodeRuleset(text.replace('"lo"', '"lo')), undefined);
    assert.equal(encodeRuleset(text.replace('"lo"', '"far-too-long-for-a-link"')), undefined);
    assert.equal(encodeRuleset(text.slice(0, -4)), undefined);
    assert.equal(encodeRuleset('include "/etc/passwd"\n'), undefined);
    const lockdown = printLockdown({ because: [], devices: [], gateways: [], resolvers: [], mark: 5 }, 'replace', 0);
    assert.equal(encodeRuleset(lockdown), undefined);
  });

  test('one that would hold up the event loop is nft’s business', () => {
    const many = Array.from({ length: 1001 }, (_, i) => parsePrefix(`10.0.${i >> 8}.${i & 255}/32`)!);
    assert.equal(encodeRuleset(printGuard([{ ...tunnel, addresses: many }])), undefined);
    assert.ok(encodeRuleset(printGuard([{ ...tunnel, addresses: many.slice(0, 1000) }])));
    assert.equal(encodeRuleset(`# ${'x'.repeat(70_000)}\n${printGuard([tunnel])}`), undefined);
  });
});

inOwnNamespace(import.meta.url, () => {
  /** Both tables as nft lists them, without the numbers that the kernel gives. */
  const listed = (tables: readonly string[]): unknown[] =>
    tables.map((table) =>
      JSON.parse(run('nft', '-j', 'list', 'table', ...table.split(' ')), (key, value: unknown) =>
        key === 'handle' || key === 'metainfo' ? undefined : value,
      ),
    );
  const byNft = (text: string): void => {
    run('sh', '-c', 'printf %s "$1" | nft -f -', 'sh', text);
  };
  const assertSame = (text: string, tables: readonly string[]): void => {
    run('nft', 'flush', 'ruleset');
    byNft(text);
    const theirs = listed(tables);
    run('nft', 'flush', 'ruleset');
    commit(encodeRuleset(text)!);
    assert.deepEqual(listed(tables), theirs, text);
  };

  suite('beside nft, in the kernel', () => {
    test('the same tables: of a tunnel to come, split, force, several, the last resort', () => {
      const past = {
        direct: ['0.0.0.0/8', '198.51.100.0/24', '255.255.255.0/24', '172.16.0.0/12', 'fe80::/10'].map((text) =>
          parsePrefix(text)!,
        ),
        resolver: {
          users: [
            { from: 0, to: 0 },
            { from: 990, to: 997 },
          ],
          servers: [parseAddress('192.0.2.53')!],
        },
      };
      for (const tunnels of [[tunnel], [{ ...tunnel, past }], [tunnel, { ...tunnel, device: 'aov-other', past: { direct: [] } }]])
        assertSame(printGuard(tunnels), guardTables);
      assertSame(printWaitingGuard(0x6172_6e), guardTables);
      assertSame(printBlockRuleset([]), ['inet aovpn']);
    });

    test('the same tables, whatever the tunnels are', () => {
      fc.assert(
        fc.property(fc.uniqueArray(anyTunnel, { minLength: 1, maxLength: 3, selector: ({ device }) => device }), (tunnels) => {
          const text = printGuard(tunnels);
          fc.pre(encodeRuleset(text) !== undefined);
          assertSame(text, guardTables);
        }),
        { numRuns: 15 },
      );
    });

    test('a transaction that the kernel refuses changes nothing', () => {
      byNft(printGuard([tunnel]));
      const before = listed(guardTables);
      const text = printGuard([tunnel]).replace('counter drop', 'jump nowhere');
      assert.throws(() => commit(encodeRuleset(text)!), /nfnetlink batch/);
      assert.deepEqual(listed(guardTables), before);
    });
  });
});
