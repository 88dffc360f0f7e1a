import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { after, before, suite, test } from 'node:test';
import { until } from './inbox.ts';
import { ip, makeNetWorld, type NetWorld } from './net-world.ts';

/** A program that opens a plane with everything in it, says so, and then does what it is told. */
const program = `
  const { openUserspaceDataPlane } = await import(process.argv[1]);
  const { parseAddress } = await import(process.argv[2]);
  const plane = await openUserspaceDataPlane({ device: 'tun0', mtu: 1400, mark: 0, keepaliveSeconds: 20 }, () => {});
  await plane.connect(parseAddress('10.99.0.2'), 4500);
  await plane.openDevice();
  const sa = (spi) => ({ spi, encryptionKey: new Uint8Array(20).fill(spi), integrityKey: new Uint8Array() });
  await plane.installChild({ suite: { encr: 20, keyBits: 128, integ: 0 }, inbound: sa(0x1001), outbound: sa(0x1002), esn: false, sendNow: true });
  console.log('open');
  if (process.argv[3] === 'exit') process.exit(3);
  if (process.argv[3] === 'throw') setImmediate(() => { throw new Error('on purpose'); });
  if (process.argv[3] === 'close') await plane.close();
`;

suite('userspace plane and the end of its process', { concurrency: 1 }, () => {
  let world: NetWorld;
  before(() => {
    world = makeNetWorld();
  });
  after(() => world?.remove());

  const begin = (ending: string): ChildProcess => {
    const url = (path: string): string => new URL(path, import.meta.url).href;
    const modules = [url('../../src/data-plane/open-userspace.ts'), url('../../../bytes/src/index.ts')];
    const node = [process.execPath, '--input-type=module', '-e', program, ...modules, ending];
    return spawn('ip', ['netns', 'exec', world.a, ...node], { stdio: ['ignore', 'pipe', 'ignore'] });
  };

  for (const [ending, code] of [
    ['exit', 3],
    ['throw', 1],
    ['close', 0],
  ] as const) {
    test(`${ending}: the process ends though its workers sleep in the kernel`, async () => {
      const child = begin(ending);
      const timer = setTimeout(() => child.kill('SIGKILL'), 120_000);
      const [ended] = (await once(child, 'exit')) as [number | null];
      clearTimeout(timer);
      assert.equal(ended, code);
      assert.ok(!ip('-n', world.a, '-o', 'link').includes('tun0'));
    });
  }

  test('kill -9 leaves no device', async () => {
    const child = begin('stay');
    await once(child.stdout!, 'data', { signal: AbortSignal.timeout(120_000) });
    assert.ok(ip('-n', world.a, '-o', 'link').includes('tun0'));
    child.kill('SIGKILL');
    await once(child, 'exit');
    await until('the device is gone', () => !ip('-n', world.a, '-o', 'link').includes('tun0'));
  });
});
