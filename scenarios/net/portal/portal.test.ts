// Captive portals: a hotel's network that lets nothing through before somebody has signed in, and evil ones.
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import process from 'node:process';
import { after, afterEach, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PortalStatus } from '@aovpn/api';
import { CaptivePortal } from '../../../lab/captive-portal.ts';
import { sortOf } from '../../../lab/capture.ts';
import { network } from '../../../lab/network.ts';
import type { WirePacket } from '../../../lab/pcap.ts';
import { certificateProfile, deviceProfile } from '../../../lab/profile-xml.ts';
import type { Running } from '../../../lab/running.ts';
import { inCheckout } from '../../../lab/host.ts';
import { installed } from '../../../lab/product.ts';
import { Stage } from '../../../lab/stage.ts';
import { until as wait } from '../../../lab/until.ts';

const { client, internet } = network;
const locked = 'locked';
const forced = 'forced';
const lockdownXml = deviceProfile({ routing: 'ForceTunnel', extra: '<LockDown>true</LockDown>' }).replace(
  '  <DeviceTunnel>true</DeviceTunnel>\n',
  '',
);
const probe = `probe-url = "${CaptivePortal.probe.url}"\nprobe-answer = ${JSON.stringify(CaptivePortal.probe.answer)}\n`;
/** A user of the machine whom the settings name. */
const guest = { uid: 65_534, gid: 990 };

