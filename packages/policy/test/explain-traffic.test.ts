import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  compilePlan,
  decidePacket,
  diffFilters,
  emptyPlan,
  explain,
  explainApp,
  explainFlow,
  explainProgram,
  lookUpRoute,
  parseFlow,
  printChanges,
  readAppCatalogue,
  resolveProfile,
  type PlanInput,
  type TrafficExplanation,
} from '../src/index.ts';
import { address, facts, host, prefix } from './sample.ts';
import { filter, profileWith } from './filter/profile-text.ts';

const { catalogue } = readAppCatalogue([
  {
    source: 'test',
    content: {
      app: [
        {
          key: 'firefox',
          title: 'Mozilla Firefox',
          windows: ['%ProgramFiles%\\Mozilla Firefox\\firefox.exe'],
          executables: ['/usr/lib/firefox/firefox'],
          flatpak: ['org.mozilla.firefox'],
        },
        { key: 'remmina', windows: ['%SystemRoot%\\System32\\mstsc.exe'], executables: ['/usr/bin/remmina'] },
      ],
    },
  },
]);
const firefox = '<App><Id>C:\\Program Files\\Mozilla Firefox\\firefox.exe</Id></App>';
const { intent } = resolveProfile(
  'Corp',
  profileWith([
    '<Route><Address>10.0.0.0</Address><PrefixSize>8</PrefixSize></Route>', // line 9
    filter('<Protocol>6</Protocol><RemotePortRanges>22</RemotePortRanges>'), // 10
    filter(firefox, '<RoutingPolicyType>ForceTunnel</RoutingPolicyType>'), // 11
    filter('<App><Id>%windir%\\System32\\mstsc.exe</Id></App><Protocol>6</Protocol><RemotePortRanges>3389</RemotePortRanges>'), // 12
    filter('<Protocol>6</Protocol><LocalPortRanges>22</LocalPortRanges><Direction>Inbound</Direction>'), // 13
    filter('<App><Id>C:\\Nowhere\\unknown.exe</Id></App>'), // 14
  ]),
);
const corp = { intent, facts: facts({ addresses: [prefix('10.9.0.2/32')] }) };
const up: PlanInput = { tunnels: [corp], host: host(), apps: catalogue };
const plan = compilePlan(up);
const flow = (text: string) => parseFlow(text)!;
const lines = ({ addresses }: TrafficExplanation): string[] =>
  addresses[0]!.steps.map(({ text, line }) => `${text}${line === undefined ? '' : ` [${line}]`}`);

