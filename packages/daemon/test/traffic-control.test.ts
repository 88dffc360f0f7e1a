import assert from 'node:assert/strict';
import { beforeEach, suite, test } from 'node:test';
import { HostError, type FilterEvent, type Filters } from '@aovpn/host';
import { assumeHost, assumeTunnel, compilePlan, emptyPlan, readAppCatalogue, resolveProfile, type Plan } from '@aovpn/policy';
import { parseProfile } from '@aovpn/profile';
import { Log } from '../src/log.ts';
import { TrafficControl } from '../src/traffic-control.ts';
import { appsOf, filtersStatus, trafficStatus, withPlanProblems } from '../src/traffic-report.ts';

const { catalogue } = readAppCatalogue([
  {
    source: 'a.toml',
    content: { app: [{ key: 'mail', title: 'Mail', windows: [String.raw`C:\Mail\mail.exe`], executables: ['/usr/bin/mail'] }] },
  },
]);

/** The plan of a profile with these elements, its tunnel up or not. */
function planOf(extra: string, isUp = true): Plan {
  const text = `<VPNProfile>
${extra}
<NativeProfile><Servers>vpn.example</Servers><RoutingPolicyType>SplitTunnel</RoutingPolicyType><NativeProtocolType>IKEv2</NativeProtocolType><Authentication><MachineMethod>Certificate</MachineMethod></Authentication></NativeProfile></VPNProfile>`;
  const { profile } = parseProfile(new Uint8Array(Buffer.from(text)));
  assert.ok(profile);
  const { intent } = resolveProfile('corp', profile);
  const live = isUp ? { tunnels: [assumeTunnel(intent, 'aov-corp')] } : { tunnels: [], idle: [intent] };
  return compilePlan({ ...live, apps: catalogue, host: assumeHost() });
}

const mail = String.raw`<TrafficFilter><App><Id>C:\Mail\mail.exe</Id></App></TrafficFilter>`;
const forcedMail = mail.replace('</App>', '</App><RoutingPolicyType>ForceTunnel</RoutingPolicyType>');
const port = '<TrafficFilter><Protocol>6</Protocol><RemotePortRanges>443</RemotePortRanges></TrafficFilter>';

