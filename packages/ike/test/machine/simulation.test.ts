import assert from 'node:assert/strict';
import process from 'node:process';
import { suite, test } from 'node:test';
import { formerMs } from '../../src/machine/choice.ts';
import { Departures } from '../../testkit/departure.ts';
import { certificateConfig } from '../../testkit/world.ts';
import { assertMirrored } from '../../testkit/assertion.ts';
import { Client } from '../../testkit/client.ts';
import { lifetimeBound, uncomplicated } from '../../testkit/circumstances.ts';
import { established } from '../../testkit/conversation.ts';
import { mirrorOf } from '../../testkit/mirror.ts';
import { simulate } from '../../testkit/simulation.ts';
import { SimulatedSide } from '../../testkit/simulated-side.ts';
import { createTestCrypto } from '../../testkit/test-crypto.ts';
import { WireWatch } from '../../testkit/wire-watch.ts';

const lives = 2_000;

suite('two peers on a bad network', () => {
  // The same lives each time, so that a fault stops who brought it in; `npm run simulate` draws new ones.
  const base = Number(process.env['AOVPN_SIMULATION_SEED'] ?? 1);
  test(`${lives} lives from seed ${base}: both agree or both are gone, no key is used for too long, nothing goes in clear`, (context) => {
    const outcomes = new Map<string, number>();
    for (let seed = base; seed < base + lives; seed++) {
      const { outcome, circumstances } = simulate(seed);
      const key = `${circumstances.opposite}: ${outcome}`;
      outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
    }
    context.diagnostic([...outcomes].map(([key, count]) => `${key} ${count}`).join(', '));
    for (const key of ['responder: open', 'machine: open', 'responder: closed', 'machine: no-answer'])
      assert.ok((outcomes.get(key) ?? 0) > 0, `${key} comes up`);
  });

  // From before there were complications. Each once left one side without a pair to send by, or (the last) with another IKE SA.
  for (const seed of [320_859_173, 2_000_024_326, 2_000_048_897, 1_000_005_373, 2_000_009_818, 2_000_091_688, 1_952_266_653])
    test(`a life that once was cut short: ${seed}`, () => {
      simulate(seed, { plain: true });
    });

  for (const seed of [900_000_357, 900_007_088, 900_158_853, 900_163_162])
    test(`a life with complications that once ended badly: ${seed}`, () => {
      simulate(seed);
    });

  test('the same seed is the same life', () => {
    assert.deepEqual(simulate(7), simulate(7));
  });
});

suite('what the simulation would see', () => {
  test('a message in clear, IKE_SA_INIT too late, and one initialization vector twice', () => {
    const pair = established();
    const { client } = pair;
    client.step({ kind: 'check-liveness' });
    const [probe] = client.take();
    const watch = new WireWatch();
    watch.see(probe!);
    watch.see(probe!);
    const another = probe!.slice();
    another[another.length - 1]! ^= 1;
    assert.throws(() => watch.see(another), /initialization vector/);
    const clear = probe!.slice();
    clear[16] = 41;
    assert.throws(() => watch.see(clear), /in clear/);
    const init = probe!.slice();
    init[18] = 34;
    assert.throws(() => watch.see(init), /IKE_SA_INIT after the first protected/);
    const resume = probe!.slice();
    resume[18] = 38;
    assert.throws(() => watch.see(resume), /IKE_SESSION_RESUME after the first protected/);
    const refused = new WireWatch();
    for (const datagram of [resume, probe!, init, init, probe!]) refused.see(datagram);
    assert.throws(() => refused.see(init), /IKE_SA_INIT after the first protected/);
    assert.throws(() => watch.see(new Uint8Array(20)), /no IKEv2 message/);
  });

  test('a key in use for too long', () => {
    const config = { ...certificateConfig, childRekeyMs: 10_000 };
    const { client } = established({ ...config, childRekeyMs: 0 });
    const side = new SimulatedSide('client', client, {
      opposite: 'machine',
      config,
      weather: { loss: 0, repetition: 0, delayMs: 0 },
      lifeMs: 0,
      rekeys: 0,
      collisions: 0,
      deletes: 0,
      moves: 0,
      outages: 0,
      jumps: 0,
      goodbye: 0,
      complications: uncomplicated,
    });
    side.sendTraffic(1);
    client.now += lifetimeBound(config) + 1;
    assert.throws(() => side.sendTraffic(1), /in use/);
    for (const child of client.children.values()) child.sending = false;
    side.sendTraffic(1);
    client.now += 60_000;
    assert.throws(() => side.sendTraffic(1), /has been kept/);
    client.now += lifetimeBound(config, config.ikeRekeyMs) + formerMs;
    assert.throws(() => side.sendTraffic(1), /keys of an IKE SA/);
  });

  test('one that is gone, and another that has not noticed', () => {
    const departures = new Departures(100);
    departures.note('client', 40);
    departures.note('client', 90);
    departures.judge([], 50, 1000);
    departures.judge(['gateway'], 50, 150);
    assert.throws(() => departures.judge(['gateway'], 50, 151), /client is gone since 40 ms/);
  });

  test('two ends that do not agree', () => {
    const pair = established();
    const other = mirrorOf(pair.client, createTestCrypto());
    assertMirrored(pair.client, other);
    const [spiIn] = pair.client.sending;
    pair.client.children.get(spiIn!)!.keys.inbound.encryptionKey[0]! ^= 1;
    assert.throws(() => assertMirrored(pair.client, other));
    assert.ok(other instanceof Client);
  });
});
