import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

/** What was found out about a program of this machine. */
export interface AppSample {
  readonly title: string;
  readonly executables: ReadonlySet<string>;
  readonly units: ReadonlySet<string>;
  readonly desktop: ReadonlySet<string>;
  readonly flatpak: ReadonlySet<string>;
  readonly snap: ReadonlySet<string>;
}

class Sample {
  title = '';
  readonly executables = new Set<string>();
  readonly units = new Set<string>();
  readonly desktop = new Set<string>();
  readonly flatpak = new Set<string>();
  readonly snap = new Set<string>();
}

/** Processes are looked at so often; one that is gone within that time may be missed. */
const lookMs = 20;
const dataDirectories = [
  path.join(process.env['HOME'] ?? '/', '.local/share/applications'),
  '/usr/local/share/applications',
  '/usr/share/applications',
  '/var/lib/flatpak/exports/share/applications',
  '/var/lib/snapd/desktop/applications',
];
/** What starts other programs is nobody's app. */
const launchers = /^(?:env|sh|bash|dash|zsh|python[0-9.]*|perl|flatpak|snap|sudo|systemd-run|gtk-launch|gio|xdg-open)$/;

/**
 * Looks at a program: a process (and what it has started), a path, a name on the search path, or a desktop id. Undefined: there is none.
 */
export function sampleApp(target: string): AppSample | undefined {
  const sample = new Sample();
  if (/^[1-9]\d{0,8}$/.test(target)) {
    if (!exists(`/proc/${target}`)) return undefined;
    for (const pid of [Number(target), ...descendantsOf(Number(target))]) if (pid !== process.pid) takeProcess(sample, pid);
    sample.title = nameOf(target);
    return sample;
  }
  const desktop = target.replace(/\.desktop$/, '');
  const entry = /^[\w.-]+$/.test(desktop)
    ? dataDirectories.map((directory) => path.join(directory, `${desktop}.desktop`)).find(exists)
    : undefined;
  const program = target.includes('/') ? path.resolve(target) : findProgram(target);
  if (entry === undefined && (program === undefined || !exists(program))) return undefined;
  if (entry !== undefined) takeDesktopEntry(sample, desktop, readFileSync(entry, 'utf8'));
  else sample.title = path.basename(program!);
  // Who names a launcher by itself means it.
  if (program !== undefined && exists(program)) sample.executables.add(realpathSync(program));
  return sample;
}

/** What is started from now on, for so long: by anybody whose processes may be looked at, or by one process and its children. */
export async function watchStarts(seconds: number, root?: number): Promise<AppSample> {
  const sample = new Sample();
  const known = new Map<number, string>();
  for (const pid of processes()) known.set(pid, exeOf(pid) ?? '');
  if (root !== undefined) takeProcess(sample, root);
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const wanted = root === undefined ? undefined : new Set([root, ...descendantsOf(root)]);
    for (const pid of processes()) {
      if (pid === process.pid || (wanted && !wanted.has(pid))) continue;
      const exe = exeOf(pid);
      // A new process, or an old one with another program.
      if (exe === undefined || known.get(pid) === exe) continue;
      known.set(pid, exe);
      takeProcess(sample, pid);
    }
    await sleep(lookMs);
  }
  return sample;
}

/** The sample as an entry of apps.d. */
export function proposeEntry(sample: AppSample, windows: readonly string[]): string {
  const list = (values: Iterable<string>): string =>
    `[${[...values]
      .sort()
      .map((value) => JSON.stringify(value))
      .join(', ')}]`;
  const key = (sample.title || path.basename([...sample.executables][0] ?? 'app'))
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
  const lines = [
    '[[app]]',
    `key = ${JSON.stringify((key.replace(/^x-/, '') || 'app').slice(0, 40))}`,
    `title = ${JSON.stringify(sample.title || key)}`,
  ];
  lines.push(
    windows.length > 0
      ? `windows = ${list(windows)}`
      : "windows = []  # what profiles call it, such as '%ProgramFiles%\\Example\\example.exe'; or packages = [a package family name]",
  );
  for (const executable of sample.executables) {
    const owner = weaknessOf(executable);
    if (owner !== undefined)
      lines.push(`# ${JSON.stringify(executable)}: ${owner}; who may write to it is the app, so it will not be believed`);
  }
  lines.push(`executables = ${list(sample.executables)}`);
  for (const field of ['units', 'desktop', 'flatpak', 'snap'] as const)
    if (sample[field].size > 0) lines.push(`${field} = ${list(sample[field])}`);
  return lines.join('\n');
}

