import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { compilePlan, printRuleset, readAppCatalogue, resolveProfile, type Plan } from '../../src/index.ts';
import { address, at, facts, host, prefix, profile } from '../sample.ts';

const claims = at('O:SYG:SYD:(A;;CC;;;S-1-5-21-1-2-3-1105)');
const { catalogue } = readAppCatalogue([
  {
    source: 'here',
    content: {
      app: ['tool', 'tool-any', 'tool-users', 'tool-users-1'].map((key) => ({
        key,
        packages: [`package.${key}`],
        executables: [`/usr/bin/${key}`],
      })),
    },
  },
]);

/** Every kind of filter in a profile of each name, one tunnel for each. */
function planOf(names: readonly string[], devices: readonly string[]): Plan {
  const system = { id: 'SYSTEM', type: 'FilePath' as const };
  const line = { line: 7, column: 1 };
  const trafficFilters = [
    { at: line, remoteAddressRanges: at(['10.1.0.1']) },
    { at: line, app: at(system), remoteAddressRanges: at(['10.1.0.2']) },
    { at: line, claims, remoteAddressRanges: at(['10.1.0.3']) },
    ...catalogue.apps.flatMap(({ packages }) => {
      const app = at({ id: packages[0]!, type: 'PackageFamilyName' as const });
      return [
        { at: line, app, remoteAddressRanges: at(['10.1.0.4']) },
        { at: line, app, claims, remoteAddressRanges: at(['10.1.0.5']) },
      ];
    }),
  ];
  return compilePlan({
    tunnels: names.map((name, i) => ({
      intent: resolveProfile(name, profile({ trafficFilters })).intent,
      facts: facts({
        profile: name,
        device: devices[i]!,
        addresses: [prefix(`10.9.0.${i + 2}/32`)],
        gateway: address(`192.0.2.${i + 1}`),
      }),
    })),
    host: host(),
    apps: catalogue,
    identities: new Map([['S-1-5-21-1-2-3-1105', { users: [{ from: 1105, to: 1105 }], groups: [] }]]),
  });
}

const cgroups = new Map(catalogue.apps.map(({ key }) => [key, [{ path: `aovpn/${key}`, level: 2 }]]));
const definitions = (ruleset: string, kind: 'chain' | 'set'): string[] =>
  [...ruleset.matchAll(new RegExp(`^  ${kind} (\\S+) \\{$`, 'gm'))].map(([, name]) => name!);

suite('names in the ruleset', () => {
  // nft would append the rules of the one to those of the other.
  test('no two devices or apps share a chain, whatever they are called', () => {
    const devices = ['aov-corp-system', 'aov-corp-any', 'aov-corp-users', 'aov-corp', 'aov_corp', 'aov.corp', 'aov-corp-app'];
    for (const order of [devices, devices.toReversed()]) {
      const ruleset = printRuleset(planOf(order, order), { appCgroups: cgroups });
      for (const kind of ['chain', 'set'] as const) {
        const names = definitions(ruleset, kind);
        assert.ok(names.length > 50, String(names.length));
        assert.deepEqual(
          names.filter((name, i) => names.indexOf(name) !== i),
          [],
          kind,
        );
        for (const name of names) assert.match(name, /^[a-z][A-Za-z0-9_.-]*$/);
      }
    }
  });

  test('a hostile name of a profile stays in its comment', () => {
    for (const hostile of [
      'x"\n  } chain output { accept; }',
      '\u2028accept\r\nflush ruleset',
      'x\\',
      '"; accept #',
      '{{ }} \u0000 @',
    ]) {
      const tame = printRuleset(planOf(['tame'], ['aov0']), { appCgroups: cgroups });
      const ruleset = printRuleset(planOf([hostile], ['aov0']), { appCgroups: cgroups });
      const bare = (text: string): string => text.replaceAll(/^ +#.*$/gm, '');
      assert.equal(bare(ruleset), bare(tame));
      assert.ok(!ruleset.split('\n').some((line) => line.endsWith('\r')));
    }
  });
});
