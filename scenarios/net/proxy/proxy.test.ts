// A person is signed in while the tunnel comes and goes: the settings of GNOME (a real dconf on the bus of the session) and KDE, the environment
// and the script on loopback are the tunnel's while it is up, and byte for byte what they were before, however it ends.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, chownSync } from 'node:fs';
import process from 'node:process';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inCheckout } from '../../../lab/host.ts';
import { network } from '../../../lab/network.ts';
import { installed, repository } from '../../../lab/product.ts';
import { certificateProfile } from '../../../lab/profile-xml.ts';
import type { Running } from '../../../lab/running.ts';
import { Stage } from '../../../lab/stage.ts';

const user = 1000;
const home = '/run/home-of-alice';
const kdeFile = `${home}/.config/kioslaverc`;
const kdeBefore = '# mine\n[Proxy Settings]\nProxyType=1\nhttpProxy=http://mine.example 3128\n\n[Other]\na=b\n';

suite('net/proxy', () => {
  let stage: Stage;
  let agent: Running;
  let dconfBefore: string;
  const environment = {
    PATH: process.env['PATH'],
    HOME: home,
    XDG_RUNTIME_DIR: home,
    DBUS_SESSION_BUS_ADDRESS: `unix:path=${home}/bus`,
  };
  const asAlice = ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--'];
  const aovpn = installed('aovpn').map(inCheckout);

  before(async () => {
    stage = await Stage.set();
    const { client } = stage.world;
    for (const directory of [home, `${home}/.config`]) mkdirSync(client.file(directory), { recursive: true });
    client.write(kdeFile, kdeBefore);
    for (const entry of [home, `${home}/.config`, kdeFile]) chownSync(client.file(entry), user, user);
    const bus = client.spawn(
      [...asAlice, 'dbus-daemon', '--session', `--address=unix:path=${home}/bus`, '--nofork', '--print-address=1'],
      { name: 'bus', env: environment },
    );
    await bus.saysWithin(/unix:path/);
    // What the person has set, a proxy of a time before among it.
    for (const [key, value] of [
      ['/system/proxy/mode', "'none'"],
      ['/system/proxy/http/host', "'mine.example'"],
      ['/system/proxy/http/port', '3128'],
      ['/org/gnome/desktop/interface/clock-format', "'24h'"],
    ])
      await dconf('write', key!, value!);
    dconfBefore = await dconf('dump', '/');
    agent = await startAgent();
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  async function dconf(...args: readonly string[]): Promise<string> {
    return await stage.world.client.exec([...asAlice, 'dconf', ...args], { env: environment });
  }
  async function startAgent(): Promise<Running> {
    return stage.world.client.spawn([...asAlice, ...aovpn, 'session'], { name: 'session', env: environment });
  }
  async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
    for (let turn = 0; !(await holds()); turn++) {
      assert.ok(
        turn < 300,
        `not so: ${what}\n${agent.output()}\n${await dconf('dump', '/')}\n${stage.product.daemon.output().slice(-2000)}`,
      );
      await sleep(100);
    }
  }
  const kde = (): string => readFileSync(stage.world.client.file(kdeFile), 'utf8');
  const asBefore = async (): Promise<void> => {
    await until('everything is as before', async () => (await dconf('dump', '/')) === dconfBefore && kde() === kdeBefore);
    assert.equal(existsSync(stage.world.client.file('/run/aovpn/proxy.env')), false);
  };
  const connect = async (extra: string, names: Record<string, readonly string[]> = {}): Promise<void> => {
    await stage.product.put('corp', certificateProfile({ routing: 'ForceTunnel', routes: [], extra, names }), stage.machine());
    await stage.product.waitForState('corp', 'up');
  };
  const manual = '<Proxy><Manual><Server>proxy.corp.example:8080</Server></Manual></Proxy>';

  test('a manual proxy: GNOME, KDE, environment; and back when the tunnel goes', async () => {
    const { world, product } = stage;
    await connect(manual);
    await until('GNOME has it', async () => (await dconf('read', '/system/proxy/mode')).trim() === "'manual'");
    assert.equal((await dconf('read', '/system/proxy/https/host')).trim(), "'proxy.corp.example'");
    assert.equal((await dconf('read', '/system/proxy/http/port')).trim(), '8080');
    await until('KDE has it', () => kde().includes('httpProxy=http://proxy.corp.example 8080'));
    const shown = await world.client.exec([...asAlice, ...aovpn, 'env'], { env: environment });
    assert.match(shown, /^export https_proxy='http:\/\/proxy\.corp\.example:8080'$/m);
    const login = await world.client.exec(
      [...asAlice, 'sh', '-c', `. ${inCheckout(repository('packages/cli/session/profile.d/aovpn.sh'))}; env`],
      { env: environment },
    );
    assert.match(login, /^http_proxy=http:\/\/proxy\.corp\.example:8080$/m);
    const generated = await world.client.exec(
      [...asAlice, inCheckout(repository('packages/cli/session/user-environment-generators/60-aovpn'))],
      { env: environment },
    );
    assert.match(generated, /^no_proxy=localhost,/m);
    const plan = await product.aovpn(['plan']);
    assert.match(
      plan.stdout,
      /proxy everything else proxy\.corp\.example:8080 except localhost .*# profile "corp" line \d+: Proxy/,
    );
    await stage.strike('corp');
    await asBefore();
  });

  test('web proxies of name rules: a script from loopback, which goes with the tunnel', async () => {
    const { world, product } = stage;
    const rule = `<DomainNameInformation><DomainName>.${network.corp.zone}</DomainName><DnsServers>${network.corp.dns4}</DnsServers><WebProxyServers>web.${network.corp.zone}:3128</WebProxyServers></DomainNameInformation>`;
    await product.put('corp', certificateProfile({ extra: rule, names: {} }), stage.machine());
    await product.waitForState('corp', 'up');
    await until('GNOME has it', async () => (await dconf('read', '/system/proxy/autoconfig-url')).includes('127.0.0.96:996'));
    const page = await world.application.fetch('http://127.0.0.96:996/proxy.pac');
    assert.match(page.body, /FindProxyForURL/);
    assert.match(page.body, new RegExp(`PROXY web.${network.corp.zone}:3128`));
    await until('KDE has it', () => kde().includes('Proxy Config Script=http://127.0.0.96:996/proxy.pac'));
    assert.match(kde(), /httpProxy=http:\/\/mine\.example 3128/);
    await stage.strike('corp');
    await asBefore();
    await assert.rejects(world.application.fetch('http://127.0.0.96:996/proxy.pac', { timeoutMs: 1500 }));
  });

  test('the session is killed, and the tunnel goes: the next one gives everything back; what the person has set since stays', async () => {
    await connect(manual);
    await until('GNOME has it', async () => (await dconf('read', '/system/proxy/mode')).trim() === "'manual'");
    await until('KDE has it', () => kde().includes('proxy.corp.example'));
    await agent.stop('SIGKILL');
    await stage.strike('corp');
    await dconf('write', '/org/gnome/desktop/interface/clock-format', "'12h'");
    agent = await startAgent();
    const expected = dconfBefore.replace("'24h'", "'12h'");
    await until('given back', async () => (await dconf('dump', '/')) === expected && kde() === kdeBefore);
    await dconf('write', '/org/gnome/desktop/interface/clock-format', "'24h'");
  });

  test('signing out gives everything back as well', async () => {
    await connect(manual);
    await until('GNOME has it', async () => (await dconf('read', '/system/proxy/mode')).trim() === "'manual'");
    await agent.stop('SIGTERM', 15_000);
    assert.equal(await dconf('dump', '/'), dconfBefore);
    assert.equal(kde(), kdeBefore);
    await stage.strike('corp');
    agent = await startAgent();
  });

  test('the daemon is killed: the session gives everything back by itself', async () => {
    await connect(manual);
    await until('GNOME has it', async () => (await dconf('read', '/system/proxy/mode')).trim() === "'manual'");
    await stage.product.kill();
    await until('everything is as before', async () => (await dconf('dump', '/')) === dconfBefore && kde() === kdeBefore);
    await stage.product.start();
    await stage.product.waitForState('corp', 'up');
    await until('GNOME has it again', async () => (await dconf('read', '/system/proxy/mode')).trim() === "'manual'");
    // The gateway does not know yet that the tunnel of before is gone: nobody waits for it.
    await stage.product.remove('corp');
    await asBefore();
  });
});
