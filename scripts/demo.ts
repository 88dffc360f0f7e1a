// `npm run demo`: the main story on a world made for it, in under two minutes. `--keep` leaves the world running with a shell to play in.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Explanation } from '@aovpn/api';
import { assertOnlyEsp, contains, countSorts } from '../lab/capture.ts';
import { CommandFailed } from '../lab/host.ts';
import { canary, network, publicCanary } from '../lab/network.ts';
import { deviceProfile, mschapv2Profile } from '../lab/profile-xml.ts';
import type { Product } from '../lab/product.ts';
import { users } from '../lab/stage.ts';
import { Storyteller } from '../lab/storyteller.ts';
import { hostState } from '../lab/trace.ts';
import { World } from '../lab/world.ts';

const arguments_ = process.argv.slice(2);
if (arguments_.some((argument) => argument !== '--keep')) {
  process.stderr.write('usage: npm run demo [-- --keep]\n');
  process.exit(2);
}
const keep = arguments_.includes('--keep');
const teller = new Storyteller();
const shown: [string, string][] = [];
const page = `http://${network.corp.web}/`;

teller.title('Always On VPN on Linux: a Windows ProfileXML becomes a living tunnel');
teller.say('Everything below happens now, with real packets, in network namespaces of this machine; the gateway is strongSwan.');
teller.picture('none');

let world: World | undefined;
let namespaces: readonly string[] = [];
try {
  await teller.step('build the world: laptop, internet, gateway, company', async () => {
    world = await World.create();
    namespaces = namespacesOf(world);
    return '';
  });
  await tell(world!);
} catch {
  process.exitCode = 1;
} finally {
  await world?.close();
}
if (process.exitCode === undefined) {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isIn(name, namespaces));
  if (existsSync(world!.directory) || processes.length > 0) {
    const named = processes.map((pid) => `${pid} (${nameOf(pid)})`);
    teller.say(`the world left something behind: ${world!.directory} ${named.join(', ')}`);
    process.exitCode = 1;
  }
}
if (process.exitCode === undefined) {
  shown.push(['processes, namespaces and files left on this machine', 'none']);
  teller.title(`What was shown, in ${teller.seconds.toFixed(0)} s`);
  teller.table(shown);
  teller.title('The same with your own profile');
  teller.say('    sudo aovpnd &                                   (or: systemctl start aovpn)');
  teller.say('    aovpn profile lint Your.xml                     what Windows would do with it, and what we do');
  teller.say('    sudo aovpn profile add Your.xml --certificate machine.pem --key machine.key --gateway-ca ca.pem');
  teller.say('    aovpn status --watch');
  teller.say('    npm run demo -- --keep                          this world again, with a shell on the laptop');
  teller.say();
} else {
  teller.say('\nThe story did not come to its end; the step marked ✗ says why.');
}