suite('net/portal', () => {
  let stage: Stage;
  let portal: CaptivePortal;

  before(async () => {
    stage = await Stage.set();
    // Whoever may ask at all is in the group.
    appendFileSync(stage.world.client.file('/etc/group'), `aovpn:x:${guest.gid}:\n`);
    await stage.product.stop();
    await stage.product.start();
    portal = await CaptivePortal.open(stage.world);
  });
  after(async () => await stage?.[Symbol.asyncDispose]());

  suite('with LockDown', () => {
    before(async () => {
      await stage.product.settings(`[portal]\nusers = [${guest.uid}]\n`);
      await stage.product.put(locked, lockdownXml, stage.machine());
      await stage.product.waitFor(locked, 'blocked', ({ lockdown }) => lockdown?.blocked === true);
    });

    test('the portal is found by DHCP, DHCPv6 and router advertisements, by its API, and said to people', async () => {
      for (const source of ['dhcpv4', 'dhcpv6', 'ra'] as const) {
        await portal.announce({ [source]: CaptivePortal.api });
        const words = { dhcpv4: 'option 114', dhcpv6: 'option 103', ra: 'option 37' }[source];
        const status = await until(
          ({ trace }) => trace.some((line) => line.includes(words) && line.includes('says captive')),
          `captive by ${words}`,
        );
        assert.equal(status.state, 'captive');
        assert.equal(status.url, CaptivePortal.login);
      }
      const { stdout } = await stage.product.aovpn(['status']);
      assert.match(stdout, /this network wants a sign-in \(https:\/\/portal\.hotel\.example\/login\): aovpn portal open/);
      assert.match(stage.product.daemon.output(), /this network wants a sign-in/);
    });

    test('a network that announces nothing is found out by the probe, and only by it', async () => {
      await portal.announce({});
      const before = await until(({ state, trace }) => state === 'unknown' && trace.length > 0);
      assert.match(before.trace.join('\n'), /no probe is set/);
      await stage.product.settings(`[portal]\nusers = [${guest.uid}]\n${probe}`);
      const status = await until(({ state }) => state === 'captive');
      assert.equal(status.url, CaptivePortal.login);
      assert.match(status.trace.join('\n'), /the probe was sent to https:\/\/portal/);
    });

    test('what an evil network announces is told and opens nothing', async () => {
      const host = `https://${internet.portal}`;
      await stage.product.settings(`[portal]\nusers = [${guest.uid}]\n`);
      const capture = await stage.world.capture();
      for (const [uri, said] of [
        [`${host}/huge`, /longer than \d+ octets/],
        [`${host}/never`, /no whole answer within/],
        [`${host}/loop`, /status 302/],
        [`${host}/deep`, /not JSON/],
        [`${host}/login`, /not of type application\/captive\+json/],
        [`http://${internet.portal}/api`, /no https URL, not asked/],
        ['ftp://portal.hotel.example/api', /no https URL, not asked/],
        ['https://user:secret@portal.hotel.example/api', /no https URL, not asked/],
        ['javascript:alert(1)', /no https URL, not asked/],
        ['https://127.0.0.1/api', /is said to be 127\.0\.0\.1/],
        ['https://www.example.org/api', /ECONNREFUSED|no whole answer|ECONNRESET|certificate|timed out/i],
      ] as const) {
        await portal.announce({ ra: uri });
        const status = await until(({ trace }) => trace.some((line) => said.test(line)), `${uri}: ${String(said)}`);
        assert.equal(status.state, 'unknown', uri);
        assert.equal(status.url, undefined);
        assert.equal(status.open, undefined);
      }
      await portal.announce({ ra: `${host}/script` });
      const status = await until(({ state }) => state === 'captive');
      assert.equal(status.url, undefined, 'no URL of another scheme is handed to a browser');
      const packets = await capture.stop();
      assert.deepEqual(strangers(packets), [], 'only the daemon asks, and only what it was told to ask');
      assert.ok(packets.some(isToPortal), 'the capture sees the questions of the daemon');
    });

    test('one program gets out, by a user whom the settings name; nothing else does, of nobody', async () => {
      await portal.announce({ dhcpv4: CaptivePortal.api });
      await until(({ url }) => url === CaptivePortal.login);
      const capture = await stage.world.capture();
      const stay = await openAs(guest.uid, ['sh', '-c', 'echo inside; exec sleep 60']);
      await stay.saysWithin(/inside/);
      assert.match((await look()).open!.by, /^user 65534 /);
      // The same user, root and another user, outside of it.
      for (const uid of [guest.uid, 0, 1234]) {
        const { stdout, status } = await curl(uid, CaptivePortal.login);
        assert.notEqual(status, 0, stdout);
        const literal = await curl(uid, `https://${internet.portal4}/login`, ['-k']);
        assert.notEqual(literal.status, 0, literal.stdout);
      }
      await stay.signal('SIGTERM');
      await stay.exited;
      await until(({ open }) => open === undefined);
      assert.deepEqual(
        (await capture.stop()).filter(isToPortal).filter(isHttp),
        [],
        'nobody but the program could, and it did not',
      );

      const reading = await openAs(guest.uid, ['curl', '-sS', '-m', '60', CaptivePortal.login]);
      await reading.exited;
      assert.match(reading.output(), /Welcome to the hotel/);
      // What it may not: other ports, other protocols, other name servers.
      const tries = [
        `curl -s -m 2 http://${internet.portal4}:81/`,
        `perl -MIO::Socket::INET -e 'my $s=IO::Socket::INET->new(PeerAddr=>"${internet.web4}",PeerPort=>9,Proto=>"udp"); die unless syswrite($s,"x")'`,
        `ping -c1 -W1 ${internet.portal4}`,
        `perl -MIO::Socket::INET6 -e 1 2>/dev/null; curl -s -m 2 -g 'http://[${internet.portal6}]:22/'`,
      ];
      for (const line of tries) {
        const denied = await openAs(0, ['sh', '-c', `${line} && echo OUT`]);
        await denied.exited;
        assert.doesNotMatch(denied.output(), /OUT/, line);
      }
    });

    test('a user whom nobody names opens nothing, and no process of somebody else gets in', async () => {
      const denied = await openAs(1234, ['sh', '-c', 'echo inside']);
      assert.equal((await denied.exited).status, 4);
      assert.match(denied.output(), /AOV-DAEMON-553/);
      assert.doesNotMatch(denied.output(), /inside/);
      // Not a child of who asks, as root too.
      for (const pid of [1, process.pid]) {
        const argv = ['curl', '-sS', '--unix-socket', '/run/aovpn/control.sock', '-H', 'content-type: application/json'];
        const answer = await stage.world.client.exec([...argv, '-d', JSON.stringify({ pid }), 'http://aovpn/v1/portal/open']);
        assert.match(answer, /AOV-DAEMON-552/);
      }
      assert.equal((await look()).open, undefined);
    });

    test('the kernel shuts it when the daemon is dead, and the next daemon ends what is left', async () => {
      const stay = await openAs(0, [
        'sh',
        '-c',
        'echo inside; while sleep 0.2; do curl -sS -m 2 -o /dev/null -w "%{http_code}\\n" https://portal.hotel.example/login --resolve portal.hotel.example:443:198.18.0.90; done',
      ]);
      await stay.saysWithin(/^200$/m);
      await stage.product.kill();
      const { client: host } = stage.world;
      // Ten minutes are long for a test: the time is put forward, the shutting is the kernel's own.
      for (const [table, set] of [
        ['aovpn_portal', 'open'],
        ['aovpn_lockdown', 'portal'],
      ] as const) {
        const listed = await host.exec(['nft', 'list', 'set', 'inet', table, set]);
        const element = /"[^"]+"/.exec(listed)![0];
        assert.match(listed, /timeout 10m expires/);
        await host.exec(['nft', '-f', '-'], {
          input: `delete element inet ${table} ${set} { ${element} }\nadd element inet ${table} ${set} { ${element} timeout 1s }\n`,
        });
      }
      await wait('the time is up', async () =>
        (
          await Promise.all(
            [
              ['aovpn_portal', 'open'],
              ['aovpn_lockdown', 'portal'],
            ].map(([table, set]) => host.exec(['nft', 'list', 'set', 'inet', table!, set!])),
          )
        ).every((listed) => !listed.includes('expires')),
      );
      // Whoever had an answer on its way may still get it; from the next one on nothing comes.
      const attempts = (): readonly string[] => stay.output().match(/^\d{3}$/gm) ?? [];
      const before = attempts().length;
      await wait('three attempts more', () => attempts().length > before + 3);
      assert.ok(
        !attempts()
          .slice(before + 1)
          .includes('200'),
        'shut without a daemon',
      );
      await stage.product.start();
      await stay.exited;
      assert.equal((await host.run(['nft', 'list', 'table', 'inet', 'aovpn_portal'])).status, 1, 'nothing is left of it');
    });

    test('signing in opens the network: the way shuts by itself, the tunnel comes up, and nothing was in the clear but that', async () => {
      await portal.announce({ dhcpv4: CaptivePortal.api });
      await until(({ url }) => url === CaptivePortal.login);
      const capture = await stage.world.capture();
      const stay = await openAs(guest.uid, ['sh', '-c', `curl -sS -m 60 https://${internet.portal}/accept; exec sleep 60`]);
      await stay.saysWithin(/You are online/);
      await stage.product.waitForState(locked, 'up');
      await stay.exited;
      assert.match(stage.product.daemon.output(), /the captive portal is closed: (?:the internet is there|the tunnel is up)/);
      const packets = await capture.stop();
      assert.deepEqual(strangers(packets), []);
      assert.ok(
        packets.some((packet) => isToPortal(packet) && isHttp(packet)),
        'the sign-in itself was seen',
      );
      assert.equal((await look()).state, 'none');
      // Not needed any more.
      const late = await openAs(0, ['true']);
      assert.equal((await late.exited).status, 1);
      assert.match(late.output(), /AOV-DAEMON-551/);
    });
  });

  suite('with force tunnel', () => {
    before(async () => {
      await stage.product.ask('POST', `/v1/lockdown/${locked}/release`);
      await stage.product.remove(locked);
      await stage.product.settings(`[profile."${forced}"]\ndpd-seconds = 5\n[portal]\n${probe}`);
      await stage.product.put(forced, certificateProfile({ routing: 'ForceTunnel' }), stage.machine());
      await stage.product.waitForState(forced, 'up');
    });

    test('the program goes past the routes of a tunnel that is being recovered, and only while that is so', async () => {
      await portal.shut();
      await stage.world.client.ip(`route change default via ${client.home.router4} dev ${client.device} mtu 1400`);
      await stage.product.waitFor(forced, 'in doubt', ({ state }) => state === 'recovering');
      const status = await until(({ state }) => state === 'captive');
      assert.equal(status.url, CaptivePortal.login);
      const signing = await openAs(0, ['curl', '-sS', '-m', '60', `https://${internet.portal}/accept`]);
      await signing.exited;
      assert.match(signing.output(), /You are online/);
      await stage.product.waitForState(forced, 'up');
      assert.equal((await look()).open, undefined);
    });
  });

  afterEach(async () => {
    const { open } = await look();
    if (open) await stage.product.ask('POST', '/v1/portal/close');
  });

  async function look(): Promise<PortalStatus> {
    return (await stage.product.ask('GET', '/v1/portal')).value as PortalStatus;
  }

  /** Looks anew until it is so. */
  async function until(isSo: (status: PortalStatus) => boolean, what = 'as wanted'): Promise<PortalStatus> {
    for (let tries = 0; ; tries++) {
      const status = (await stage.product.ask('GET', tries % 2 === 0 ? '/v1/portal' : '/v1/portal?look=1')).value as PortalStatus;
      if (isSo(status)) return status;
      assert.ok(tries < 600, `the portal is not ${what}: ${JSON.stringify(status, null, 1)}\n${portal.log()}`);
      await sleep(100);
    }
  }

  /** `aovpn portal open -- ARGV` as a user. */
  async function openAs(uid: number, argv: readonly string[]): Promise<Running> {
    const command = [...installed('aovpn').map(inCheckout), 'portal', 'open', '--', ...argv];
    const through = uid === 0 ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, `--groups=${guest.gid}`];
    const running = stage.world.client.spawn([...through, ...command], {
      name: 'portal',
      env: { ...process.env, XDG_RUNTIME_DIR: '/tmp' },
    });
    await running.pid();
    return running;
  }

  async function curl(uid: number, url: string, more: readonly string[] = []) {
    const through = uid === 0 ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
    return await stage.world.client.run([...through, 'curl', '-sS', '-m', '2', ...more, url]);
  }
});

