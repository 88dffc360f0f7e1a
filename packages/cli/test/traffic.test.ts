import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import type { AppsReport, AppStatus, AppWhich, PlanDiff, TrafficStatus } from '@aovpn/api';
import { fakeDaemon } from './fake-daemon.ts';
import { aovpn } from './run-cli.ts';
import { daemonStatus, upConnection } from './sample.ts';

const nobody = '/nonexistent/control.sock';
const profileText = (port: number): string => `<VPNProfile>
  <TrafficFilter><App><Id>C:\\Own\\own.exe</Id></App><RoutingPolicyType>ForceTunnel</RoutingPolicyType></TrafficFilter>
  <TrafficFilter><Protocol>6</Protocol><RemotePortRanges>${port}</RemotePortRanges></TrafficFilter>
  <NativeProfile><Servers>vpn.example</Servers><RoutingPolicyType>SplitTunnel</RoutingPolicyType><NativeProtocolType>IKEv2</NativeProtocolType>
  <Authentication><MachineMethod>Certificate</MachineMethod></Authentication></NativeProfile>
</VPNProfile>`;

const mail: AppStatus = {
  key: 'mail',
  title: 'Mail',
  executables: ['/usr/bin/mail', '/opt/mail/mail'],
  units: [],
  desktop: [],
  flatpak: [],
  snap: [],
  tunnels: ['aov-corp'],
  routing: 'ForceTunnel',
  device: 'aov-corp',
  perAppVpn: true,
  triggers: ['Contoso Device'],
  pids: [7, 8],
  late: [8],
  files: ['/usr/bin/mail'],
  refused: [{ path: '/tmp/mail', why: 'anybody can write there' }],
  because: 'profile "Contoso Device" line 3: TrafficFilter 1',
};
const traffic: TrafficStatus = {
  state: 'in-force',
  execWatch: { state: 'stopped', why: 'it fell over' },
  apps: [mail],
  lastRepair: { at: '2026-11-22T10:00:00.000Z', what: ['ruleset: delete table by nft (process 9)'] },
};

