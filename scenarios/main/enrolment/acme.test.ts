// A machine has its certificate by ACME (RFC 8555) from pebble, Let's Encrypt's own test server: an account that the company has made (external account binding), and the
// name proven by a record that the machine writes into the company's DNS (BIND, TSIG). The certificate opens a tunnel, and is renewed with the tunnel up.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EnrolmentStatus } from '@aovpn/api';
import { network } from '../../../lab/network.ts';
import { patience } from '../../../lab/patience.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import type { Running } from '../../../lab/running.ts';
import { startBind } from '../../../lab/server/bind.ts';
import { startPebble, type PebbleLab } from '../../../lab/server/pebble.ts';
import { Stage } from '../../../lab/stage.ts';

const name = 'laptop';
const machine = `laptop.${network.corp.zone}`;
const macKey = randomBytes(32).toString('base64url');
const tsig = randomBytes(32).toString('base64');
/** The company's name server, which everybody reaches. */
const dns = '198.18.0.54';

suite('main/enrolment by ACME', () => {
  let stage: Stage;
  let bind: Running;
  let pebble: PebbleLab;
  before(async () => {
    stage = await Stage.set({ reauthSeconds: 12 });
    const { world, product } = stage;
    const { internet, corp } = network;
    await world.router.ip(`addr add ${dns}/32 dev lo`);
    const key = `key "laptop" { algorithm hmac-sha256; secret "${tsig}"; };\n`;
    const policy = `update-policy { grant laptop name _acme-challenge.${machine}. TXT; };`;
    bind = await startBind(world.router, dns, [{ name: corp.zone, records: `ns1 IN A ${dns}\n`, more: policy }], key);
    pebble = await startPebble(world.router, world.pki.root, {
      name: internet.pki,
      address: internet.web4,
      accounts: { 'laptop-7': macKey },
      dns,
      lifetimeSeconds: 30 * patience,
    });
    world.client.write('/etc/aovpn/laptop.key', key, 0o600);
    world.client.write('/etc/aovpn/acme-tls.pem', world.pki.root.certificatePem);
    world.client.write('/etc/aovpn/acme-issuer.pem', pebble.rootPem);
    await world.gateway.configure({ authorities: [pebble.rootPem] });
    await product.settings(settings());
    await product.put(name, certificateProfile(), { gatewayCaPem: world.pki.root.certificatePem });
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  const settings = (dnsName = machine): string =>
    [
      '[enrol.machine]',
      'protocol = "acme"',
      `url = "${pebble.url}"`,
      'ca = "acme-tls.pem"',
      'issuing-ca = "acme-issuer.pem"',
      'user-name = "laptop-7"',
      'secret-file = "acme.secret"',
      'agree-to-terms = true',
      `dns-names = ["${dnsName}"]`,
      'dns-update-key = "laptop.key"',
      `dns-servers = ["${dns}"]`,
      'renew-before = 0.6',
      `[profile."${name}"]`,
      'enrolment = "machine"',
      '',
    ].join('\n');
  const output = (): string => stage.product.daemon.output();
  const times = (text: string, what: string): number => text.split(what).length - 1;
  /** A renewal may have one there at this moment; none stays. */
  async function waitForNoProof(): Promise<void> {
    for (let turn = 0; ; turn++) {
      const { stdout } = await stage.world.router.run(['dig', '+short', `@${dns}`, `_acme-challenge.${machine}`, 'TXT']);
      if (stdout.trim() === '') return;
      assert.ok(turn < 50 * patience, `${stdout}${bind.output().slice(-2000)}`);
      await sleep(100);
    }
  }
  async function list(): Promise<EnrolmentStatus> {
    const { stdout, stderr } = await stage.product.aovpn(['certificate', 'list', '--json']);
    const [one] = (stdout === '' ? [] : JSON.parse(stdout)) as EnrolmentStatus[];
    assert.ok(one, stderr);
    return one;
  }

  test('without the MAC key of its account it says so; a wrong one is refused, and told apart', async () => {
    const { problem } = await stage.product.waitForProblem(name);
    assert.equal(problem?.code, 'AOV-SUPERVISOR-369');
    assert.equal((await list()).problem?.code, 'AOV-SUPERVISOR-366');
    const wrong = randomBytes(32).toString('base64url');
    const enrol = await stage.product.aovpn(['certificate', 'enrol', 'machine', '--secret'], { input: `${wrong}\n` });
    assert.equal(enrol.status, 1);
    assert.match(enrol.stdout, /AOV-SUPERVISOR-362/);
    assert.ok(!`${enrol.stdout}${enrol.stderr}${output()}`.includes(wrong));
    assert.equal(times(bind.output(), 'updating zone'), 0);
  });

  test('with it the machine proves its name in the DNS, has its certificate, and connects; the record is gone, and no secret is told', async () => {
    const { world, product } = stage;
    world.client.write('/etc/aovpn/acme.secret', `${macKey}\n`, 0o600);
    const up = await product.waitForState(name, 'up', 30_000);
    assert.ok(up.addresses.length > 0);
    await world.application.fetchUntil(`http://${network.corp.web4}/`, { timeoutMs: 10_000 });
    const { state, certificate, protocol, next } = await list();
    assert.deepEqual([protocol, state, certificate?.subject, next?.what], ['acme', 'valid', `CN=${machine}`, 'renew']);
    assert.match(certificate?.issuer ?? '', /Pebble Intermediate CA/);
    assert.match(
      bind.output(),
      new RegExp(`key laptop: updating zone '${network.corp.zone}/IN': adding an RR at '_acme-challenge.${machine}' TXT`),
    );
    await waitForNoProof();
    for (const file of ['machine.pem', 'machine.acme']) {
      const facts = statSync(world.client.file(`/var/lib/aovpn/enrolled/${file}`));
      assert.deepEqual([facts.mode & 0o777, facts.uid], [0o600, 0]);
    }
    for (const secret of [macKey, tsig]) assert.ok(!output().includes(secret));
  });

  test('it is renewed again and again before it ends, by the account alone, and no packet of the tunnel is lost', async (t) => {
    const { world, product } = stage;
    // What made the account is not needed any more.
    await world.client.exec(['rm', '/etc/aovpn/acme.secret']);
    const first = await list();
    const before = await product.waitForState(name, 'up');
    const flow = await world.application.flow(network.corp.web4, network.corp.echoPort, 100);
    const renewed = times(output(), 'certificate "machine" renewed');
    await product.waitFor(name, 'renewed', () => times(output(), 'certificate "machine" renewed') >= renewed + 3, 120_000);
    // The first one is of no use any more: whoever authenticates does so with a new one.
    const ended = Date.parse(first.certificate!.notAfter) + 1000 - Date.now();
    await sleep(Math.max(0, ended));
    const taken = times(output(), 'the new IKE SA has taken over');
    await product.waitFor(name, 'authenticated anew', () => times(output(), 'the new IKE SA has taken over') > taken, 60_000);
    const report = await flow.stop();
    t.diagnostic(`longest silence ${Math.round(report.longestGapMs)} ms, ${report.received} packets`);
    assert.equal(report.lost, 0);
    assert.equal((await product.waitForState(name, 'up')).connectedAt, before.connectedAt, 'nobody noticed');
    assert.notEqual((await list()).certificate?.id, first.certificate?.id);
    assert.equal(times(pebble.running.output(), 'Successful newAccount Binding'), 1);
    await waitForNoProof();
  });

  test('a name that the machine may not prove: whose side it is and what to do is said, and the certificate stays in use', async () => {
    const { product } = stage;
    await product.settings(settings(`printer.${network.corp.zone}`));
    const before = (await list()).certificate?.notAfter ?? '';
    const enrol = await product.aovpn(['certificate', 'enrol', 'machine'], { timeoutMs: 60_000 });
    assert.equal(enrol.status, 1);
    assert.match(enrol.stdout, /AOV-SUPERVISOR-370/);
    assert.match(enrol.stdout, /REFUSED \[AOV-HOST-331\]/);
    const now = await list();
    assert.equal(now.state, 'valid');
    assert.ok((now.certificate?.notAfter ?? '') >= before);
    await product.settings(settings());
    assert.equal((await product.waitForState(name, 'up')).problem, undefined);
  });
});
