import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { currentRelease } from '../../release/current-release.ts';
import { exitMark } from './guest-reporter.ts';

const repositoryRoot = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
/** Where `scripts/start.mjs` lays down what Debian's meta-package of its newest kernel stands for. The guest mounts parts of it before a link would lead anywhere. */
const kernelDirectory = realIfThere(path.join(repositoryRoot, '.build/debian/linux-image-amd64'));
const emulator = 'qemu-system-x86_64';
/** A guest that has not said even that it lives for so many milliseconds is dead: it speaks every ten seconds. */
const deadAfter = 180_000;
/** What a kernel needs before it can see the shared root; the rest it loads from there by itself. */
const firstModules = ['virtio_pci', '9pnet_virtio', '9p', 'overlay'];

/** What the data planes need. The kernel would find all of it by itself, but one search after the other, while the daemon that asked for it stands still. */
const espModules =
  'tun xfrm_user xfrm_interface esp4 esp6 authenc echainiv seqiv gcm ctr cbc ghash-generic sha1-generic sha256-generic sha512-generic des-generic chacha20poly1305';

export interface GuestOptions {
  /** What runs in the guest, in the directory of the repository, as root. Its standard output comes line by line. */
  readonly argv: readonly string[];
  readonly onLine: (line: string) => void;
  /** The guest's life in milliseconds: then it is killed. */
  readonly timeoutMs: number;
  /** Default 2048. */
  readonly memoryMb?: number;
}

export interface GuestEnd {
  /** Exit status of the command; undefined: it never ended. */
  readonly status: number | undefined;
  readonly timedOut: boolean;
  /** It was killed because it no longer showed any life. */
  readonly dead: boolean;
  /** The end of what kernel and command said on the console. */
  readonly console: string;
  readonly seconds: number;
}

/**
 * Boots Debian's own kernel in QEMU with the root of this machine inside, read-only, and everything that is written kept in the guest's memory.
 * It has no network card: nothing of the guest can reach this machine's network. QEMU ends with this process, however that ends.
 * @throws {Error} with what to do, when the kernel or an emulator is not there
 */
export async function runInGuest(options: GuestOptions): Promise<GuestEnd> {
  mustHaveEmulator();
  const release = prepareKernel();
  const directory = mkdtempSync(path.join(tmpdir(), 'aovpn-guest-'));
  const started = performance.now();
  let child: ChildProcess | undefined;
  const kill = (): void => void child?.kill('SIGKILL');
  const remove = (): void => {
    kill();
    rmSync(directory, { recursive: true, force: true });
  };
  process.once('exit', remove);
  try {
    const log = path.join(directory, 'console');
    makeInitramfs(directory, release, options.argv);
    child = spawn('setpriv', ['--pdeathsig', 'KILL', emulator, ...qemuArguments(directory, release, options)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    child.stderr!.setEncoding('utf8').on('data', (chunk: string) => (said += chunk));
    let status: number | undefined;
    let dead = false;
    const pulse = watchPulse(path.join(directory, 'pulse'), () => {
      dead = true;
      kill();
    });
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (!line.startsWith(exitMark)) return options.onLine(line);
      status ??= Number(line.slice(exitMark.length));
      kill();
    });
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      kill();
    }, options.timeoutMs);
    await new Promise<void>((resolve, reject) => child!.once('error', reject).once('close', () => resolve())).finally(() => {
      clearTimeout(timer);
      clearInterval(pulse);
    });
    const seconds = (performance.now() - started) / 1000;
    return {
      status,
      timedOut,
      dead,
      console: `${said}${existsSync(log) ? readFileSync(log, 'utf8').slice(-20_000) : ''}`,
      seconds,
    };
  } finally {
    process.off('exit', remove);
    remove();
  }
}

/** The release of the kernel that the lane boots, such as `6.1.0-50-amd64`. */
export function kernelRelease(): string {
  const modules = path.join(kernelDirectory, 'lib/modules');
  const [release] = existsSync(modules) ? readdirSync(modules) : [];
  if (release === undefined)
    throw new Error(`Debian's kernel is not unpacked in ${kernelDirectory}: npm run test:kernel does that`);
  return release;
}

