// A second factor, as it looks from here: the RADIUS server says nothing for as long as somebody looks for a telephone, in the middle of IKE_AUTH.
// Both stories run at the same time, because each is nothing but waiting.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import type { ConnectionStatus } from '@aovpn/api';
import { EapStage } from '../../../lab/eap-stage.ts';
import type { EapWish } from '../../../lab/eap-xml.ts';
import { network } from '../../../lab/network.ts';
import type { RadiusRelay } from '../../../lab/radius-relay.ts';
import type { RadiusRelaySettings } from '../../../lab/relay/radius-relay.ts';
import { until } from '../../../lab/until.ts';

suite('eap/second-factor', { concurrency: true }, () => {
  let stage: EapStage;
  let relay: RadiusRelay;
  before(async () => {
    stage = await EapStage.set();
    relay = await stage.relay();
    await stage.ask('relay');
  });
  after(async () => await stage?.[Symbol.asyncDispose]());
  /** One story at a time tells the relay what to do and waits until it holds an answer. */
  let turn: Promise<unknown> = Promise.resolve();

  test('120 seconds of silence, then yes', async () => {
    await waits('silent', { hold: { answer: 'accept', ms: 120_000 } }, 120);
  });

  test('45 seconds of silence in the middle of the conversation, then it goes on', async () => {
    await waits('middle', { hold: { answer: 4, ms: 45_000 } }, 45);
  });

  test('30 seconds in which the server keeps on saying what it waits for', async () => {
    const text = 'Approve the sign-in on your phone';
    await waits('telling', { hold: { answer: 4, ms: 30_000 }, notify: { text, everyMs: 5000 } }, 30, text);
  });

  test('somebody who never answers is given up, in time that is in the settings', async () => {
    const name = 'never';
    await stage.product.settings(`[profile."${name}"]\neap-wait-seconds = 60\n`);
    await hold(name, { hold: { answer: 4, ms: 1_000_000 } });
    const { problem } = await stage.product.waitForProblem(name, 100_000);
    assert.equal(problem?.code, 'AOV-EAP-233');
    assert.equal(problem.windows, 718);
    assert.equal(problem.side, 'radius');
    assert.match(stage.product.daemon.output(), /AOV-EAP-233/);
    const { stdout } = await stage.product.aovpn(['doctor', name]);
    // The next attempt, which the server answers, may be through already.
    if (!stdout.includes(`connection (${name}): up`)) assert.match(stdout, /AOV-EAP-233/);
    await stage.product.remove(name);
  });

  /** Puts a profile in place whose conversation is the only one that waits like this. */
  function hold(name: string, settings: RadiusRelaySettings): Promise<void> {
    const mine = turn.then(async () => {
      const { held } = relay;
      await relay.set(settings);
      const wish: EapWish = { kind: 'peap', trust: stage.trust, inner: { kind: 'mschapv2' }, anonymous: name };
      await stage.put(name, wish, stage.password(), { names: {}, routes: [route[name]!] });
      await until(
        async () => `something is held: ${JSON.stringify(await stage.product.connection(name))}`,
        () => relay.held > held,
      );
      await relay.set({});
    });
    turn = mine.catch(() => undefined);
    return mine;
  }

  async function waits(name: string, settings: RadiusRelaySettings, seconds: number, text?: string): Promise<void> {
    const started = performance.now();
    await hold(name, settings);
    // After a few seconds it is said that it is the server's turn; nothing is a failure yet.
    const waiting = await stage.product.waitFor(name, 'waiting for RADIUS', ({ waitingFor }) => waitingFor?.who === 'radius');
    assert.equal(waiting.problem, undefined);
    assert.equal(waiting.state, 'connecting');
    if (text) await stage.product.waitFor(name, 'told', ({ waitingFor }) => waitingFor?.text.includes(text) === true);
    const { stdout } = await stage.product.aovpn(['status']);
    assert.match(stdout, /RADIUS/i);

    const isDecided = ({ state, problem }: ConnectionStatus): boolean => state === 'up' || problem !== undefined;
    const { state, problem, attempts } = await stage.product.waitFor(name, 'decided', isDecided, (seconds + 20) * 1000);
    assert.equal(state, 'up', JSON.stringify(problem));
    assert.ok(performance.now() - started > seconds * 1000);
    assert.ok(attempts <= 1, 'it was one attempt');
    const outer = stage.radius.results().filter(({ where, user }) => where === 'outer' && user === name);
    assert.deepEqual(
      outer.map(({ outcome }) => outcome),
      ['accept'],
      JSON.stringify(stage.radius.results()),
    );
  }

  const route: Readonly<Record<string, { readonly address: string; readonly prefixSize: number }>> = {
    silent: { address: network.corp.web4, prefixSize: 32 },
    middle: { address: network.corp.dns4, prefixSize: 32 },
    never: { address: network.corp.dns6, prefixSize: 128 },
    telling: { address: network.corp.web6, prefixSize: 128 },
  };
});
