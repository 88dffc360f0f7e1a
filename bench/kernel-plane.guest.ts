// Runs in the guest of the kernel lane: rounds of one TCP stream through the kernel's ESP, with SAs of ours and of charon, in turn. A line of JSON a round.
import assert from 'node:assert/strict';
import process from 'node:process';
import { network } from '../lab/network.ts';
import { startIperfServer, tcp } from './plane/iperf.ts';
import { connection, Rivals } from './rivals.ts';

const [rounds = '5', seconds = '4'] = process.argv.slice(2);
await using rivals = await Rivals.meet();
const { world, product } = rivals.stage;
await startIperfServer(world.corp);
const stream = async (): Promise<number> => (await tcp(world.client, network.corp.web4, '-t', seconds)).mbits;
for (let round = 0; round < Number(rounds); round++) {
  await rivals.oursUp();
  assert.equal((await product.connection(connection))?.dataPlane?.kind, 'kernel');
  const ours = await stream();
  await rivals.oursDown();
  await rivals.charonUp();
  const charon = await stream();
  await rivals.charonDown();
  process.stdout.write(`@@round ${JSON.stringify({ ours, charon })}\n`);
}
