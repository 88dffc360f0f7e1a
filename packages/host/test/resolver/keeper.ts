import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, sh } from '../network/namespace.ts';

const debian = fileURLToPath(new URL('../../../../.build/debian', import.meta.url));

/** A real maker of /etc/resolv.conf in this mount namespace. */
export interface Keeper {
  /** What a DHCP server says from now on. */
  renew(server: string, search: string): Promise<void>;
  /** Another record than that of the DHCP client. */
  renewAs?(record: string, server: string): Promise<void>;
  stop(): Promise<void>;
}

export function isUnpacked(name: string): boolean {
  return existsSync(join(debian, name));
}

/** An /etc and a /run of our own, in which nobody makes resolv.conf yet. */
export function enterPlace(): () => void {
  sh('mount -t tmpfs tmpfs /run');
  sh('mkdir -p /mnt/etc');
  sh('mount -t tmpfs tmpfs /mnt/etc');
  run('sh', '-c', 'cp -a /etc/. /mnt/etc/');
  sh('mount --bind /mnt/etc /etc');
  rmSync('/etc/resolv.conf', { force: true });
  // The C library asks for IPv4 addresses only where some link has one.
  sh('ip link add here0 type veth peer name there0');
  sh('ip link set here0 up');
  sh('ip address add 10.99.0.1/24 dev here0');
  return () => {
    sh('ip link del here0');
    for (const mount of ['/etc', '/mnt/etc', '/run']) sh(`umount -l ${mount}`);
  };
}

/** A DHCP client of the plain sort: it writes the file. */
export function plainFile(): Keeper {
  const renew = async (server: string, search: string): Promise<void> => {
    writeFileSync('/etc/resolv.conf.dhclient-new', `search ${search}\nnameserver ${server}\n`);
    run('mv', '/etc/resolv.conf.dhclient-new', '/etc/resolv.conf');
    await Promise.resolve();
  };
  return { renew, stop: () => Promise.resolve() };
}

/** Debian's resolvconf, or openresolv: their scripts appear where their packages put them, in this mount namespace only. */
export function startResolvconf(name: 'resolvconf' | 'openresolv'): Keeper {
  const usr = '/mnt/overlay';
  rmSync(usr, { recursive: true, force: true });
  mkdirSync(usr);
  for (const part of ['sbin', 'lib/resolvconf']) cpSync(join(debian, name, part), join(usr, part), { recursive: true });
  cpSync(join(debian, name, 'etc'), '/etc', { recursive: true });
  run('mount', '-t', 'overlay', 'overlay', '-o', `lowerdir=${usr}:/usr`, '/usr');
  if (name === 'resolvconf') {
    mkdirSync('/run/resolvconf/interface', { recursive: true });
    symlinkSync('/run/resolvconf/resolv.conf', '/etc/resolv.conf');
    sh('resolvconf --enable-updates');
  }
  const add = async (record: string, text: string): Promise<void> => {
    const child = spawn('resolvconf', ['-a', record], { stdio: ['pipe', 'ignore', 'ignore'] });
    child.stdin.end(text);
    await once(child, 'close');
  };
  return {
    renew: (server, search) => add('eth0.dhclient', `search ${search}\nnameserver ${server}\n`),
    renewAs: (record, server) => add(record, `nameserver ${server}\n`),
    stop: async () => {
      sh('umount -l /usr');
      await Promise.resolve();
    },
  };
}

const connection = '/run/NetworkManager/system-connections/wired.nmconnection';

export async function startNetworkManager(): Promise<Keeper> {
  const root = join(debian, 'network-manager');
  mkdirSync('/run/dbus');
  mkdirSync('/run/NetworkManager/system-connections', { recursive: true });
  mkdirSync('/etc/NetworkManager/conf.d', { recursive: true });
  // With a /sys that cannot be written it does not wait for udev.
  sh('mount -t sysfs -o ro sysfs /sys');
  sh('ip link add eth0 type veth peer name eth1');
  sh('ip link set eth1 up');
  writeFileSync('/etc/NetworkManager/NetworkManager.conf', '[main]\nplugins=keyfile\nauth-polkit=false\nno-auto-default=*\n');
  const say = (server: string, search: string): void => {
    writeFileSync(
      connection,
      `[connection]\nid=wired\ntype=ethernet\ninterface-name=eth0\nuuid=11111111-2222-3333-4444-555555555555\n[ipv4]\nmethod=manual\naddress1=192.168.7.2/24,192.168.7.1\ndns=${server};\ndns-search=${search};\n[ipv6]\nmethod=disabled\n`,
    );
    chmodSync(connection, 0o600);
  };
  say('192.168.7.53', 'home.example');
  const bus = '/run/bus.conf';
  const allow = ['send_type', 'receive_type'].flatMap((way) =>
    ['method_call', 'signal', 'method_return', 'error'].map((type) => `<allow ${way}="${type}"/>`),
  );
  writeFileSync(
    bus,
    `<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><policy context="default"><allow user="*"/><allow own="*"/>${allow.join('')}</policy></busconfig>`,
  );
  const daemons: ChildProcess[] = [];
  daemons.push(spawn('dbus-daemon', ['--nofork', `--config-file=${bus}`], { stdio: 'ignore' }));
  await eventually('the bus', () => existsSync('/run/dbus/system_bus_socket'));
  daemons.push(spawn(join(root, 'usr/sbin/NetworkManager'), ['--no-daemon'], { stdio: 'ignore' }));
  await eventually('resolv.conf of NetworkManager', () => readFileSync('/etc/resolv.conf', 'utf8').includes('192.168.7.53'));
  const nmcli = async (...args: string[]): Promise<void> => {
    const child = spawn(join(root, 'usr/bin/nmcli'), args, { stdio: 'ignore' });
    const [code] = (await once(child, 'close')) as [number];
    if (code !== 0) throw new Error(`nmcli ${args.join(' ')}: ${code}`);
  };
  return {
    renew: async (server, search) => {
      say(server, search);
      await nmcli('connection', 'reload');
      await nmcli('connection', 'up', 'wired');
    },
    stop: async () => {
      for (const daemon of daemons.toReversed()) {
        daemon.kill();
        if (daemon.exitCode === null && daemon.signalCode === null) await once(daemon, 'close');
      }
      sh('ip link del eth0');
      sh('umount -l /sys');
    },
  };
}

export async function eventually(what: string, probe: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      if (probe()) return;
    } catch {
      // Not yet.
    }
    if (Date.now() > deadline) throw new Error(`${what}: never`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