function takeProcess(sample: Sample, pid: number): void {
  const exe = exeOf(pid);
  if (exe !== undefined) takeExecutable(sample, exe);
  let cgroup: string;
  try {
    cgroup = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
  } catch {
    return;
  }
  const flatpak = /app-flatpak-([\w.-]+?)-\d+\.scope/.exec(cgroup)?.[1];
  if (flatpak !== undefined) sample.flatpak.add(unescapeUnit(flatpak));
  const snap = /snap\.([a-z0-9-]+)\./.exec(cgroup)?.[1];
  if (snap !== undefined) sample.snap.add(snap);
  const unit = /^(?:0::|1:name=systemd:)\/system\.slice\/(?:.*\/)?([\w@.:\\-]+\.service)$/m.exec(cgroup)?.[1];
  if (unit !== undefined) sample.units.add(unit);
}

function takeExecutable(sample: Sample, file: string): void {
  const real = tryOr(() => realpathSync(file), file);
  if (!launchers.test(path.basename(real))) sample.executables.add(real);
}

/** Desktop Entry Specification: the group `[Desktop Entry]` with Name and Exec. */
function takeDesktopEntry(sample: Sample, id: string, text: string): void {
  sample.desktop.add(id);
  const group = /^\[Desktop Entry\]$([\s\S]*?)(?=^\[|(?![\s\S]))/m.exec(text)?.[1] ?? '';
  sample.title = /^Name=(.*)$/m.exec(group)?.[1]?.trim() || id;
  const words = (/^Exec=(.*)$/m.exec(group)?.[1] ?? '').match(/"[^"]*"|\S+/g)?.map((word) => word.replaceAll('"', '')) ?? [];
  const first = words.find((word) => !launchers.test(path.basename(word)) && !word.startsWith('-') && !word.includes('='));
  const flatpak = /^X-Flatpak=(.*)$/m.exec(group)?.[1]?.trim();
  const snap = /^X-SnapInstanceName=(.*)$/m.exec(group)?.[1]?.trim();
  if (flatpak) sample.flatpak.add(flatpak);
  else if (snap) sample.snap.add(snap);
  else if (first !== undefined) {
    const program = first.startsWith('/') ? first : findProgram(first);
    if (program !== undefined && exists(program)) takeExecutable(sample, program);
  }
}

function weaknessOf(file: string): string | undefined {
  return tryOr(() => {
    const { uid, mode } = statSync(file);
    if (uid !== 0) return `it belongs to user ${uid}`;
    return (mode & 0o022) === 0 ? undefined : 'others than root can write to it';
  }, 'it is not there any more');
}

function descendantsOf(root: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const pid of processes()) {
    // proc_pid_stat(5): the name may hold anything, so count from its closing bracket.
    const stat = tryOr(() => readFileSync(`/proc/${pid}/stat`, 'utf8'), '');
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    const known = children.get(parent);
    if (known) known.push(pid);
    else children.set(parent, [pid]);
  }
  const found: number[] = [];
  for (const queue = [root]; queue.length > 0;) {
    const own = children.get(queue.pop()!) ?? [];
    found.push(...own);
    queue.push(...own);
  }
  return found;
}

function processes(): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function exeOf(pid: number): string | undefined {
  return tryOr(() => readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, ''), undefined);
}

function nameOf(pid: string): string {
  return tryOr(() => readFileSync(`/proc/${pid}/comm`, 'utf8').trim(), pid);
}

function findProgram(name: string): string | undefined {
  const places = (process.env['PATH'] ?? '/usr/bin:/bin').split(':').filter((place) => place.startsWith('/'));
  return places.map((place) => path.join(place, name)).find(exists);
}

/** systemd writes other characters as \xNN. */
function unescapeUnit(text: string): string {
  return text.replaceAll(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function exists(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false }) !== undefined;
}

function tryOr<T>(act: () => T, otherwise: T): T {
  try {
    return act();
  } catch {
    return otherwise;
  }
}