suite('plans without a daemon', () => {
  let root: string;
  const file = (name: string): string => path.join(root, name);
  before(() => {
    root = mkdtempSync(path.join(tmpdir(), 'aovpn-plan-'));
    mkdirSync(file('apps.d'));
    writeFileSync(
      file('apps.d/own.toml'),
      '[[app]]\nkey = "own"\nwindows = [\'C:\\Own\\own.exe\']\nexecutables = ["/usr/bin/own"]\n',
    );
    writeFileSync(file('apps.d/bad.toml'), 'no [toml');
    writeFileSync(file('corp.xml'), profileText(443));
    writeFileSync(file('corp-new.xml'), profileText(8443));
    writeFileSync(file('broken.xml'), profileText(443).replace('</NativeProfile>', ''));
  });
  after(() => rmSync(root, { recursive: true, force: true }));
  const plan = (...args: readonly string[]) => aovpn(['plan', ...args, '--config-dir', root], { socketPath: nobody });

  test('what a profile comes to, with its lines, and what was assumed at the top', async () => {
    const { stdout, stderr, exitCode } = await plan(file('corp.xml'));
    assert.equal(exitCode, 0, stderr);
    assert.match(stdout, /^# assumed, as there is no tunnel to ask:\n#   the tunnel of "corp" is up as aov-corp/);
    assert.match(stdout, /filter aov-corp allow out tcp to any port 443 +# profile "corp" line 3: TrafficFilter 2/);
    assert.match(stdout, /app own force aov-corp mark .* is \/usr\/bin\/own/);
    assert.match(stderr, /bad\.toml: .*does not count/);
  });

  test('as JSON, as ruleset, and against another version', async () => {
    const { items, assumptions } = JSON.parse((await plan(file('corp.xml'), '--json')).stdout) as {
      items: { section: string; line?: number }[];
      assumptions: string[];
    };
    assert.ok(items.some(({ section, line }) => section === 'filters' && line === 3));
    assert.equal(assumptions.length, 5);
    assert.match((await plan(file('corp.xml'), '--ruleset')).stdout, /table inet aovpn \{[\s\S]*socket cgroupv2 level 2 vmap/);
    const { stdout } = await plan(file('corp-new.xml'), '--against', file('corp.xml'));
    assert.equal(
      stdout,
      '+ filter aov-corp-new allow out tcp to any port 8443\n- filter aov-corp-new allow out tcp to any port 443\n',
    );
    assert.equal((await plan(file('corp.xml'), '--against', file('corp.xml'))).stdout, 'no difference\n');
  });

  test('LockDown: as plan, as ruleset, and as a difference', async () => {
    const force =
      '<VPNProfile>\n<NativeProfile><Servers>vpn.example</Servers><RoutingPolicyType>ForceTunnel</RoutingPolicyType><NativeProtocolType>IKEv2</NativeProtocolType><Authentication><MachineMethod>Certificate</MachineMethod></Authentication></NativeProfile></VPNProfile>';
    writeFileSync(file('force.xml'), force);
    writeFileSync(file('lock.xml'), force.replace('<NativeProfile>', '<LockDown>true</LockDown><NativeProfile>'));
    const { stdout } = await plan(file('lock.xml'));
    assert.match(stdout, /lockdown allow 203\.0\.113\.1 udp 500 4500 tcp 4500/);
    assert.match(stdout, /lockdown refuse everything else +# profile "lock" line 2: LockDown/);
    assert.match((await plan(file('lock.xml'), '--ruleset')).stdout, /table inet aovpn_lockdown \{[^]*policy drop/);
    const changes = (await plan(file('lock.xml'), '--against', file('force.xml'))).stdout;
    assert.match(changes, /^\+ lockdown refuse everything else$/m);
    assert.match((await plan(file('force.xml'), '--against', file('lock.xml'))).stdout, /^- lockdown refuse everything else$/m);
  });

  test('an app that nothing is known for is a problem, and exit code 1; a broken profile is told with its line', async () => {
    const unknown = await aovpn(['plan', file('corp.xml'), '--config-dir', '/nonexistent'], { socketPath: nobody });
    assert.equal(unknown.exitCode, 1);
    assert.match(unknown.stdout, /# error AOV-POLICY-401 profile "corp" line 2 VPNProfile\/TrafficFilter\[1\]\/App\/Id/);
    const broken = await plan(file('broken.xml'));
    assert.equal(broken.exitCode, 1);
    assert.match(broken.stderr, /broken\.xml:\d+:\d+[\s\S]*has errors/);
  });
});

suite('apps', () => {
  test('learn proposes what can be put into apps.d, for a program, a process, and what is started meanwhile', async () => {
    const named = await aovpn(['app', 'learn', 'sleep', '--windows', String.raw`C:\Sleep\sleep.exe`]);
    assert.match(
      named.stdout,
      /\[\[app\]\]\nkey = "sleep"\ntitle = "sleep"\nwindows = \["C:\\\\Sleep\\\\sleep\.exe"\]\nexecutables = \["\/.*\/(sleep|coreutils|busybox)"\]/,
    );
    const own = await aovpn(['app', 'learn', String(process.pid)]);
    assert.ok(own.stdout.includes(JSON.stringify(process.execPath)) || own.stdout.includes('/node"'), own.stdout);
    const busy = spawn('/bin/sh', ['-c', 'while :; do sleep 0.2; done'], { stdio: 'ignore' });
    try {
      const watched = await aovpn(['app', 'learn', String(busy.pid), '--watch', '4']);
      assert.match(watched.stdout, /executables = \[.*\/(sleep|coreutils|busybox)"/);
    } finally {
      busy.kill('SIGKILL');
    }
    const none = await aovpn(['app', 'learn', 'no-program-of-this-name']);
    assert.equal(none.exitCode, 5);
  });

  const report: AppsReport = {
    traffic,
    known: [{ key: 'firefox', title: 'Firefox', names: ['C:\\f.exe'], executables: ['/usr/bin/firefox'], source: 'a.toml' }],
    faults: [{ source: 'b.toml', where: 'app[1]', what: 'key is missing' }],
  };
  const which: AppWhich = {
    pid: 7,
    exe: '/usr/bin/mail',
    app: 'mail',
    steps: [{ text: 'that is the cgroup of mail', profile: 'corp', line: 3 }],
  };
  const diff: PlanDiff = {
    name: 'corp',
    changes: [{ op: 'add', text: 'filter x' }],
    text: '+ filter x\n',
    assumptions: ['the tunnel of "corp" is up'],
    problems: [],
  };
  const daemon = () =>
    fakeDaemon(({ method, url, body }) => {
      switch (`${method} ${url}`) {
        case 'GET /v1/status':
          return { status: 200, body: { ...daemonStatus, connections: [{ ...upConnection, apps: ['mail'], filters }], traffic } };
        case 'GET /v1/apps':
          return { status: 200, body: report };
        case 'GET /v1/apps/which?pid=7':
          return { status: 200, body: which };
        case 'GET /v1/apps/which?pid=9':
          return { status: 200, body: { pid: 9, steps: [] } };
        case 'POST /v1/diff':
          return { status: (JSON.parse(body) as { name: string }).name === 'stdin' ? 200 : 500, body: diff };
        default:
          return {
            status: 200,
            body: {
              target: url,
              addresses: [],
              summary: url,
              verdict: 'refuse',
              changes: [{ text: 'another filter', line: 3, profile: 'corp' }],
            },
          };
      }
    });
  const filters = {
    rules: [{ text: 'out tcp to any port 443', because: 'profile "x" line 5: TrafficFilter 2' }],
    count: 31,
    unusable: 1,
  };

  test('list, which, status and diff tell what the daemon says', async () => {
    await using fake = await daemon();
    const { socketPath } = fake;
    const list = await aovpn(['app', 'list', '--all'], { socketPath });
    for (const words of [
      /mail {2}Mail/,
      /processes +7 8/,
      /restart .*: 8/,
      /not here +\/opt\/mail\/mail/,
      /refused +\/tmp\/mail/,
      /starts of apps are not seen: it fell over/,
      /firefox {2}Firefox/,
      /b\.toml: app\[1\]: key is missing/,
    ])
      assert.match(list.stdout, words);
    const yes = await aovpn(['app', 'which', '7'], { socketPath });
    assert.deepEqual([yes.exitCode, yes.stdout], [0, 'process 7 is mail\n  1. that is the cgroup of mail  (corp, line 3)\n']);
    assert.equal((await aovpn(['app', 'which', '9'], { socketPath })).exitCode, 1);
    const { stdout } = await aovpn(['status'], { socketPath });
    for (const words of [
      /filters +31 in force, 1 can never fit; everything else is refused/,
      /allow +out tcp to any port 443 +profile "x" line 5/,
      /app +mail \(.*\): 2 processes; per-app VPN; everything through aov-corp; start again: 8/,
      /! filters: somebody else changed them at .*delete table/,
    ])
      assert.match(stdout, words);
    const changes = await aovpn(['diff', '-', '--name', 'stdin'], { socketPath, input: profileText(1) });
    assert.match(changes.stdout, /^# assumed.*\n# {3}the tunnel of "corp" is up\n\+ filter x\n$/);
  });

  test('explain asks for connections, apps and processes, and says what would change the answer', async () => {
    await using fake = await daemon();
    const { socketPath } = fake;
    const asked = async (...args: readonly string[]): Promise<string> =>
      (await aovpn(['explain', ...args], { socketPath })).stdout;
    assert.match(
      await asked('tcp', '10.0.0.5:4455', '10.1.2.3:443'),
      /target=tcp\+10\.0\.0\.5%3A4455\+10\.1\.2\.3%3A443[\s\S]*what would change it:\n {2}1\. another filter {2}\(corp, line 3\)/,
    );
    assert.match(await asked('--pid', '7'), /target=pid%3A7&pid=7/);
    assert.match(await asked('--app', 'mail', '10.1.2.3'), /target=10\.1\.2\.3&app=mail/);
  });
});
