import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, suite, test } from 'node:test';
import { printRuleset } from '@aovpn/policy';
import { openRuleset } from '../../src/filter/ruleset.ts';
import { inOwnNamespace, run, sh } from '../network/namespace.ts';
import {
  appFilter,
  arrivals,
  buildWorld,
  expectArrivals,
  planOf,
  removeWorld,
  routesOf,
  setRpFilter,
  world,
} from './filter-world.ts';

/** Somebody without any privilege. */
const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=-all', 'perl', '-MSocket=:all', '-e'];

function asNobody(script: string): string {
  return run('setpriv', ...nobody, script);
}

const name = (family: 4 | 6, address: string, port: number): string =>
  family === 4
    ? `pack_sockaddr_in(${port},inet_pton(AF_INET,"${address}"))`
    : `pack_sockaddr_in6(${port},inet_pton(AF_INET6,"${address}"))`;
const socket = (family: 4 | 6): string => `socket(A,${family === 4 ? 'AF_INET' : 'AF_INET6'},SOCK_DGRAM,17) or die;`;

/** The one place in the tunnel that everybody may reach. */
const allowed = { 4: '198.51.100.99', 6: '2001:db8:7::99' } as const;

inOwnNamespace(import.meta.url, () => {
  before(async () => {
    await buildWorld();
    // As where nobody has set it; IPv6 has no such thing.
    setRpFilter(0);
    const at = { line: 40, column: 1 };
    const plan = planOf([
      appFilter('/usr/bin/nobody-has-this'),
      { at, remoteAddressRanges: { value: [allowed[4], allowed[6]], at } },
    ]);
    await routesOf(plan).apply();
    await openRuleset().apply(printRuleset(plan, { appCgroups: new Map() }));
  });
  after(() => removeWorld());

  suite('an answer passes only when a filter let the connection pass', { concurrency: 1 }, () => {
    // IPV6_FREEBIND (78) lets everybody send from any address, also to this machine itself.
    test('somebody pretends over loopback that the far side has asked', async () => {
      arrivals();
      asNobody(`
        ${socket(6)}setsockopt(A,41,78,1) or die;bind(A,${name(6, world.inside[6], world.port)}) or die;
        socket(B,AF_INET6,SOCK_DGRAM,17) or die;bind(B,${name(6, world.tunnel[6], 4444)}) or die;
        send(A,"x",0,${name(6, world.tunnel[6], 4444)}) or die;
        recv(B,$x,9,0);
        send(B,"secret",0,${name(6, world.inside[6], world.port)});`);
      await expectArrivals({ tunnel: { 4: 0, 6: 0 } });
    });

    for (const family of [4, 6] as const) {
      test(`somebody in the local network pretends to be the far side, IPv${family}`, async () => {
        sh(`ip -n peer -${family} route replace ${world.tunnel[family]} via ${world.phys[family]} dev p0`);
        const server = spawn(
          'setpriv',
          [
            ...nobody,
            `$|=1;${socket(family)}bind(A,${name(family, world.tunnel[family], 4444)}) or die;print "ready";
             while(1){$from=recv(A,$x,9,0);print "asked";send(A,"secret",0,$from)}`,
          ],
          { stdio: ['ignore', 'pipe', 'inherit'] },
        );
        try {
          await once(server.stdout, 'data');
          const asked = once(server.stdout, 'data');
          const heard = run(
            ...(['ip', 'netns', 'exec', 'peer', 'perl', '-MSocket=:all', '-e'] as const),
            `${socket(family)}bind(A,${name(family, world.inside[family], 5555)}) or die;
             send(A,"x",0,${name(family, world.tunnel[family], 4444)}) or die;
             $SIG{ALRM}=sub{print "nothing";exit 0};alarm 1;recv(A,$x,9,0);print "heard $x"`,
          );
          assert.equal(String((await asked)[0]), 'asked');
          assert.equal(heard, 'nothing');
        } finally {
          server.kill('SIGKILL');
          sh(`ip -n peer -${family} route replace ${world.tunnel[family]} dev t0`);
        }
      });

      test(`somebody asks beside the tunnel and would hear through it, IPv${family}`, async () => {
        arrivals();
        const said = asNobody(
          `${socket(family)}bind(A,${name(family, world.tunnel[family], 4445)}) or die;
           setsockopt(A,SOL_SOCKET,25,"phys0\\0") or die $!;
           send(A,"who",0,${name(family, world.inside[family], world.port)}) or die;close A;
           ${socket(family)}bind(A,${name(family, world.tunnel[family], 4445)}) or die;
           $SIG{ALRM}=sub{print "nothing";exit 0};alarm 1;recv(A,$x,99,0);print "heard $x"`,
        );
        await expectArrivals({ phys: { 4: 0, 6: 0, [family]: 1 } }, 'it was asked');
        assert.equal(said, 'nothing');
      });

      test(`somebody hides where a packet really goes in its source route, IPv${family}`, async () => {
        arrivals();
        asNobody(`${socket(family)}send(A,"x",0,${name(family, allowed[family], world.port)}) or die`);
        await expectArrivals({ tunnel: { 4: 0, 6: 0, [family]: 1 } }, 'straight there it may');
        const address = `inet_pton(${family === 4 ? 'AF_INET' : 'AF_INET6'},"${allowed[family]}")`;
        // IP_OPTIONS with a loose source route; IPV6_RTHDR with a segment routing header (RFC 8754).
        const route =
          family === 4
            ? `setsockopt(A,0,4,"\\x83\\x07\\x04".${address}."\\x01")`
            : `setsockopt(A,41,57,"\\0\\4\\4\\1\\1\\0\\0\\0".("\\0"x16).${address})`;
        // Newer kernels want a privilege for the first of these.
        const said = run(
          'perl',
          '-MSocket=:all',
          '-e',
          `${socket(family)}${route} or die $!;print send(A,"x",0,${name(family, world.inside[family], world.port)})?"sent":"$!"`,
        );
        await expectArrivals({ tunnel: { 4: 0, 6: 0, [family]: 0 } }, said);
      });
    }
  });
});