function isToPortal({ destination }: WirePacket): boolean {
  return destination === internet.portal4 || destination === internet.portal6;
}

function isHttp({ protocol, destinationPort }: WirePacket): boolean {
  return protocol === 6 && (destinationPort === 443 || destinationPort === 80);
}

/** What left the client and is neither the tunnel's, nor the link's own, nor a name asked of the physical server, nor for the portal. */
function isGateway(address: string): boolean {
  return address === network.gateway.v4 || address === network.gateway.v6;
}

function strangers(packets: readonly WirePacket[]): readonly string[] {
  const fromClient = packets.filter(({ source }) => source.startsWith('192.0.2.1') && source !== client.home.router4);
  const six = packets.filter(({ source }) => source.startsWith('2001:db8:a:') && source !== client.home.router6);
  return (
    [...fromClient, ...six]
      .filter((packet) => sortOf(packet, [internet.dns4, internet.dns6]) === 'plaintext')
      .filter((packet) => !(isToPortal(packet) && isHttp(packet)))
      .filter((packet) => !(packet.protocol === 17 && (packet.destinationPort === 67 || packet.destinationPort === 547)))
      // IKE in TCP, where UDP has been silent for a while.
      .filter(
        ({ protocol, destination, destinationPort }) => !(protocol === 6 && isGateway(destination) && destinationPort === 4500),
      )
      .filter((packet) => !(packet.protocol === 6 && packet.destination === internet.web4 && packet.destinationPort === 443))
      .filter((packet) => !(packet.protocol === 6 && packet.destination === internet.web6 && packet.destinationPort === 443))
      .map(
        ({ source, destination, destinationPort, protocol }) =>
          `${source} > ${destination}:${destinationPort ?? ''} protocol ${protocol}`,
      )
  );
}
