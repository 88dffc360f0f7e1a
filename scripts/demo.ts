// `npm run demo`: the main story on a world made for it, in under two minutes. `--keep` leaves the world running with a shell to play in.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Explanation } from '@aovpn/api';
import { App } from '../lab/app.ts';
import { assertOnlyEsp, contains, countSorts } from '../lab/capture.ts';
import { CommandFailed } from '../lab/host.ts';
import { canary, network, publicCanary } from '../lab/network.ts';
import { certificateProfile, deviceProfile, mschapv2Profile } from '../lab/profile-xml.ts';
import { type Product, installed } from '../lab/product.ts';
import { startUnbound } from '../lab/server/unbound.ts';
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
/** A company beside ours, whose names only its own server knows. */
const partner = { zone: 'partner.example', name: 'wiki.partner.example', dns4: '10.20.0.54' } as const;
const alice = 1001;
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
  teller.unwatch();
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
  const { client, application, corp } = world;
  const resolvConf = client.file('/etc/resolv.conf');
  const ownResolvConf = readFileSync(resolvConf, 'utf8');
  const untouched = await hostState(client);
  await teller.step('start the gateway, with a PKI made on the spot', async () => {
    await world.startGateway({ authentication: ['pubkey', 'eap-mschapv2'], users });
    await corp.ip(`addr add ${partner.dns4}/24 dev ${network.corp.device}`);
    await startUnbound(corp, [partner.dns4], { [partner.name]: [network.corp.web4] });
    return `${network.gateway.name} is ${network.gateway.v4} and ${network.gateway.v6}`;
  });
  await teller.step(`the intranet cannot be reached, its name does not exist`, async () => {
    await assert.rejects(application.resolve(network.corp.web));
    await assert.rejects(application.connect(network.corp.web4, 80, 300));
    return '';
  });

  teller.title('1. The machine starts: device tunnel, before anybody signs in');
  const product = world.product();
  const since = performance.now();
  await teller.step('aovpnd starts, with a ProfileXML and a machine certificate in /etc/aovpn', async () => {
    const machine = world.pki.machine();
    install(client, 'profiles.d/device', {
      xml: deviceProfile({ extra: `<TrustedNetworkDetection>${network.corp.zone}</TrustedNetworkDetection>` }),
      pem: machine.chainPem,
      key: machine.keyPem,
      'ca.pem': world.pki.root.certificatePem,
    });
    await product.settings('[profile.device]\ndpd-seconds = 5\n\n[profile.office]\ntrigger-idle-seconds = 2\n');
    await product.start();
    teller.watch(() => product.status());
    const connection = await product.waitForState('device', 'up');
    shown.push(['daemon started → device tunnel up', `${(performance.now() - since).toFixed(0)} ms`]);
    return [
      `${connection.addresses.join(', ')} on ${connection.device}`,
      `IKE ${connection.crypto?.ike}; ESP ${connection.crypto?.child}`,
      ...connection.routes.map((route) => `route ${route.prefix}: ${route.because}`),
    ].join('\n');
  });
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

  teller.title('2. Alice signs in: her own tunnel, with her password, for her programs alone');
  const browser = new App(client, 'browser');
  await teller.step('sign in (as PAM or logind tell it)', async () => {
    appendFileSync(client.file('/etc/passwd'), `alice:x:${alice}:${alice}::/nonexistent:/bin/sh\n`);
    install(client, 'users.d/alice/Corp', {
      xml: mschapv2Profile({ routes: [{ address: network.corp.web4, prefixSize: 32 }], names: {}, dnsSuffix: '' }),
      user: 'alice',
      secret: `${users.alice}\n`,
      'ca.pem': world.pki.root.certificatePem,
    });
    const started = performance.now();
    await aovpn(product, 'session', 'open', 'alice');
    const connection = await product.waitForState('alice/Corp', 'up');
    shown.push(['sign-in → her tunnel up (EAP-MSCHAPv2)', `${(performance.now() - started).toFixed(0)} ms`]);
    return `${connection.addresses.join(', ')} on ${connection.device}; ${connection.crypto?.authentication ?? ''}`;
  });
  await teller.step('the same page, asked for by alice and by the machine: two tunnels', async () => {
    const hers = await browser.ask('tcp', network.corp.web4, 80, { uid: alice, timeoutMs: 5000 });
    const other = await browser.ask('tcp', network.corp.web4, 80, { timeoutMs: 5000 });
    assert.ok(hers.from !== undefined && other.from !== undefined && hers.from !== other.from, JSON.stringify([hers, other]));
    return `alice comes from ${hers.from}, a program of the machine from ${other.from}`;
  });

  teller.title('3. A name is asked for: the tunnel comes up because of it, and the answer comes through it');
  await teller.step('aovpn profile add partner.xml (AutoTrigger on its names); nothing happens yet', async () => {
    const xml = certificateProfile({
      alwaysOn: false,
      autoTrigger: true,
      names: { [`.${partner.zone}`]: [partner.dns4] },
      routes: [{ address: partner.dns4, prefixSize: 32 }],
      dnsSuffix: '',
    });
    await add(product, 'partner', xml, machineFiles(world));
    return (await product.waitForState('partner', 'down')).reason;
  });
  await teller.step(`a program asks for ${partner.name}`, async () => {
    const started = performance.now();
    const [address] = await application.resolve(partner.name, 4);
    assert.equal(address, network.corp.web4);
    const took = `${(performance.now() - started).toFixed(0)} ms`;
    const { reason } = await product.waitForState('partner', 'up');
    shown.push(['a name of the partner → tunnel up, and its address', took]);
    return `${address} after ${took}; ${reason}`;
  });

  teller.title('4. A program starts: its tunnel comes up before its first packet');
  const office = new App(client, 'office');
  await teller.step('aovpn profile add office.xml (AppTrigger); nothing happens yet', async () => {
    const trigger = `<AppTrigger><App><Id>${office.file}</Id></App></AppTrigger>`;
    const routes = [{ address: network.corp.web4, prefixSize: 32 }];
    await add(
      product,
      'office',
      certificateProfile({ alwaysOn: false, extra: trigger, routes, names: {}, dnsSuffix: '' }),
      machineFiles(world),
    );
    return (await product.waitForState('office', 'down')).reason;
  });
  await teller.step('the program is started, and connects at once', async () => {
    const started = performance.now();
    const page = await office.ask('tcp', network.corp.web4, 80, { timeoutMs: 10_000 });
    assert.match(page.said ?? JSON.stringify(page), /^10\.30\.0\./);
    const took = `${(performance.now() - started).toFixed(0)} ms`;
    shown.push(['program started → its first connection answered', took]);
    return `its first connection worked, ${took} after its start; once it has ended, so does the tunnel`;
  });
  await product.waitForState('office', 'down', 20_000);

  teller.title('5. The laptop moves to another network, under traffic');
  await teller.step(`new address ${network.client.away.v4}, old one gone (MOBIKE)`, async () => {
    await product.waitForState('device', 'up');
    const flow = await application.flow(network.corp.web4, network.corp.echoPort, 200);
    await sleep(500);
    await world.moveClient('away');
    await sleep(2000);
    const report = await flow.stop();
    assert.ok(report.longestGapMs < 2000, `silent for ${report.longestGapMs} ms`);
    shown.push(['address changed under 200 packets/s: silence', `${report.longestGapMs} ms`]);
    return `${report.sent} datagrams sent, ${report.lost} lost, longest silence ${report.longestGapMs} ms; same tunnels, same inner addresses`;
  });

  teller.title('6. It arrives at the company: no tunnel is needed there; it leaves again');
  const arrive = (suffix: string): void => writeFileSync(resolvConf, `search ${suffix}\nnameserver ${network.internet.dns4}\n`);
  await teller.step(`the network’s DNS suffix is ${network.corp.zone} (TrustedNetworkDetection)`, async () => {
    arrive(network.corp.zone);
    return (await product.waitForState('device', 'trusted')).reason;
  });
  await teller.step('a hotel: up again', async () => {
    const started = performance.now();
    arrive('hotel.example');
    await product.waitForState('device', 'up', 30_000);
    shown.push(['trusted network left → device tunnel up', `${(performance.now() - started).toFixed(0)} ms`]);
    return '';
  });

  teller.title('7. The gateway dies');
  await teller.step('kill -9 the gateway: nobody tells the laptop', async () => {
    await product.waitForState('device', 'up');
    await world.gateway.kill();
    await sleep(1000);
    await assert.rejects(application.fetch(page, { timeoutMs: 500 }));
    return '';
  });
  await teller.step('start it again and wait: the tunnels heal by themselves', async () => {
    await world.gateway.start();
    const healed = await application.fetchUntil(page, { timeoutMs: 40_000 });
    assert.ok(healed.body.includes(canary));
    const seconds = (healed.waitedMs / 1000).toFixed(1);
    shown.push(['gateway back → page again, nobody touched anything', `${seconds} s`]);
    return `page again ${seconds} s after the gateway was back`;
  });

  teller.title('Why is it so?');
  await teller.step('aovpn explain: which tunnel, which route, which line of the profile', async () => {
    const said = await aovpn(product, 'explain', network.corp.web);
    const explanation = JSON.parse(await aovpn(product, 'explain', network.corp.web, '--json')) as Explanation;
    assert.ok(
      explanation.addresses.some((address) => address.path === 'tunnel' && address.steps.some((step) => step.line !== undefined)),
    );
    shown.push(['explain names the profile line that decided', 'yes']);
    return said;
  });

  if (keep) {
    teller.unwatch();
    await play(world);
  }

  teller.title('Clean up');
  await teller.step('stop aovpnd: routes, rules, devices, resolver as before', async () => {
    teller.unwatch();
    await world.moveClient('home');
    writeFileSync(resolvConf, ownResolvConf);
    await product.stop();
    assert.equal(product.daemon.exit?.status, 0, product.daemon.output());
    assert.equal(await hostState(client), untouched);
    shown.push(['routes, rules, devices, DNS left on the laptop', 'none']);
    return '';
  });
}

