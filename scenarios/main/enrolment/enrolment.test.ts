// A machine has its certificate from the company's enrolment server (EST, RFC 7030), and renews it: with nothing but a one-time secret to begin with, and with the tunnel up.
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DoctorReport, EnrolmentStatus } from '@aovpn/api';
import type { EstConduct } from '../../../packages/host/testkit/est-server.ts';
import { network } from '../../../lab/network.ts';
import { patience } from '../../../lab/patience.ts';
import { certificateProfile, deviceProfile } from '../../../lab/profile-xml.ts';
import { EstLab } from '../../../lab/server/est.ts';
import { startScep } from '../../../lab/server/scep.ts';
import { Stage } from '../../../lab/stage.ts';

const name = 'laptop';
const secret = 'once & never "again"';
const secretFile = '/etc/aovpn/machine.secret';

/** An authority writes whole seconds, and a certificate that ends no later than the one in use is not taken. */
async function nextSecond(): Promise<void> {
  await sleep(1001 - (Date.now() % 1000));
}

suite('main/enrolment', () => {
  let stage: Stage;
  let est: EstLab;
  let inside: EstLab;
  let fingerprint: string;
  const day: EstConduct = { lifetimeSeconds: 86_400, secrets: [] };
  before(async () => {
    // From half of that time on our side authenticates anew.
    stage = await Stage.set({ reauthSeconds: 8 });
    const { router, corp, pki } = stage.world;
    const { internet } = network;
    est = await EstLab.start(router, pki.root, internet.pki, internet.web4, day);
    inside = await EstLab.start(corp, pki.root, network.corp.web, network.corp.web4, day);
    fingerprint = createHash('sha256').update(pki.root.certificate).digest('hex');
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const settings = (more = '', url = est.url): string =>
    [
      '[enrol.machine]',
      `url = "${url}"`,
      `ca-fingerprint = "${fingerprint}"`,
      'subject = "CN=laptop.corp.example,O=Example"',
      'dns-names = ["laptop.corp.example"]',
      'user-name = "laptop"',
      'secret-file = "machine.secret"',
      'renew-before = 0.6',
      more,
      `[profile."${name}"]`,
      'enrolment = "machine"',
      '',
    ].join('\n');
  const put = (xml = certificateProfile()): Promise<unknown> =>
    stage.product.put(name, xml, { gatewayCaPem: stage.world.pki.root.certificatePem });
  const output = (): string => stage.product.daemon.output();
  const times = (what: string): number => output().split(what).length - 1;
  async function list(): Promise<EnrolmentStatus> {
    const { stdout, stderr } = await stage.product.aovpn(['certificate', 'list', '--json']);
    const [one] = (stdout === '' ? [] : JSON.parse(stdout)) as EnrolmentStatus[];
    assert.ok(one, stderr);
    return one;
  }
  async function waitFor(what: string, isSo: (status: EnrolmentStatus) => boolean, timeoutMs = 60_000): Promise<EnrolmentStatus> {
    const deadline = performance.now() + timeoutMs * patience;
    for (;;) {
      const found = await list();
      if (isSo(found)) return found;
      if (performance.now() > deadline)
        throw new Error(`not ${what}: ${JSON.stringify(found, null, 1)}\n${output().slice(-4000)}`);
      await sleep(50);
    }
  }

  test('without a secret and a certificate it says so, at the connection and of the certificate', async () => {
    await stage.product.settings(settings());
    await put();
    const { problem, state } = await stage.product.waitForProblem(name);
    assert.equal(state, 'blocked');
    assert.deepEqual([problem?.code, problem?.side], ['AOV-SUPERVISOR-369', 'certificate']);
    const enrolment = await list();
    assert.equal(enrolment.state, 'none');
    assert.equal(enrolment.problem?.code, 'AOV-SUPERVISOR-366');
    assert.deepEqual(enrolment.connections, [name]);
    const enrol = await stage.product.aovpn(['certificate', 'enrol', 'machine']);
    assert.notEqual(enrol.status, 0);
    assert.match(enrol.stderr, /AOV-DAEMON-573/);
  });

  test('a one-time secret in its file is enough: the machine enrols and connects, and nothing of the secret is told', async () => {
    est.conduct({ ...day, secrets: [{ user: 'laptop', secret }] });
    const begun = performance.now();
    stage.world.client.write(secretFile, `${secret}\n`, 0o600);
    const up = await stage.product.waitForState(name, 'up');
    assert.ok(up.addresses.length > 0, `after ${performance.now() - begun} ms`);
    await stage.world.application.fetchUntil(`http://${network.corp.web4}/`);
    const { state, certificate, next, problem } = await list();
    assert.equal(state, 'valid');
    assert.equal(certificate?.subject, 'CN=laptop.corp.example, O=Example');
    assert.equal(next?.what, 'renew');
    assert.equal(problem, undefined);
    const file = statSync(stage.world.client.file('/var/lib/aovpn/enrolled/machine.pem'));
    assert.deepEqual([file.mode & 0o777, file.uid], [0o600, 0]);
    assert.ok(!output().includes(secret));
    const text = await stage.product.aovpn(['status']);
    assert.match(text.stdout, /certificate machine: 23 h \d+ min left, renewed at /);
    const doctor = JSON.parse((await stage.product.aovpn(['doctor', '--json'])).stdout) as DoctorReport;
    assert.equal(doctor.checks.find((check) => check.name === 'certificate machine')?.verdict, 'ok');
  });

  test('its certificate nears its end: the daemon renews it, again and again, and no packet of the tunnel is lost', async (t) => {
    const { world, product } = stage;
    est.conduct({ lifetimeSeconds: 18 * patience, secrets: [{ user: 'laptop', secret: 'short' }] });
    const short = await product.aovpn(['certificate', 'enrol', 'machine', '--secret'], { input: 'short\n' });
    assert.equal(short.status, 0, short.stdout + short.stderr);
    const first = await list();
    const before = await product.waitForState(name, 'up');
    const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 100);
    const renewed = times('certificate "machine" renewed');
    await product.waitFor(name, 'renewed three times', () => times('certificate "machine" renewed') >= renewed + 3, 120_000);
    // The first one is of no use any more: whoever authenticates does so with a new one.
    await waitFor('past the first', () => Date.now() > Date.parse(first.certificate!.notAfter) + 1000);
    const taken = times('the new IKE SA has taken over');
    await product.waitFor(name, 'authenticated anew', () => times('the new IKE SA has taken over') > taken);
    const report = await flow.stop();
    t.diagnostic(`longest silence ${Math.round(report.longestGapMs)} ms, ${report.received} packets`);
    assert.equal(report.lost, 0);
    const now = await product.waitForState(name, 'up');
    assert.equal(now.connectedAt, before.connectedAt, 'nobody noticed');
    assert.notEqual((await list()).certificate?.id, first.certificate?.id);
    assert.ok(est.lines().some((line) => /simplereenroll .* certificate /.test(line)));
  });

  test('a renewal that is refused is told with its side and cure; the certificate stays in use while it is valid, and a new secret helps when it is not', async () => {
    const { product } = stage;
    // One that lives long enough for all that is looked at while it does, also where that takes its time.
    est.conduct({ lifetimeSeconds: 40 * patience, secrets: [] });
    await nextSecond();
    const renewed = await product.aovpn(['certificate', 'renew', 'machine']);
    assert.equal(renewed.status, 0, renewed.stdout + renewed.stderr);
    est.conduct({ ...day, secrets: [], refuse: { status: 403, words: 'this machine was reported stolen' } });
    assert.notEqual((await product.aovpn(['certificate', 'renew', 'machine'])).status, 0);
    const refused = await waitFor('refused', ({ problem }) => problem?.code === 'AOV-SUPERVISOR-363');
    assert.equal(refused.state, 'valid');
    assert.equal(refused.problem?.side, 'certificate');
    assert.match(refused.problem?.message ?? '', /this machine was reported stolen/);
    assert.equal((await product.waitForState(name, 'up')).problem, undefined);
    const status = await product.aovpn(['status']);
    assert.match(status.stdout, /certificate machine: \d+ s left.*reported stolen/);
    const expired = await waitFor('expired', ({ state }) => state === 'expired', 120_000);
    assert.equal(expired.problem?.side, 'certificate');
    const told = await product.waitFor(name, 'told', ({ problem }) => problem?.code === 'AOV-SUPERVISOR-367');
    assert.equal(told.state, 'blocked');
    est.conduct({ ...day, secrets: [{ user: 'laptop', secret: 'another' }] });
    const wrong = await product.aovpn(['certificate', 'enrol', 'machine', '--secret'], { input: 'guessed\n' });
    assert.equal(wrong.status, 1);
    assert.match(wrong.stdout, /AOV-SUPERVISOR-362/);
    assert.ok(!`${wrong.stdout}${wrong.stderr}${output()}`.includes('guessed'));
    const right = await product.aovpn(['certificate', 'enrol', 'machine', '--secret'], { input: 'another\n' });
    assert.equal(right.status, 0, right.stdout + right.stderr);
    await product.waitForState(name, 'up');
  });

  test('an impostor in the place of the server gets nothing but a question for certificates', async () => {
    const { world, product } = stage;
    const { stranger } = world.pki;
    const false_ = await EstLab.start(
      world.corp,
      stranger,
      network.corp.web,
      network.corp.web4,
      { ...day, secrets: [{ user: 'laptop', secret }] },
      9443,
    );
    await product.settings(settings('', false_.url));
    const enrol = await product.aovpn(['certificate', 'enrol', 'machine']);
    assert.equal(enrol.status, 1);
    assert.match(enrol.stdout, /AOV-SUPERVISOR-361/);
    assert.ok(
      false_.lines().every((line) => !line.includes('enroll')),
      false_.lines().join('\n'),
    );
    assert.equal((await list()).state, 'valid');
    await product.settings(settings());
  });

  test('the same by SCEP, from scepserver: a challenge enrols, and the gateway takes the certificate', async () => {
    const { world, product } = stage;
    const scep = await startScep(world.router, network.internet.pki, 'challenge 4711');
    await stage.strike(name);
    await world.gateway.configure({ authorities: [scep.certificatePem] });
    world.client.write('/etc/aovpn/ndes.secret', 'challenge 4711\n', 0o600);
    const pinned = createHash('sha256').update(new X509Certificate(scep.certificatePem).raw).digest('hex');
    await product.settings(
      [
        '[enrol.ndes]',
        'protocol = "scep"',
        `url = "${scep.url}"`,
        `ca-fingerprint = "${pinned}"`,
        'subject = "CN=laptop.corp.example,O=Example"',
        'dns-names = ["laptop.corp.example"]',
        'secret-file = "ndes.secret"',
        // It signs its answers over SHA-1.
        'allow-weak = true',
        `[profile."${name}"]`,
        'enrolment = "ndes"',
        '',
      ].join('\n'),
    );
    await put();
    await product.waitForState(name, 'up');
    const enrolled = await list();
    assert.deepEqual([enrolled.name, enrolled.protocol, enrolled.state], ['ndes', 'scep', 'valid']);
    assert.ok(!output().includes('challenge 4711'));
    await stage.strike(name);
    await world.gateway.configure({ authorities: [world.pki.root.certificatePem] });
    await product.settings(settings());
  });

  test('LockDown lets it out nowhere but through the tunnel: a server outside is not reached, one inside is', async () => {
    const { world, product } = stage;
    const locked = deviceProfile({ routing: 'ForceTunnel', extra: '<LockDown>true</LockDown>' }).replace(
      '  <DeviceTunnel>true</DeviceTunnel>\n',
      '',
    );
    await put(locked);
    await product.waitForState(name, 'up');
    await product.settings(settings('', inside.url));
    const capture = await world.capture();
    await nextSecond();
    const through = await product.aovpn(['certificate', 'renew', 'machine']);
    assert.equal(through.status, 0, through.stdout + through.stderr + output().slice(-3000));
    assert.ok(inside.lines().some((line) => /simplereenroll .* certificate /.test(line)));
    await product.settings(settings());
    await world.gateway.stop();
    await product.waitFor(name, 'down', ({ state }) => state !== 'up');
    const seen = est.lines().length;
    const out = await product.aovpn(['certificate', 'renew', 'machine'], { timeoutMs: 60_000 });
    assert.equal(out.status, 1, out.stdout + out.stderr);
    assert.match(out.stdout, /AOV-SUPERVISOR-360/);
    assert.equal(est.lines().length, seen);
    const packets = await capture.stop();
    const toServer = packets.filter(({ sourcePort, destinationPort }) => sourcePort === 8443 || destinationPort === 8443);
    assert.deepEqual(toServer, []);
    assert.ok(packets.length > 10);
    assert.equal((await product.aovpn(['lockdown', 'release', name, '--yes'])).status, 0);
    await nextSecond();
    const open = await product.aovpn(['certificate', 'renew', 'machine'], { timeoutMs: 60_000 });
    assert.equal(open.status, 0, `${open.stdout}${open.stderr}`);
  });
});
