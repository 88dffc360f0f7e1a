import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { completionScript, shells } from '../src/print/completion.ts';
import { loadProgram, program as entries } from '../src/program.ts';
import { fakeDaemon, type Answer, type SeenRequest } from './fake-daemon.ts';
import { aovpn } from './run-cli.ts';
import { daemonStatus, profile, upConnection, waitingConnection } from './sample.ts';

const program = await loadProgram();

const missing = '/nonexistent/control.sock';

function answers({ method, url }: SeenRequest): Answer {
  switch (`${method} ${url}`) {
    case 'GET /v1/status':
      return { status: 200, body: daemonStatus };
    case 'GET /v1/profiles':
      return { status: 200, body: daemonStatus.profiles };
    case 'GET /v1/events':
      return {
        stream: [
          { kind: 'status', connection: waitingConnection },
          { kind: 'status', connection: upConnection },
        ],
      };
    case 'POST /v1/connections/Contoso%20Device/up':
      return { status: 200, body: upConnection };
    case 'POST /v1/connections/Contoso%20User/up':
      return { status: 200, body: waitingConnection };
    case 'GET /v1/doctor':
      return {
        status: 200,
        body: { checks: [{ name: 'clock', verdict: 'failed', found: 'two days behind', cure: 'timedatectl set-ntp true' }] },
      };
    default:
      return method === 'POST'
        ? { status: 200, body: { accepted: true } }
        : { status: 404, body: { error: { code: 'AOV-DAEMON-404', message: 'no such thing', cure: 'look again' } } };
  }
}

test('help comes from the table of commands, for every command', async () => {
  const { stdout, exitCode } = await aovpn(['--help']);
  assert.equal(exitCode, 0);
  for (const command of program) assert.ok(stdout.includes(command.name) && stdout.includes(command.summary), command.name);
  const lint = await aovpn(['profile', 'lint', '--help']);
  assert.match(lint.stdout, /usage: aovpn profile lint FILE…[\s\S]*--strict/);
  assert.equal((await aovpn([])).exitCode, 2);
});

test('mistakes in the command line are told with exit code 2', async () => {
  for (const [args, words] of [
    [['stats'], /no command "stats"[\s\S]*did you mean/],
    [['status', '--wacht'], /wacht/],
    [['explain'], /TARGET is missing/],
    [['explain', '--app', 'a', '--pid', '1'], /exclude each other/],
    [['app', 'which', 'firefox'], /no process id/],
    [['app', 'learn'], /PROGRAM or --watch is missing/],
    [['diff', '-'], /--name is missing/],
    [['down', 'a', 'b'], /"b" is one argument too many/],
    [['completion', 'tcsh'], /one of: bash, zsh, fish/],
  ] as const) {
    const { stderr, exitCode } = await aovpn(args, { socketPath: missing });
    assert.equal(exitCode, 2, args.join(' '));
    assert.match(stderr, words);
  }
});

test('without a daemon: exit code 3 and how to start it', async () => {
  const { stderr, exitCode } = await aovpn(['status'], { socketPath: missing });
  assert.equal(exitCode, 3);
  assert.match(stderr, /not running[\s\S]*what to do:[\s\S]*systemctl start aovpn/);
  const doctor = await aovpn(['doctor'], { socketPath: missing });
  assert.equal(doctor.exitCode, 1);
  assert.match(doctor.stdout, /✗ daemon: .*not running/);
});

test('status NAME ends with 0 when up and 1 when not; --json is the daemon’s own answer', async () => {
  await using daemon = await fakeDaemon(answers);
  const { socketPath } = daemon;
  assert.equal((await aovpn(['status', 'Contoso Device'], { socketPath })).exitCode, 0);
  assert.equal((await aovpn(['status', 'Contoso User'], { socketPath })).exitCode, 1);
  assert.equal((await aovpn(['status', 'nobody'], { socketPath })).exitCode, 5);
  assert.deepEqual(JSON.parse((await aovpn(['status', '--json'], { socketPath })).stdout), daemonStatus);
});

test('up asks the daemon, and fails with the problem and its cure', async () => {
  await using daemon = await fakeDaemon(answers);
  const { socketPath } = daemon;
  const several = await aovpn(['up'], { socketPath });
  assert.equal(several.exitCode, 2);
  assert.match(several.stderr, /Contoso Device, Contoso User/);
  const failed = await aovpn(['up', 'Contoso User'], { socketPath });
  assert.equal(failed.exitCode, 1);
  assert.match(failed.stderr, /AOV-EAP-101, Windows 691; side: credentials[\s\S]*correct the password file/);
  assert.ok(
    !failed.stderr.includes('\u001b[2J') || !failed.stdout.includes('\u001b[2J'),
    'no control sequence of the other side reaches the terminal',
  );
  const good = await aovpn(['up', 'Contoso Device'], { socketPath });
  assert.equal(good.exitCode, 0);
  assert.ok(daemon.seen.some((one) => one.method === 'POST' && one.url === '/v1/connections/Contoso%20Device/up'));
});

