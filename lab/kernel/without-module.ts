import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';

/**
 * In the guest of the kernel lane: from now on its kernel lacks a module, as if it had been built without. The module is unloaded, and something empty
 * stands over its file. The guest, whose tree is its own, is thrown away in the end; disposing brings the module back.
 * @param name with underscores, such as `xfrm_interface`
 * @throws {Error} outside of the guest, and while something uses the module
 */
export function withoutModule(name: string): Disposable {
  if (process.env['AOVPN_LAB_ESP'] !== 'kernel') throw new Error('only the guest of the kernel lane may lose modules');
  const run = (program: string, ...args: string[]): void => {
    const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
  };
  const tree = `/lib/modules/${readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim()}`;
  const file = readdirSync(tree, { recursive: true, encoding: 'utf8' }).find((one) => one.endsWith(`/${name}.ko`));
  if (file === undefined) throw new Error(`${tree} has no module ${name}`);
  if (existsSync(`/sys/module/${name}`)) run('rmmod', name);
  run('mount', '--bind', '/dev/null', `${tree}/${file}`);
  return { [Symbol.dispose]: () => run('umount', `${tree}/${file}`) };
}
