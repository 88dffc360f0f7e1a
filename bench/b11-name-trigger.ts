import { setTimeout as sleep } from 'node:timers/promises';
import { network } from '../lab/network.ts';
import { certificateProfile } from '../lab/profile-xml.ts';
import { Stage } from '../lab/stage.ts';
import { firstIkeDatagram } from './first-datagram.ts';
import { connect } from './handshake-time.ts';
import type { Measurement, Row } from './row.ts';
import { median } from './statistic.ts';

const connection = 'bench';
const { corp, gateway } = network;
/** The stub of the daemon; where it is not there, nobody answers. */
const stubAddress = '127.0.0.96';

export const nameTrigger: Row = {
  id: 'B11',
  what: 'question for a name of AutoTrigger → answer through the tunnel that it brings up, beside our handshake, names in force, and one such question through the tunnel',
  unit: 'ms',
  better: 'less',
  aim: { of: 'ratio', limit: 1.3 },
  rounds: 10,
  prepare,
};

async function prepare(): Promise<Measurement> {
  const stage = await Stage.set();
  try {
    const { world, product } = stage;
    // A person's down ends by itself, so that the next question is a cold one.
    await product.settings(`[profile."${connection}"]\ndown-ends = 1\n`);
    const profile = certificateProfile({ alwaysOn: false, autoTrigger: true, servers: `v4.${gateway.name}` });
    await product.put(connection, profile, stage.machine());
    await product.waitForState(connection, 'down');
    const capture = await world.capture();
    /** Milliseconds from question to answer, as a program sees them. */
    const ask = async (): Promise<number> => Number(await world.client.exec(['perl', '-e', asker, stubAddress, corp.web]));
    const down = async (): Promise<void> => {
      await product.down(connection);
      await product.waitForState(connection, 'down');
      await world.gateway.quiet();
      // The rules are in the stub again, and the daemon writes so many lines of one kind in ten seconds and no more.
      while (!(await world.client.exec(['cat', '/etc/resolv.conf'])).includes(stubAddress)) await sleep(20);
      await sleep(400);
    };
    return {
      sides: [
        {
          name: 'ours',
          kind: 'ours',
          measure: async () => {
            const took = await ask();
            await down();
            return took;
          },
        },
        {
          name: 'our handshake + question inside',
          kind: 'peer',
          measure: async () => {
            const since = Date.now();
            const { connected } = await connect(product, connection);
            const first = await firstIkeDatagram(capture, since);
            const inside: number[] = [];
            for (let i = 0; i < 5; i++) inside.push(await ask());
            await down();
            return connected - first + median(inside);
          },
        },
      ],
      [Symbol.asyncDispose]: () => stage[Symbol.asyncDispose](),
    };
  } catch (error) {
    await stage[Symbol.asyncDispose]();
    throw error;
  }
}

/** Asks once for the address of a name; prints milliseconds. */
const asker = `
  use Socket; use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
  my ($to, $name) = @ARGV;
  my $m = pack('n6', 7, 256, 1, 0, 0, 0) . join('', map { chr(length) . $_ } split /\\./, $name) . "\\0\\0\\1\\0\\1";
  socket(my $s, PF_INET, SOCK_DGRAM, 0); connect($s, sockaddr_in(53, inet_aton($to))) or die;
  my $t = clock_gettime(CLOCK_MONOTONIC);
  send($s, $m, 0); recv($s, my $a, 4096, 0) // die "no answer";
  $t = clock_gettime(CLOCK_MONOTONIC) - $t;
  die "no address in the answer" if length($a) <= length($m);
  print 1e3 * $t;
`;
