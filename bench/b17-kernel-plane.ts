import { kernelRelease, runInGuest } from '../lab/kernel/virtual-machine.ts';
import { peerName } from './machine.ts';
import type { Row } from './row.ts';

const mark = '@@round ';

/** All rounds are measured in one life of the guest, before the first figure is asked for. */
export const kernelPlane: Row = {
  id: 'B17',
  what: 'kernel data plane (Debian’s kernel in QEMU), one TCP stream, AES-128-GCM, through SAs of ours',
  unit: 'Mbit/s',
  better: 'more',
  aim: { of: 'ratio', limit: 0.99 },
  rounds: 5,
  prepare: async (rounds) => {
    const measured: { readonly ours: number; readonly charon: number }[] = [];
    const said: string[] = [];
    const end = await runInGuest({
      argv: ['node', 'bench/kernel-plane.guest.ts', String(rounds)],
      onLine: (line) => {
        if (line.startsWith(mark)) measured.push(JSON.parse(line.slice(mark.length)) as (typeof measured)[number]);
        else said.push(line);
      },
      timeoutMs: 1_200_000,
    });
    if (measured.length < rounds)
      throw new Error(
        `${measured.length} of ${rounds} rounds came out of the guest:\n${said.slice(-50).join('\n')}\n${end.console}`,
      );
    const at = (round: number, side: 'ours' | 'charon'): Promise<number> => Promise.resolve(measured[round]![side]);
    return {
      sides: [
        { name: `ours, Linux ${kernelRelease()}`, kind: 'ours', measure: (round) => at(round, 'ours') },
        { name: `${peerName('strongSwan')} charon, the same kernel`, kind: 'peer', measure: (round) => at(round, 'charon') },
      ],
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};