async function tell(world: World): Promise<void> {
  const { client, application } = world;
  const untouched = await hostState(client);
  await teller.step('start the gateway, with a PKI made on the spot', async () => {
    await world.startGateway({ authentication: ['pubkey', 'eap-mschapv2'], users });
    return `${network.gateway.name} is ${network.gateway.v4} and ${network.gateway.v6}`;
  });
  const product = world.product();
  await teller.step('start aovpnd on the laptop', async () => {
    await product.settings('[profile.device]\ndpd-seconds = 5\n');
    await product.start();
    return '';
  });
  await teller.step(`the intranet cannot be reached, its name does not exist`, async () => {
    await assert.rejects(application.resolve(network.corp.web));
    await assert.rejects(application.connect(network.corp.web4, 80, 300));
    return '';
  });

  teller.title('Device tunnel: a ProfileXML and a machine certificate');
  await teller.step('aovpn profile add device.xml', async () => {
    const machine = world.pki.machine();
    const started = performance.now();
    await add(product, 'device', deviceProfile(), {
      certificate: machine.chainPem,
      key: machine.keyPem,
      'gateway-ca': world.pki.root.certificatePem,
    });
    const connection = await product.waitForState('device', 'up');
    const took = performance.now() - started;
    shown.push(['profile added → tunnel up (the command included)', `${took.toFixed(0)} ms`]);
    return [
      `${connection.addresses.join(', ')} on ${connection.device}`,
      `IKE ${connection.crypto?.ike}; ESP ${connection.crypto?.child}`,
      ...connection.routes.map((route) => `route ${route.prefix}: ${route.because}`),
    ].join('\n');
  });
  teller.picture('tunnel');
  const capture = await world.capture();
  await teller.step(`fetch ${page} by its internal name`, async () => {
    const six = await application.fetch(page, { family: 6 });
    const four = await application.fetch(page, { family: 4 });
    assert.ok(four.body.includes(canary) && six.body.includes(canary));
    shown.push(['intranet page by its internal name, IPv4 and IPv6', `${four.ms.toFixed(0)} ms and ${six.ms.toFixed(0)} ms`]);
    return `"${four.body.trim()}" from ${four.remoteAddress} and ${six.remoteAddress}`;
  });
  await teller.step('what the wire shows: ESP only', async () => {
    await application.fetch(`${page}bytes/2000000`);
    const packets = await capture.packets();
    assertOnlyEsp(packets, [canary, network.corp.web], { publicDns: [network.internet.dns4] });
    const counts = countSorts(packets, [network.internet.dns4]);
    await application.fetch(`http://${network.internet.web4}/`);
    const control = await capture.stop();
    assert.ok(contains(control, publicCanary), 'the positive control fails');
    shown.push(['packets on the wire: ESP / in clear', `${counts.esp} / ${counts.plaintext}`]);
    return `${counts.esp} ESP, ${counts.plaintext} in clear, "${canary}" nowhere\ncontrol: a public page fetched beside the tunnel is seen in clear, as it should be`;
  });

  teller.title('The gateway dies');
  await teller.step('kill -9 the gateway: nobody tells the laptop', async () => {
    await world.gateway.kill();
    await sleep(1000);
    await assert.rejects(application.fetch(page, { timeoutMs: 500 }));
    return '';
  });
  teller.picture('broken');
  await teller.step('start it again and wait: the tunnel heals by itself', async () => {
    await world.gateway.start();
    const healed = await application.fetchUntil(page, { timeoutMs: 40_000 });
    assert.ok(healed.body.includes(canary));
    const seconds = (healed.waitedMs / 1000).toFixed(1);
    shown.push(['gateway back → page again, nobody touched anything', `${seconds} s`]);
    return `page again ${seconds} s after the gateway was back`;
  });
  teller.picture('tunnel');

  teller.title('The laptop moves to another network, under traffic');
  await teller.step(`new address ${network.client.away.v4}, old one gone (MOBIKE)`, async () => {
    await product.waitForState('device', 'up');
    const flow = await application.flow(network.corp.web4, network.corp.echoPort, 200);
    await sleep(500);
    await world.moveClient('away');
    await sleep(2000);
    const report = await flow.stop();
    assert.ok(report.longestGapMs < 2000, `silent for ${report.longestGapMs} ms`);
    shown.push(['address changed under 200 packets/s: silence', `${report.longestGapMs} ms`]);
    return `${report.sent} datagrams sent, ${report.lost} lost, longest silence ${report.longestGapMs} ms; same tunnel, same inner addresses`;
  });

  teller.title('User tunnel beside it: EAP-MSCHAPv2');
  await teller.step('aovpn profile add user.xml --user alice', async () => {
    const routes = [{ address: network.corp.web4, prefixSize: 32 }];
    const started = performance.now();
    await add(
      product,
      'user',
      mschapv2Profile({ routes }),
      { 'password-file': users.alice, 'gateway-ca': world.pki.root.certificatePem },
      ['--user', 'alice'],
    );
    const connection = await product.waitForState('user', 'up');
    shown.push(['second tunnel with user name and password', `${(performance.now() - started).toFixed(0)} ms`]);
    return `${connection.addresses.join(', ')} on ${connection.device}; ${connection.crypto?.authentication ?? ''}`;
  });
  teller.picture('two tunnels');
  await teller.step('aovpn explain: which tunnel, which route, which line of the profile', async () => {
    const said = await product.aovpn(['explain', network.corp.web]);
    assert.equal(said.status, 0, said.stderr);
    const json = await product.aovpn(['explain', network.corp.web, '--json']);
    const explanation = JSON.parse(json.stdout) as Explanation;
    assert.ok(
      explanation.addresses.some((address) => address.path === 'tunnel' && address.steps.some((step) => step.line !== undefined)),
    );
    shown.push(['explain names the profile line that decided', 'yes']);
    return said.stdout;
  });
  await teller.step('aovpn status', async () => {
    const said = await product.aovpn(['status']);
    assert.equal(said.status, 0, said.stderr);
    return said.stdout;
  });

  if (keep) await play(world);

  teller.title('Clean up');
  await teller.step('stop aovpnd: routes, rules, devices, resolver as before', async () => {
    await world.moveClient('home');
    await product.stop();
    assert.equal(product.daemon.exit?.status, 0, product.daemon.output());
    assert.equal(await hostState(client), untouched);
    shown.push(['routes, rules, devices, DNS left on the laptop', 'none']);
    return '';
  });
}

