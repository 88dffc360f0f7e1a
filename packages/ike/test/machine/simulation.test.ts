import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { IkeSaConfig } from '../../src/machine/contract.ts';
import { assertSameChildren, assertSameIke } from '../../testkit/assertion.ts';
import { Simulation } from '../../testkit/simulation.ts';
import { certificateConfig, eapConfig } from '../../testkit/world.ts';

const seeds = Array.from({ length: 8 }, (_, i) => i + 1);
const patient = { firstMs: 500, factor: 1.5, tries: 8 };

suite('a bad network, by seed', () => {
  for (const [name, base] of [
    ['certificate', certificateConfig],
    ['EAP', eapConfig],
  ] as const) {
    test(`${name}: loss, repetition and disorder end in a tunnel with the same keys, or in a clean failure`, () => {
      let open = 0;
      for (const seed of seeds) {
        const simulation = new Simulation(seed, { ...base, fragmentSize: 400 }, { loss: 0.35, repetition: 0.2, delayMs: 700 });
        simulation.run(120_000);
        if (simulation.client.end) clean(simulation, seed);
        else {
          open++;
          assert.equal(simulation.client.phase, 'open', `seed ${seed}`);
        }
        simulation.calm();
        if (!simulation.client.end) agree(simulation, seed);
      }
      assert.ok(open > 0, 'at least one got through');
    });
  }

  test('rekeys by both sides, moves and probes on a lossy network: never two truths', () => {
    const config: IkeSaConfig = {
      ...certificateConfig,
      retransmit: patient,
      dpdMs: 7000,
      childRekeyMs: 25_000,
      ikeRekeyMs: 40_000,
    };
    let open = 0;
    for (const seed of seeds) {
      const simulation = new Simulation(seed, config, { loss: 0.15, repetition: 0.1, delayMs: 400 });
      simulation.busy = true;
      simulation.run(200_000);
      simulation.busy = false;
      simulation.calm();
      if (simulation.client.end) clean(simulation, seed);
      else {
        open++;
        agree(simulation, seed);
      }
    }
    assert.ok(open >= seeds.length / 2, `${open} of ${seeds.length} lived through it`);
  });
});

function agree(simulation: Simulation, seed: number): void {
  try {
    assertSameIke(simulation.pair);
    assertSameChildren(simulation.pair, simulation.client.sa.children.filter(({ stage }) => stage.name === 'lingering').length);
  } catch (error) {
    throw new Error(`seed ${seed}`, { cause: error });
  }
}

function clean(simulation: Simulation, seed: number): void {
  const { client } = simulation;
  assert.notEqual(client.end?.kind, undefined, `seed ${seed}`);
  assert.equal(client.children.size, 0, `seed ${seed}: nothing stays installed`);
  assert.equal(client.timers.size, 0, `seed ${seed}: no timer runs`);
  assert.equal(client.sa.associations.length, 0);
}