test('up does not take a failure from before it was asked for its own', async () => {
  const device = { ...waitingConnection, name: upConnection.name, reason: 'it went wrong yesterday' };
  const { problem: _, ...rest } = device;
  const connecting = { ...rest, state: 'connecting', reason: 'looking up', since: '2026-11-22T11:00:00.000Z' };
  const up = { ...upConnection, since: '2026-11-22T11:00:01.000Z' };
  await using daemon = await fakeDaemon(({ method, url }) => {
    if (method === 'POST') return { status: 200, body: connecting };
    if (url === '/v1/status') return { status: 200, body: daemonStatus };
    return { stream: [device, up].map((connection) => ({ kind: 'status', connection })), open: true };
  });
  const { exitCode, stdout, stderr } = await aovpn(['up', upConnection.name], { socketPath: daemon.socketPath });
  assert.equal(exitCode, 0, stderr);
  assert.match(stdout, /connecting: looking up[\s\S]*up: traffic flows/);
  assert.doesNotMatch(stdout, /yesterday/);
});

test('up of a name that is short for one of the own finds it', async () => {
  const name = 'me/Contoso Device';
  const mine = { ...upConnection, name, owner: { uid: process.getuid!(), name: 'me' } };
  await using daemon = await fakeDaemon(({ method, url }) => {
    if (url === '/v1/status') return { status: 200, body: { ...daemonStatus, connections: [mine] } };
    if (method !== 'POST') return { stream: [], open: true };
    return url === `/v1/connections/${encodeURIComponent(name)}/up`
      ? { status: 200, body: mine }
      : { status: 404, body: { error: { code: 'AOV-DAEMON-512', message: 'no such profile', cure: 'add it' } } };
  });
  const found = await aovpn(['up', 'Contoso Device'], { socketPath: daemon.socketPath });
  assert.equal(found.exitCode, 0, found.stderr);
  const unknown = await aovpn(['up', 'other'], { socketPath: daemon.socketPath });
  assert.equal(unknown.exitCode, 5);
  assert.match(unknown.stderr, /there are: me\/Contoso Device/);
});

test('doctor fails when a check failed, and prints the cure', async () => {
  await using daemon = await fakeDaemon(answers);
  const { stdout, exitCode } = await aovpn(['doctor'], { socketPath: daemon.socketPath });
  assert.equal(exitCode, 1);
  assert.match(stdout, /✓ daemon[\s\S]*✗ clock: two days behind[\s\S]*timedatectl/);
});

test('a refusal of the daemon is told with its code, and 403 ends with 4', async () => {
  await using daemon = await fakeDaemon(() => ({
    status: 403,
    body: { error: { code: 'AOV-DAEMON-403', message: 'only root may do that', cure: 'become root' } },
  }));
  const { stderr, exitCode } = await aovpn(['status'], { socketPath: daemon.socketPath });
  assert.equal(exitCode, 4);
  assert.match(stderr, /only root may do that \[AOV-DAEMON-403\][\s\S]*become root/);
});

test('profile add refuses a bad file before the daemon sees it', async () => {
  await using daemon = await fakeDaemon(answers);
  const { stderr, exitCode } = await aovpn(['profile', 'add', '-', '--name', 'bad'], {
    socketPath: daemon.socketPath,
    input: '<VPNProfile><AlwaysOn>',
  });
  assert.equal(exitCode, 1);
  assert.match(stderr, /error[\s\S]*was not added/);
  assert.deepEqual(daemon.seen, []);
});

test('profile add hands over the octets as they are, and the credentials', async () => {
  const xml =
    '\ufeff<VPNProfile><NativeProfile><Servers>vpn.example</Servers><NativeProtocolType>IKEv2</NativeProtocolType><RoutingPolicyType>SplitTunnel</RoutingPolicyType><Authentication><MachineMethod>Certificate</MachineMethod></Authentication></NativeProfile></VPNProfile>';
  const directory = await mkdtemp(path.join(tmpdir(), 'aovpn-add-'));
  try {
    const file = path.join(directory, 'Contoso Device.xml');
    await writeFile(file, xml);
    await writeFile(path.join(directory, 'secret'), 'pass word\n');
    await using daemon = await fakeDaemon(() => ({ status: 200, body: profile }));
    const { exitCode, stderr } = await aovpn(
      ['profile', 'add', file, '--user', 'alice', '--password-file', path.join(directory, 'secret')],
      { socketPath: daemon.socketPath },
    );
    assert.equal(exitCode, 0, stderr);
    const [request] = daemon.seen;
    assert.equal(`${request!.method} ${request!.url}`, 'PUT /v1/profiles/Contoso%20Device');
    const body = JSON.parse(request!.body) as { xmlBase64: string; credentials: unknown };
    assert.equal(Buffer.from(body.xmlBase64, 'base64').toString('utf8'), xml);
    assert.deepEqual(body.credentials, { userName: 'alice', password: 'pass word' });
  } finally {
    await rm(directory, { recursive: true });
  }
});