/** Calls back once a file no longer grows, as it does while the guest lives. */
function watchPulse(file: string, isDead: () => void): NodeJS.Timeout {
  let size = 0;
  let since = performance.now();
  return setInterval(() => {
    const now = statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    if (now !== size) since = performance.now();
    else if (performance.now() - since > deadAfter) isDead();
    size = now;
  }, 1000);
}

function mustHaveEmulator(): void {
  // The guest's programs are this machine's.
  if (process.arch !== 'x64') throw new Error(`the kernel lane needs an x86-64 machine, and this one is ${process.arch}`);
  for (const [program, name] of [
    [emulator, 'qemu-system-x86'],
    ['/bin/busybox', 'busybox-static'],
  ] as const) {
    const { error } = spawnSync(program, ['--help'], { stdio: 'ignore' });
    if (error) throw new Error(`${program} does not start (${error.message}); it is in Debian's package ${name}`);
  }
  const accelerators = spawnSync(emulator, ['-accel', 'help'], { encoding: 'utf8' }).stdout;
  if (!/^tcg$/m.test(accelerators)) throw new Error(`${emulator} was built without TCG, its emulator; it has: ${accelerators}`);
}

function realIfThere(file: string): string {
  return existsSync(file) ? realpathSync(file) : file;
}

/** A package leaves the index of modules to its installation; here it is made on first use. */
function prepareKernel(): string {
  const release = kernelRelease();
  if (!existsSync(path.join(kernelDirectory, 'lib/modules', release, 'modules.alias'))) {
    const made = spawnSync('depmod', ['-b', kernelDirectory, release], { encoding: 'utf8' });
    if (made.status !== 0) throw new Error(`depmod: ${made.error?.message ?? made.stderr}`);
  }
  return release;
}

function qemuArguments(directory: string, release: string, { memoryMb = 2048 }: GuestOptions): string[] {
  // A plain processor: what emulation gets wrong of newer ones has crashed Node.
  const machine = `-machine q35 -accel tcg,thread=multi -cpu Westmere -smp 2 -m ${memoryMb}`;
  const without = '-nodefaults -no-reboot -display none -monitor none -nic none';
  const share = '-virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap';
  return `${machine} ${without} ${share}`.split(' ').concat(
    // The first port is the kernel's console, the second one what the command says, the third one a sign of life.
    [
      '-serial',
      `file:${path.join(directory, 'console')}`,
      '-serial',
      'stdio',
      '-serial',
      `file:${path.join(directory, 'pulse')}`,
    ],
    ['-kernel', path.join(kernelDirectory, 'boot', `vmlinuz-${release}`), '-initrd', path.join(directory, 'initramfs')],
    // An emulated timer on a busy machine may look broken to the kernel, which then gives up. What the kernel does against faults of processors (another page table
    // in every system call, above all) costs more than half of the time under emulation, and its own tests of ciphers take long there.
    ['-append', 'console=ttyS0 quiet panic=-1 random.trust_cpu=on no_timer_check mitigations=off cryptomgr.notests'],
  );
}

/** An archive for the kernel (cpio "newc"): busybox, the first modules in the order of their needs, the script that runs first. */
function makeInitramfs(directory: string, release: string, argv: readonly string[]): void {
  const root = path.join(directory, 'first');
  for (const part of ['bin', 'modules', 'proc', 'sys', 'dev', 'lower', 'upper', 'root'])
    mkdirSync(path.join(root, part), { recursive: true });
  copyFileSync('/bin/busybox', path.join(root, 'bin/busybox'));
  const modules = orderedModules(release);
  for (const module of modules)
    copyFileSync(path.join(kernelDirectory, 'lib/modules', release, module), path.join(root, 'modules', path.basename(module)));
  const names = modules.map((module) => path.basename(module)).join(' ');
  writeFileSync(path.join(root, 'init'), firstScript(names, release), { mode: 0o755 });
  writeFileSync(path.join(root, 'command'), `${argv.map(quoted).join(' ')}\n`);
  packSources(directory, path.join(root, 'sources.tar'));
  const packed = spawnSync(
    'sh',
    ['-euc', 'cd "$1" && find . | /bin/busybox cpio -o -H newc > "$2"', 'sh', root, path.join(directory, 'initramfs')],
    {
      encoding: 'utf8',
    },
  );
  if (packed.status !== 0) throw new Error(`cpio: ${packed.error?.message ?? packed.stderr}`);
}