suite('explain traffic', () => {
  test('a connection that a filter allows', () => {
    const told = explainFlow(plan, flow('tcp 10.9.0.2:40000 > 10.1.2.3:22'), { uid: 1000, gid: 1000 });
    assert.deepEqual(lines(told), [
      'uid 1000 is no app of a profile',
      '10.1.2.3 goes into aov0: Route [9]',
      'aov0 has filters: what none of them allows is refused [10]',
      'filter 1 (out tcp to any port 22) fits [10]',
      'accepted: filter 1 allows it [10]',
    ]);
    assert.deepEqual([told.verdict, told.addresses[0]?.path, told.addresses[0]?.device], ['accept', 'tunnel', 'aov0']);
    assert.deepEqual(told.changes, [{ text: 'without filter 1 it would be refused', profile: 'Corp', line: 10 }]);
    assert.equal(told.summary, 'tcp 10.9.0.2:40000 > 10.1.2.3:22: accepted: filter 1 allows it');
  });

  test('a connection that none allows: each filter in order, and what would help', () => {
    const told = explainFlow(plan, flow('tcp 10.1.2.3:3389'));
    assert.deepEqual(lines(told), [
      'an ordinary program is assumed that no profile names; ask for an app or a pid for others',
      '10.1.2.3 goes into aov0: Route [9]',
      'aov0 has filters: what none of them allows is refused [10]',
      'filter 1 (out tcp to any port 22) does not fit: the remote port is 3389 [10]',
      'filter 2 (out everything of app firefox) does not fit: the program is no app of a profile [11]',
      'filter 3 (out tcp to any port 3389 of app remmina) does not fit: the program is no app of a profile [12]',
      'filter 4 (in tcp to any port 22) does not fit: it is about what comes in; the local port is 49152 [13]',
      'TrafficFilter 5: nothing is known for "C:\\\\Nowhere\\\\unknown.exe": it can never fit [14]',
      'refused: no filter of aov0 fits',
    ]);
    assert.deepEqual([told.verdict, told.addresses[0]?.path], ['refuse', 'unreachable']);
    assert.deepEqual(
      told.changes.map(({ text }) => text),
      [
        'filter 1 would allow it if the remote port were 22',
        'filter 2 would allow it if the program were firefox',
        'filter 3 would allow it if the program were remmina',
        'another TrafficFilter with Protocol 6 with RemotePortRanges 3389 would allow it',
      ],
    );
  });

  test('incoming, by the address it goes to', () => {
    const sshd = { uid: 0, gid: 0, exe: '/usr/sbin/sshd', pid: 812 };
    const told = explainFlow(plan, flow('tcp 10.1.2.3:50000 > 10.9.0.2:22'), sshd);
    assert.deepEqual([told.verdict, lines(told).at(-1)], ['accept', 'accepted: filter 4 allows it [13]']);
    assert.equal(lines(told)[0], 'pid 812 /usr/sbin/sshd uid 0 is no app of a profile');
    assert.equal(explainFlow(plan, flow('tcp 10.1.2.3:50000 > 10.9.0.2:23'), sshd).verdict, 'refuse');
  });

  test('an app with ForceTunnel goes its own way', () => {
    const told = explainFlow(plan, flow('udp 93.184.216.34:443'), { uid: 1000, gid: 1000, app: 'firefox' });
    assert.deepEqual([told.verdict, told.addresses[0]?.device], ['accept', 'aov0']);
    assert.match(lines(told)[1]!, /^rule 7212: sockets of firefox look into table 73\d\d \[11\]$/);
    const other = explainFlow(plan, flow('udp 93.184.216.34:443'));
    assert.deepEqual([other.verdict, other.addresses[0]?.path], ['accept', 'physical']);
    const v6 = explainFlow(plan, flow('tcp [2001:db8::1]:443'), { uid: 1000, gid: 1000, app: 'firefox' });
    assert.deepEqual([v6.verdict, v6.addresses[0]?.path], ['refuse', 'unreachable']);
    assert.match(lines(v6).at(-1)!, /^refused: 2001:db8::1 is unreachable/);
  });

  test('an app, by whatever name', () => {
    for (const name of [
      'firefox',
      'Mozilla Firefox',
      '/usr/lib/firefox/firefox',
      'org.mozilla.Firefox',
      '%ProgramFiles(x86)%\\Mozilla Firefox\\firefox.exe',
    ]) {
      const told = explainApp(plan, name, catalogue);
      assert.deepEqual(told && lines(told), [
        'Mozilla Firefox is app firefox [11]',
        'ForceTunnel: all its traffic goes into aov0 [11]',
        'aov0 lets through out tcp to any port 22 (filter 1) [10]',
        'aov0 lets through out everything of app firefox (filter 2) [11]',
        'aov0 lets through in tcp to any port 22 (filter 4) [13]',
        'accepted: it may use aov0',
      ]);
    }
    assert.equal(explainApp(plan, 'nobody', catalogue), undefined);
  });

  test('a process', () => {
    const told = explainProgram(plan, { pid: 4711, uid: 1000, gid: 1000, exe: '/usr/bin/remmina', app: 'remmina' });
    assert.equal(told.target, 'pid 4711');
    assert.equal(lines(told).at(-1), 'accepted: it may use aov0');
    assert.ok(lines(told).includes('aov0 lets through out tcp to any port 3389 of app remmina (filter 3) [12]'));
    assert.ok(!lines(explainProgram(plan, { pid: 1, uid: 1000, gid: 1000 })).some((line) => line.includes('remmina')));
  });

  test('an address alone says that filters will have their say', () => {
    const [one] = explain(plan, '10.1.2.3').addresses;
    assert.deepEqual(one?.steps.map(({ text }) => text).slice(-2), [
      'aov0 has filters, 4 of them can fit: ask with protocol and port, such as tcp 10.1.2.3:443',
      'sent into aov0 from 10.9.0.2',
    ]);
  });
});