test('profile lint: exit code, compiler form and JSON', async () => {
  const bad = await aovpn(['profile', 'lint', '-'], { input: '<VPNProfile>\n  <AlwaysOn>perhaps</AlwaysOn>\n</VPNProfile>' });
  assert.equal(bad.exitCode, 1);
  assert.match(bad.stdout, /^-:2:\d+: .*\[AOV-PROFILE-\d+\]/m);
  const json = await aovpn(['profile', 'lint', '--json', '-'], { input: '<VPNProfile>' });
  const found = JSON.parse(json.stdout) as { file: string; line: number; code: string }[];
  assert.ok(found.length > 0 && found.every((one) => one.file === '-' && one.line >= 1 && one.code.startsWith('AOV-PROFILE-')));
  const none = await aovpn(['profile', 'lint', '/nonexistent.xml']);
  assert.equal(none.exitCode, 1);
  assert.match(none.stderr, /no such file/);
});

test('completion scripts are valid for their shell and know every command', () => {
  const syntax = spawnSync('bash', ['-n'], { input: completionScript.bash(program), encoding: 'utf8' });
  assert.equal(syntax.status, 0, syntax.stderr);
  const offered = spawnSync(
    'bash',
    [
      '-c',
      `${completionScript.bash(program)}\nCOMP_WORDS=(aovpn profile l); COMP_CWORD=2; _aovpn; echo "\${COMPREPLY[@]}"; COMP_WORDS=(aovpn explain cert); COMP_CWORD=2; _aovpn; echo "\${COMPREPLY[@]}"; COMP_WORDS=(aovpn explain certificate --j); COMP_CWORD=3; _aovpn; echo "\${COMPREPLY[@]}"; COMP_WORDS=(aovpn sta); COMP_CWORD=1; _aovpn; echo "\${COMPREPLY[@]}"`,
    ],
    { encoding: 'utf8' },
  );
  assert.equal(offered.stdout, 'list lint\ncertificate\n--json\nstatus\n');
  for (const shell of shells)
    for (const command of program)
      assert.ok(completionScript[shell](program).includes(command.name.split(' ').at(-1)!), `${shell}: ${command.name}`);
});

test('the manual page is roff without warnings and has every command and option', async () => {
  const { stdout } = await aovpn(['man']);
  for (const command of program) {
    assert.ok(stdout.includes(`.SS aovpn ${command.name.replaceAll('-', String.raw`\-`)}`), command.name);
    for (const option of command.options)
      assert.ok(stdout.includes(`\\-\\-${option.name.replaceAll('-', String.raw`\-`)}`), option.name);
  }
  assert.ok(!/^\.(?!TH|SH|SS|TP|PP|B|I|br)/m.test(stdout), 'only known requests');
});

test('a daemon that dies between two looks at it: one sentence and a code, no stack', async () => {
  let looks = 0;
  await using daemon = await fakeDaemon(({ url }) => {
    if (url.startsWith('/v1/events')) return { stream: [{ kind: 'removed', name: 'gone' }], open: true };
    return looks++ === 0 ? { status: 200, body: daemonStatus } : 'dies';
  });
  for (let round = 0; round < 3; round++) {
    looks = 0;
    const { stderr, exitCode } = await aovpn(['status', '--watch', '--json'], daemon);
    assert.equal(exitCode, 3, stderr);
    assert.match(stderr, /^aovpn: the daemon (went away|stopped)[^]*what to do/);
    assert.doesNotMatch(stderr, /node:/);
  }
});

test('a command is found by the name that it has', () => {
  assert.deepEqual(
    entries.map(({ name }) => name),
    program.map(({ name }) => name),
  );
});

test('logs shows the last lines only, where so many are wanted; an option that is not there is named in few words', async () => {
  await using daemon = await fakeDaemon(() => ({ stream: [] }));
  await aovpn(['logs', 'corp', '-n', '5'], daemon);
  assert.equal(daemon.seen[0]?.url, '/v1/logs?lines=5&connection=corp');
  const bad = await aovpn(['logs', '-n', 'all'], daemon);
  assert.equal(bad.exitCode, 2);
  assert.match(bad.stderr, /--lines needs a number, not "all"/);
  const unknown = await aovpn(['logs', '-z'], daemon);
  assert.match(unknown.stderr, /^aovpn: Unknown option '-z'\n {2}what to do: see: aovpn logs --help\n$/);
});