/** Puts files beside each other into the configuration, as an administrator’s tool would: `NAME.ENDING`. */
function install(client: World['client'], stem: string, files: Readonly<Record<string, string>>): void {
  const { xml, ...rest } = files;
  for (const [ending, text] of Object.entries(rest)) client.write(`/etc/aovpn/${stem}.${ending}`, text, 0o600);
  client.write(`/etc/aovpn/${stem}.xml`, xml!);
}

function machineFiles({ pki }: World): Readonly<Record<string, string>> {
  const machine = pki.machine();
  return { certificate: machine.chainPem, key: machine.keyPem, 'gateway-ca': pki.root.certificatePem };
}

/** @throws CommandFailed */
async function aovpn(product: Product, ...argv: readonly string[]): Promise<string> {
  const result = await product.aovpn(argv);
  if (result.status !== 0) throw new CommandFailed('laptop', ['aovpn', ...argv], result);
  return result.stdout;
}

/** `aovpn profile add` as a person would type it, with credentials in files. */
async function add(product: Product, name: string, xml: string, files: Readonly<Record<string, string>>): Promise<void> {
  const place = (ending: string, text: string): string => {
    const file = path.join(product.host.directory, 'home', `${name}.${ending}`);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  const options = Object.entries(files).flatMap(([option, text]) => [`--${option}`, place(option, text)]);
  await aovpn(product, 'profile', 'add', place('xml', xml), ...options);
}

/** A shell on the laptop, until the person leaves it. */
async function play(world: World): Promise<void> {
  const bin = path.join(world.client.directory, 'home', 'bin');
  const launcher = path.join(bin, 'aovpn');
  await world.client.exec(['mkdir', '-p', bin]);
  writeFileSync(launcher, `#!/bin/sh\nexec ${installed('aovpn').join(' ')} "$@"\n`, { mode: 0o755 });
  teller.title('The world is yours: a shell on the laptop');
  teller.say(
    `    aovpn status --watch | aovpn explain ${network.internet.web} | aovpn down partner | aovpn logs -f | ip route show table all`,
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