suite('forced apps', () => {
  const app = { uid: 1000, gid: 1000, app: 'firefox' };
  const packet = {
    direction: 'out',
    state: 'original',
    protocol: 6,
    local: address('192.168.1.7'),
    remote: address('93.184.216.34'),
    localPort: 40_000,
    remotePort: 443,
    socket: app,
  } as const;

  test('without their mark they do not get out beside the tunnel', () => {
    assert.equal(decidePacket(plan, { ...packet, device: 'eth0' }).reason, 'forced-elsewhere');
    assert.equal(decidePacket(plan, { ...packet, device: 'lo' }).verdict, 'accept');
    assert.equal(decidePacket(plan, { ...packet, device: 'aov0' }).verdict, 'accept');
    assert.equal(decidePacket(plan, { ...packet, device: 'eth0', socket: { uid: 1000, gid: 1000 } }).verdict, 'accept');
    assert.equal(
      decidePacket(plan, { ...packet, device: 'eth0', remote: address('203.0.113.7') }).reason,
      'forced-elsewhere',
      'not even to the gateway: only our own packets go there',
    );
  });

  test('while the tunnel is down nothing leaves, unless it is not wanted', () => {
    const down: PlanInput = { tunnels: [], idle: [intent], host: host(), apps: catalogue };
    const pending = compilePlan(down);
    const { force } = pending.apps.find(({ key }) => key === 'firefox')!;
    assert.equal(force?.device, undefined);
    assert.equal(lookUpRoute(pending, packet.remote, force!.mark).path, 'unreachable');
    assert.equal(lookUpRoute(pending, packet.remote).path, 'machine');
    assert.equal(decidePacket(pending, { ...packet, device: 'eth0' }).verdict, 'refuse');
    assert.equal(explainFlow(pending, flow('tcp 93.184.216.34:443'), app).verdict, 'refuse');
    const released = compilePlan({ ...down, released: new Set(['Corp']) });
    assert.equal(released.apps.find(({ key }) => key === 'firefox')?.force, undefined);
    assert.deepEqual(released.rules, []);
  });

  test('marks do not change when the tunnel comes up or other profiles come and go', () => {
    const markOf = (input: PlanInput) => compilePlan(input).apps.find(({ key }) => key === 'firefox')?.force?.mark;
    const mark = markOf(up);
    assert.equal(markOf({ tunnels: [], idle: [intent], host: host(), apps: catalogue }), mark);
    const other = { ...intent, name: 'Other', filters: [] };
    assert.equal(markOf({ ...up, idle: [other] }), mark);
  });

  test('a mark of somebody else in other bits neither helps nor hurts', () => {
    const { mark } = plan.apps.find(({ key }) => key === 'firefox')!.force!;
    for (const others of [0x4000, 0x8000, 0x00ff_0000, 0x1000_0000, 0x8000_0000])
      assert.equal(lookUpRoute(plan, packet.remote, (mark | others) >>> 0).path, 'tunnel', others.toString(16));
    for (const others of [0xca6c, 0x4000, 0x0004_0000]) assert.equal(lookUpRoute(plan, packet.remote, others).path, 'machine');
  });

  test('the preferred profile has an app that two want', () => {
    const second = resolveProfile(
      'Zweite',
      profileWith([filter(firefox, '<RoutingPolicyType>ForceTunnel</RoutingPolicyType>')]),
    ).intent;
    const both = compilePlan({ ...up, tunnels: [{ intent: second, facts: facts({ profile: 'Zweite', device: 'aov1' }) }, corp] });
    assert.equal(both.apps.find(({ key }) => key === 'firefox')?.force?.device, 'aov0');
    assert.deepEqual(
      both.problems.filter(({ code }) => code === 'AOV-POLICY-414').map(({ profile, at: { line } }) => [profile, line]),
      [['Zweite', 9]],
    );
  });

  test('more profiles than there are marks: the last ones lead nowhere, none shares a way', () => {
    const idle = Array.from({ length: 20 }, (_, i) => {
      const id = `<App><Id>/opt/app${i}</Id></App><RoutingPolicyType>ForceTunnel</RoutingPolicyType>`;
      return resolveProfile(`P${i}`, profileWith([filter(id)])).intent;
    });
    const tunnels = idle.map((one, i) => ({ intent: one, facts: facts({ profile: one.name, device: `aov${i}` }) }));
    const { apps, problems } = compilePlan({ tunnels, host: host() });
    const own = apps.filter(({ force }) => force?.device !== undefined);
    assert.equal(new Set(own.map(({ force }) => force!.mark)).size, own.length);
    assert.equal(own.length, 14);
    assert.equal(apps.filter(({ force }) => force?.device === undefined).length, 6);
    assert.equal(problems.filter(({ code }) => code === 'AOV-POLICY-415').length, 6);
  });
});

test('differences of filters and apps as text', () => {
  const other = resolveProfile(
    'Corp',
    profileWith([
      filter('<Protocol>6</Protocol><RemotePortRanges>22</RemotePortRanges>'),
      filter(firefox, '<Protocol>17</Protocol>'),
    ]),
  ).intent;
  const next = compilePlan({ ...up, tunnels: [{ ...corp, intent: other }] });
  const text = printChanges(diffFilters(plan, next));
  assert.match(text, /^\+ filter aov0 allow out udp of app firefox$/m);
  assert.match(text, /^- filter aov0 allow out everything of app firefox$/m);
  assert.match(text, /^- filter aov0 allow in tcp to any port 22$/m);
  assert.match(text, /^~ app firefox is \/usr\/lib\/firefox\/firefox, flatpak org.mozilla.firefox$/m);
  assert.match(text, /^- app remmina is \/usr\/bin\/remmina$/m);
  assert.deepEqual(diffFilters(plan, plan), []);
  assert.match(printChanges(diffFilters(plan, emptyPlan)), /^- filter aov0 refuses what no filter allows$/m);
});
