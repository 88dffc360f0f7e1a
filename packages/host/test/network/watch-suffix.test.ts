// A suffix that comes alone: nothing of the network changes but what the program that manages it has been told.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { openNetwork, type Network } from '../../src/network/network.ts';
import type { NetworkChange } from '../../src/network/watch-network.ts';
import { inOwnNamespace, sh } from './namespace.ts';

const program = '/lib/systemd/systemd-networkd';
const hasUser = /^systemd-network:/m.test(readFileSync('/etc/passwd', 'utf8'));

if (!existsSync(program) || !hasUser) {
  test('a suffix that systemd-networkd learns later', { skip: 'systemd-networkd is not on this machine' }, () => undefined);
} else {
  inOwnNamespace(import.meta.url, () => {
    let network: Network;
    let networkd: ChildProcess | undefined;
    const seen: NetworkChange[] = [];
    let wake: () => void = () => undefined;

    /** As if it had learnt this suffix meanwhile: it goes on with the addresses that are there. */
    async function manage(suffix: string): Promise<void> {
      await end();
      writeFileSync(
        '/run/systemd/network/physical.network',
        `[Match]\nName=phys0\n[Network]\nAddress=192.168.7.2/24\nDomains=${suffix}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nKeepConfiguration=yes\n`,
      );
      networkd = spawn(program, [], { stdio: 'ignore' });
    }
    async function end(): Promise<void> {
      if (!networkd) return;
      networkd.kill('SIGKILL');
      await once(networkd, 'close');
      networkd = undefined;
    }
    const until = async (what: string, isSo: () => boolean | Promise<boolean>): Promise<void> => {
      for (const deadline = performance.now() + 60_000; !(await isSo());) {
        assert.ok(performance.now() < deadline, what);
        await Promise.race([
          new Promise<void>((resolve) => (wake = resolve)),
          new Promise((resolve) => setTimeout(resolve, 500)),
        ]);
      }
    };
    const suffixes = async (): Promise<string> =>
      (await network.networkFacts()).suffixes.map(({ device, suffix, source }) => `${device} ${suffix} ${source}`).join();

    suite('a suffix that systemd-networkd learns later', () => {
      before(() => {
        sh('mount -t tmpfs tmpfs /run');
        // It then waits for no udev.
        sh('mount -t sysfs -o ro sysfs /sys');
        sh('ip link add phys0 type veth peer name phys1');
        sh('ip link set phys1 up');
        const place = mkdtempSync(join(tmpdir(), 'suffix-'));
        writeFileSync(join(place, 'resolv.conf'), 'nameserver 192.168.7.1\n');
        network = openNetwork({ resolvConf: join(place, 'resolv.conf'), stateDirectory: place, runDirectory: place });
      });
      after(async () => {
        await end();
        await network?.close();
      });

      test('is told when it comes, and that alone, whenever networkd itself began', async () => {
        const watch = network.watchNetwork((change) => {
          seen.push(change);
          wake();
        });
        try {
          // Its directories are not there yet.
          for (const directory of ['links', 'leases', 'lldp']) mkdirSync(`/run/systemd/netif/${directory}`, { recursive: true });
          mkdirSync('/run/systemd/network');
          sh('chown -R systemd-network /run/systemd/netif');
          await manage('hotel.example');
          await until(
            'the link has its address and suffix',
            async () => (await suffixes()) === 'phys0 hotel.example systemd-networkd',
          );
          await until('that was told', () => seen.some(({ kinds }) => kinds.includes('suffix')));
          // What comes with starting may come later still; that is of the old suffix.
          seen.length = 0;
          await manage('corp.example');
          // It tells of a change after it, never before: once the last word has been heard, the new suffix is there to be read.
          let heard = 0;
          const words = (): number => seen.filter(({ kinds }) => kinds.includes('suffix')).length;
          await until('the new one is told', async () => {
            if (words() === heard) return false;
            heard = words();
            return (await suffixes()) === 'phys0 corp.example systemd-networkd';
          });
          assert.ok(!seen.some(({ kinds }) => kinds.includes('resolver')));
        } finally {
          watch.close();
        }
      });
    });
  });
}