/** `aovpn profile add` as a person would type it, with credentials in files. */
async function add(
  product: Product,
  name: string,
  xml: string,
  files: Readonly<Record<string, string>>,
  more: readonly string[] = [],
): Promise<void> {
  const place = (ending: string, text: string): string => {
    const file = path.join(product.host.directory, 'home', `${name}.${ending}`);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  const options = Object.entries(files).flatMap(([option, text]) => [`--${option}`, place(option, text)]);
  const argv = ['profile', 'add', place('xml', xml), ...options, ...more];
  const result = await product.aovpn(argv);
  if (result.status !== 0) throw new CommandFailed('laptop', ['aovpn', ...argv], result);
}

/** A shell on the laptop, until the person leaves it. */
async function play(world: World): Promise<void> {
  const bin = path.join(world.client.directory, 'home', 'bin');
  const launcher = path.join(bin, 'aovpn');
  await world.client.exec(['mkdir', '-p', bin]);
  const command = new URL('../packages/cli/bin/aovpn.mjs', import.meta.url).pathname;
  writeFileSync(launcher, `#!/bin/sh\nexec ${process.execPath} ${command} "$@"\n`, { mode: 0o755 });
  teller.title('The world is yours: a shell on the laptop');
  teller.say(
    `    aovpn status | aovpn explain ${network.internet.web} | aovpn down user | aovpn logs -f | ip route show table all`,
  );
  teller.say(
    `    the gateway, from another terminal: sudo ${world.gatewayHost
      .enter(['bash'])
      .filter((word) => !word.startsWith('--wdns'))
      .join(' ')}`,
  );
  teller.say('    exit (or Ctrl-C without a terminal) ends it; everything is cleaned up then\n');
  const [program, ...args] = process.stdin.isTTY
    ? world.client.enterShell(['bash', '--norc', '-i'])
    : world.client.enter(['sleep', 'infinity']);
  const shell = spawn(program!, args, {
    stdio: 'inherit',
    env: { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}`, PS1: 'laptop# ' },
  });
  await new Promise((resolve) => shell.once('close', resolve));
}

/** Network namespaces of a world, by the names that the kernel gives them. */
function namespacesOf({ client, router, gatewayHost, corp }: World): readonly string[] {
  return [client, router, gatewayHost, corp].map(({ holder }) => readlinkSync(`/proc/${holder}/ns/net`));
}

function isIn(pid: string, namespaces: readonly string[]): boolean {
  try {
    return namespaces.includes(readlinkSync(`/proc/${pid}/ns/net`));
  } catch {
    return false;
  }
}

function nameOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() || 'ended, not yet taken note of';
  } catch {
    return 'gone by now';
  }
}