suite('traffic control', () => {
  let calls: string[];
  let lines: string[];
  let changes: number;
  let tell: (event: FilterEvent) => void;
  let failWith: Error | undefined;
  let control: TrafficControl;
  const routes = {
    apply: () => Promise.resolve(void calls.push('routes')),
    undo: () => Promise.resolve(void calls.push('undo')),
  };

  beforeEach(() => {
    calls = [];
    lines = [];
    changes = 0;
    failWith = undefined;
    const filters = {
      apply: async (plan: Pick<Plan, 'filters' | 'apps'>, step?: typeof routes) => {
        calls.push(`filters of ${plan.filters.map(({ device }) => device).join(' ') || 'nothing'}, ${plan.apps.length} apps`);
        if (failWith) throw failWith;
        await step?.apply();
        return {
          ruleset: '',
          watch: { files: [{ app: 'mail', path: '/usr/bin/mail' }], missing: [], refused: [], contested: [], late: [] },
        };
      },
      appOf: (pid: number) => (pid === 7 ? 'mail' : undefined),
      hold: () => assert.fail('nobody holds'),
      watching: true,
      cgroups: { processes: () => [7, 8] },
      cleanUp: () => Promise.resolve((calls.push('clean up'), [])),
      close: () => Promise.resolve(void calls.push('close')),
    };
    control = new TrafficControl({
      filters: {
        open: (onEvent) => {
          calls.push('open');
          tell = onEvent;
          return Promise.resolve(filters as unknown as Filters);
        },
        cleanUp: () => Promise.resolve((calls.push('clean up without'), ['x'])),
      },
      log: new Log({ level: 'debug', format: 'text', journal: false, write: (line) => lines.push(line), clock: () => 0 }),
      onStarted: () => {},
      onResumed: () => {},
      onChange: () => changes++,
    });
  });

  test('nothing is opened while no plan needs it; the first that does opens, the first that does not closes', async () => {
    await control.apply(emptyPlan, planOf(''), routes);
    assert.deepEqual(calls, ['routes']);
    assert.equal(trafficStatus(planOf(''), control), undefined);
    await control.apply(planOf(''), planOf(mail), routes);
    assert.deepEqual(calls.splice(0), ['routes', 'open', 'filters of aov-corp, 1 apps', 'routes']);
    assert.equal(control.state.state, 'in-force');
    await control.apply(planOf(mail), planOf(''), routes);
    assert.deepEqual(calls, ['filters of nothing, 0 apps', 'routes', 'clean up', 'close']);
    assert.deepEqual(control.state, { state: 'off', execWatch: { state: 'off' }, misplaced: [] });
  });

  test('a tunnel that goes keeps its filters until its routes are gone', async () => {
    await control.apply(emptyPlan, planOf(mail), routes);
    calls = [];
    await control.apply(planOf(mail), planOf(mail, false), routes);
    assert.deepEqual(calls, ['filters of aov-corp, 1 apps', 'routes', 'filters of nothing, 1 apps']);
  });

  test('a tunnel that stays without filters loses them at once, as its profile says', async () => {
    await control.apply(emptyPlan, planOf(port), routes);
    calls = [];
    await control.apply(planOf(port), planOf(''), routes);
    assert.deepEqual(calls, ['filters of nothing, 0 apps', 'routes', 'clean up', 'close']);
  });

  test('what cannot be applied is told with its code, and again in force with the next one', async () => {
    failWith = new HostError('AOV-HOST-606', 'nft said no', 'look');
    await assert.rejects(control.apply(emptyPlan, planOf(port), routes), /AOV-HOST-606/);
    assert.deepEqual(control.state.problem, { code: 'AOV-HOST-606', what: 'nft said no', cure: 'look' });
    assert.equal(trafficStatus(planOf(port), control)?.state, 'failed');
    failWith = undefined;
    await control.apply(emptyPlan, planOf(port), routes);
    assert.equal(control.state.state, 'in-force');
    assert.equal(control.state.problem, undefined);
  });

  test('repairs, and an exec watch that stops and goes on, are logged and shown', async () => {
    await control.apply(emptyPlan, planOf(forcedMail), routes);
    changes = 0;
    tell({ kind: 'repaired', what: ['ruleset: delete table by nft (process 9)'] });
    assert.deepEqual(control.state.lastRepair?.what, ['ruleset: delete table by nft (process 9)']);
    tell({ kind: 'repaired', what: ['x'], failure: 'no' });
    assert.equal(control.state.lastRepair?.failure, 'no');
    tell({ kind: 'exec', event: { kind: 'stopped', why: 'it fell over', retryMs: 100 } });
    assert.deepEqual(control.state.execWatch, { state: 'stopped', why: 'it fell over' });
    const report = {
      files: [],
      missing: [],
      refused: [{ app: 'mail', path: '/tmp/mail', why: 'anybody may write there' }],
      contested: [],
      late: [],
    };
    tell({ kind: 'exec', event: { kind: 'resumed', report } });
    assert.deepEqual(control.state.execWatch, { state: 'watching' });
    tell({ kind: 'exec', event: { kind: 'started', app: 'mail', pid: 9, problem: 'ENOSPC' } });
    assert.deepEqual(control.state.misplaced, [{ app: 'mail', pid: 9, problem: 'ENOSPC' }]);
    tell({ kind: 'no-exec-watch', error: new HostError('AOV-HOST-602', 'no fanotify', 'y') });
    assert.equal(control.state.execWatch.state, 'unavailable');
    assert.ok(changes >= 6, 'each is told');
    const log = lines.join('');
    for (const words of [
      /put back what somebody else changed/,
      /putting back failed/,
      /not seen now/,
      /seen again/,
      /does not count/,
      /ENOSPC/,
    ])
      assert.match(log, words);
  });

  test('the status names apps with their processes, and filters without those for name servers', async () => {
    const plan = planOf(`${forcedMail}\n${port}`);
    await control.apply(emptyPlan, plan, routes);
    const [app] = trafficStatus(plan, control)!.apps;
    assert.deepEqual(
      [app?.key, app?.pids, app?.routing, app?.device, app?.files],
      ['mail', [7, 8], 'ForceTunnel', 'aov-corp', ['/usr/bin/mail']],
    );
    assert.match(app!.because, /profile "corp" line 2/);
    assert.equal(filtersStatus(plan, 'corp')?.count, 2);
    assert.deepEqual(appsOf(plan, 'corp', 'aov-corp'), ['mail']);
    assert.deepEqual(appsOf(plan, 'other', undefined), []);
  });

  test('what only this machine shows to be wrong stands with the diagnostics of the profile', () => {
    const plan = planOf(String.raw`<TrafficFilter><App><Id>C:\Nobody\knows.exe</Id></App></TrafficFilter>`);
    const profile = {
      name: 'corp',
      file: 'corp.xml',
      tunnel: 'user',
      alwaysOn: true,
      state: 'in-force',
      diagnostics: [],
    } as const;
    const { diagnostics } = withPlanProblems(profile, plan);
    assert.deepEqual(
      diagnostics.map(({ code, line, here }) => [code, line, here]),
      [['AOV-POLICY-401', 2, 'This filter lets nothing through.']],
    );
    assert.equal(withPlanProblems({ ...profile, name: 'other' }, plan).diagnostics.length, 0);
  });

  test('the end removes everything, open or not', async () => {
    assert.deepEqual(await control.clear(), ['x']);
    await control.apply(emptyPlan, planOf(port), routes);
    calls = [];
    assert.deepEqual(await control.clear(), []);
    assert.deepEqual(calls.slice(0, 1), ['clean up']);
    assert.equal(calls.at(-1), 'close');
  });
});
