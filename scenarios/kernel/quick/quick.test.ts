// Debian's own kernel, booted in QEMU: the compliance suite of the data plane on its IPsec, without what takes long. That, and tunnels to strongSwan, Libreswan and
// OpenIKED, are in `npm run test:kernel`.
import { test } from 'node:test';
import type { GuestResult } from '../../../lab/kernel/guest-reporter.ts';
import { runLane } from '../../../lab/kernel/lane.ts';

/** Tests of the guest that also run here, by their names and those of their suites. */
const only = [
  'the kernel’s IPsec',
  'kernel: against a scripted gateway',
  'kernel: life',
  'kernel: two planes back to back IPv[46] outside (AES-GCM-16-256 carries|a rekey under load)',
  'kernel: two planes back to back (moving under load|a narrow outer path)',
  // As on kernels without XFRM interfaces.
  'marks: against a scripted gateway (IKE still|IPv[46]|a replayed|moving)',
].join('|');

test('the kernel lane', { timeout: 900_000 }, async (t) => {
  const results: GuestResult[] = [];
  await runLane({
    files: ['packages/host/test/xfrm/xfrm.guest.ts', 'packages/host/test/data-plane/kernel.guest.ts'],
    only,
    timeoutMs: 840_000,
    onResult: (result) => results.push(result),
    onText: (line) => t.diagnostic(line),
  });
  for (const { name, outcome, why } of results)
    await t.test(name, { skip: outcome === 'skipped' ? (why ?? true) : false }, () => {
      if (outcome === 'failed') throw new Error(why ?? 'failed');
    });
});
