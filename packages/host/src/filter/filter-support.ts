import { fileURLToPath } from 'node:url';
import { appMarkMask, appMarkOf } from '@aovpn/policy';
import { markProgram } from '../bpf/mark-program.ts';
import { findCgroupRoot, nftCgroupName } from '../cgroup/cgroup-root.ts';
import { loadSocketProgram } from '../sys/bpf.ts';
import { markExecutable, openExecPermission } from '../sys/fanotify.ts';
import { closeDescriptor } from '../sys/index.ts';
import { filterErrors } from './errors.ts';
import { messageOf } from './filter-error.ts';
import { nftVersion } from './nft.ts';

/** One thing of the kernel that filters or apps need, tried; nothing is left of the try. */
export interface FilterSupport {
  readonly name: 'nft' | 'cgroup v2' | 'exec watch' | 'socket marks';
  readonly works: boolean;
  readonly found: string;
  /** Only when it does not work. */
  readonly cure?: string;
}

/** What this machine can do for filters and apps; for doctors. */
export async function readFilterSupport(): Promise<readonly FilterSupport[]> {
  const attempt = (name: FilterSupport['name'], cure: string, act: () => string): FilterSupport => {
    try {
      return { name, works: true, found: act() };
    } catch (error) {
      return { name, works: false, found: messageOf(error), cure };
    }
  };
  const nft = await nftVersion();
  return [
    nft === undefined
      ? { name: 'nft', works: false, found: 'the program cannot be run', cure: filterErrors.noNft.cure }
      : { name: 'nft', works: true, found: nft },
    attempt('cgroup v2', filterErrors.noCgroup.cure, () => {
      const { path } = findCgroupRoot();
      if (nftCgroupName(`${path}/aovpn`) === undefined) throw new Error(`${path} is not below /sys/fs/cgroup, where nft looks`);
      return path;
    }),
    attempt('exec watch', filterErrors.noExecWatch.cure, () => {
      const fd = openExecPermission();
      try {
        // For a file that nobody executes; the question ends with the descriptor.
        markExecutable(fd, fileURLToPath(import.meta.url));
      } finally {
        closeDescriptor(fd);
      }
      return 'fanotify, open-exec permission';
    }),
    attempt('socket marks', filterErrors.markRefused.cure, () => {
      closeDescriptor(loadSocketProgram(markProgram(appMarkOf(1), appMarkMask), 'aovpn_try'));
      return 'BPF at socket creation';
    }),
  ];
}