/** Sources without types (see guest-preload.cjs); in one file, because many small ones are slow to read over 9P. */
function packSources(directory: string, archive: string): void {
  const sources = path.join(directory, 'sources');
  const writer = path.join(repositoryRoot, 'lab/kernel/write-sources.ts');
  for (const [program, ...args] of [
    [process.execPath, '--no-warnings', writer, repositoryRoot, sources],
    ['/bin/busybox', 'tar', '-cf', archive, '-C', sources, '.'],
  ] as const) {
    const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${program}: ${error?.message ?? stderr}`);
  }
}

/** The first modules and what they need, needs first (modules.dep(5)). */
function orderedModules(release: string): string[] {
  const needs = new Map<string, string[]>();
  for (const line of readFileSync(path.join(kernelDirectory, 'lib/modules', release, 'modules.dep'), 'utf8').split('\n')) {
    const [file, rest] = line.split(':');
    if (file && rest !== undefined) needs.set(file, rest.trim().split(' ').filter(Boolean));
  }
  const order: string[] = [];
  const add = (file: string): void => {
    if (order.includes(file)) return;
    for (const need of (needs.get(file) ?? []).toReversed()) add(need);
    if (!order.includes(file)) order.push(file);
  };
  for (const name of firstModules) {
    const file = [...needs.keys()].find((candidate) => path.basename(candidate).replaceAll('-', '_') === `${name}.ko`);
    // What is not there is built in.
    if (file !== undefined) add(file);
  }
  return order;
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

function firstScript(modules: string, release: string): string {
  const inRoot = (where: string): string => `/root${where}`;
  return `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in ${modules}; do insmod /modules/$module || echo "first modules: $module"; done
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=1048576,cache=loose host /lower
mount -t tmpfs -o size=75% tmpfs /upper
mkdir /upper/files /upper/work /upper/sources
tar -xf /sources.tar -C /upper/sources
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /root
mount -t tmpfs -o mode=755 tmpfs /root/run
mount -t tmpfs -o mode=1777 tmpfs /root/tmp
# A checkout may lie there.
mkdir -p ${inRoot(quoted(repositoryRoot))}
mount -t overlay -o lowerdir=/upper/sources:/lower${quoted(repositoryRoot)} overlay ${inRoot(quoted(repositoryRoot))}
mount -t proc proc /root/proc
mount -t sysfs sysfs /root/sys
mount -t devtmpfs devtmpfs /root/dev
mkdir -p /root/dev/pts /root/dev/shm ${inRoot('/lib/modules')}/${release} /root/run/netns
mount -t devpts devpts /root/dev/pts
mount -t tmpfs tmpfs /root/dev/shm
mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
mount -t bpf bpf /root/sys/fs/bpf
mount --bind /lower${kernelDirectory}/lib/modules/${release} ${inRoot('/lib/modules')}/${release}
stty -F /dev/ttyS1 raw -echo
{
  echo "cd ${quoted(repositoryRoot)}"
  echo 'export PATH=${repositoryRoot}/node_modules/.bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb NO_COLOR=1 AOVPN_LAB_ESP=kernel AOVPN_LAB_PATIENCE=20 AOVPN_LAB_RELEASE=${currentRelease()}'
  echo "export NODE_OPTIONS='--require ${repositoryRoot}/lab/kernel/guest-preload.cjs'"
  echo 'ip link set lo up'
  echo 'echo 30000 > /proc/sys/net/core/netdev_max_backlog'
  echo 'modprobe -aq ${espModules}'
  echo 'exec 3>/dev/ttyS1'
  echo 'while :; do echo; sleep 10; done > /dev/ttyS2 &'
  printf '%s >&3\\n' "$(cat /command)"
  echo 'echo "${exitMark}$?" >&3'
  echo 'sleep 60'
} > /root/run/guest.sh
exec switch_root /root /bin/sh /run/guest.sh
`;
}
