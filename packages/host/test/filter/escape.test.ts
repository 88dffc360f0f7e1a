import { after, before, suite, test } from 'node:test';
import { openFilters, type Filters } from '../../src/filter/filters.ts';
import { makeAppFixture, type AppFixture } from '../apps/app-fixture.ts';
import { inOwnNamespace, run } from '../network/namespace.ts';
import {
  appFilter,
  arrivals,
  buildWorld,
  expectArrivals,
  planOf,
  removeWorld,
  routesOf,
  world,
  type Site,
} from './filter-world.ts';

/** Perl that sends one UDP packet to each of the sites, from sockets that are treated first. */
function sendTo(site: Site, treat = ''): string {
  const target = (family: 4 | 6): string =>
    family === 4
      ? `pack_sockaddr_in(${world.port},inet_pton(AF_INET,"${site[4]}"))`
      : `pack_sockaddr_in6(${world.port},inet_pton(AF_INET6,"${site[6]}"))`;
  return ([4, 6] as const)
    .map((family) => `socket(S,${family === 4 ? 'AF_INET' : 'AF_INET6'},SOCK_DGRAM,17);${treat}send(S,"x",0,${target(family)});`)
    .join('');
}

inOwnNamespace(import.meta.url, () => {
  suite('somebody without privilege tries to get past', { concurrency: 1 }, () => {
    let fixture: AppFixture;
    let filters: Filters;
    let forced: string;
    let split: string;
    let other: string;
    const start = (program: string, code: string): string =>
      run(
        'setpriv',
        '--reuid=65534',
        '--regid=65534',
        '--clear-groups',
        '--bounding-set=-all',
        program,
        '-MSocket=:all',
        '-e',
        code,
      );
    const nothing = { 4: 0, 6: 0 };
    const once = { 4: 1, 6: 1 };
    before(async () => {
      await buildWorld();
      fixture = makeAppFixture();
      run('chmod', '-R', 'go+rX', fixture.directory);
      forced = fixture.program('forced');
      split = fixture.program('split');
      other = fixture.program('other');
      filters = await openFilters({
        onEvent: () => undefined,
        cgroupName: fixture.cgroups.path.split('/').at(-1)!,
        pins: false,
        stallMs: 60_000,
        runDirectory: fixture.directory,
      });
      const plan = planOf([appFilter(forced, { routing: 'ForceTunnel' }), appFilter(split)]);
      await filters.apply(plan, routesOf(plan));
      arrivals();
    });
    after(async () => {
      await filters?.cleanUp();
      await filters?.close();
      fixture?.remove();
      removeWorld();
    });

    test('a forced app binds its socket to the physical device: refused there', async () => {
      start(forced, sendTo(world.outside));
      await expectArrivals({ phys: nothing, tunnel: once });
      // SO_BINDTODEVICE (25) asks for no privilege.
      start(forced, sendTo(world.outside, 'setsockopt(S,1,25,"phys0\\0") or die $!;'));
      await expectArrivals({ phys: nothing, tunnel: nothing });
    });

    test('another program binds its socket to the tunnel: refused there', async () => {
      start(other, sendTo(world.outside, 'setsockopt(S,1,25,"aov0\\0") or die $!;'));
      await expectArrivals({ phys: nothing, tunnel: nothing });
    });

    test('a mark of its own: the kernel does not let it', async () => {
      start(forced, sendTo(world.outside, 'setsockopt(S,1,36,pack("i",0)) and die "marked";'));
      await expectArrivals({ phys: nothing, tunnel: once });
    });

    test('IPv4 by a socket of IPv6 (mapped addresses) is IPv4', async () => {
      const mapped = (address: string): string =>
        `socket(S,AF_INET6,SOCK_DGRAM,17);send(S,"x",0,pack_sockaddr_in6(${world.port},inet_pton(AF_INET6,"::ffff:${address}")));`;
      start(forced, mapped(world.outside[4]));
      await expectArrivals({ phys: nothing, tunnel: { 4: 1, 6: 0 } });
      start(other, mapped(world.inside[4]));
      await expectArrivals({ phys: nothing, tunnel: nothing });
    });

    test('a socket belongs to whoever made it: one from outside is not the app’s, whoever uses it', async () => {
      const reuse = '$^F=99;socket(S,AF_INET,SOCK_DGRAM,17);exec $ARGV[0],"-MSocket=:all","-e",$ARGV[1],fileno(S)';
      const use = `open S,"+<&=",$ARGV[0] or die;send(S,"x",0,pack_sockaddr_in(${world.port},inet_pton(AF_INET,"${world.inside[4]}")));`;
      run('setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', other, '-MSocket=:all', '-e', reuse, split, use);
      await expectArrivals({ phys: nothing, tunnel: nothing });
      start(split, sendTo(world.inside));
      await expectArrivals({ phys: nothing, tunnel: once });
    });

    test('a copy or a symbolic link to something else under another name is not the app', async () => {
      run('cp', split, '/mnt/copy');
      start('/mnt/copy', sendTo(world.inside));
      await expectArrivals({ phys: nothing, tunnel: nothing });
    });

    test('in a mount namespace of its own, something else over the app’s path is not the app', async () => {
      run(
        'unshare',
        '--mount',
        '--propagation',
        'private',
        'sh',
        '-c',
        'mount --bind "$1" "$2"; exec "$2" -MSocket=:all -e "$3"',
        'sh',
        other,
        split,
        sendTo(world.inside),
      );
      await expectArrivals({ phys: nothing, tunnel: nothing });
    });
  });
});
