// A gateway that is not the one: before it has proven itself it learns nothing of the user.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { network } from '../../../lab/network.ts';
import { mschapv2Profile } from '../../../lab/profile-xml.ts';
import { Stage } from '../../../lab/stage.ts';

suite('attack/impostor', () => {
  let stage: Stage;
  before(async () => (stage = await Stage.set({ authentication: ['eap-mschapv2'] })));
  after(async () => await stage?.[Symbol.asyncDispose]());

  /** What the gateway decrypted since then: strongSwan logs every identity and every EAP message it is given. */
  const learnt = (since: number): { readonly identity: boolean; readonly eap: boolean; readonly idi: string | undefined } => {
    const log = stage.world.gateway.log().slice(since);
    return {
      identity: log.includes('alice'),
      eap: /parsed IKE_AUTH request [^[]*\[[^\]]*EAP/.test(log),
      idi: /looking for peer configs matching \S+\.\.\.\S+\[(.*)\]/.exec(log)?.[1],
    };
  };

  test('the right gateway learns who it is: this is how it would look', async () => {
    const since = stage.world.gateway.log().length;
    await stage.product.put('user', mschapv2Profile(), stage.user());
    await stage.product.waitForState('user', 'up');
    assert.deepEqual({ ...learnt(since), idi: undefined }, { identity: true, eap: true, idi: undefined });
    await stage.strike('user');
  });

  for (const [name, code] of [
    ['a certificate of another authority', 'AOV-IKE-131'],
    ['a certificate of another name', 'AOV-IKE-134'],
    ['a certificate of a client with the right name', 'AOV-IKE-135'],
  ] as const) {
    test(`${name}: no identity, no password`, async () => {
      const { pki, gateway } = stage.world;
      const named = { commonName: network.gateway.name, dns: [network.gateway.name] };
      const certificate = {
        'AOV-IKE-131': () => pki.stranger.issue(named),
        'AOV-IKE-134': () => pki.gateway('wrong-name'),
        'AOV-IKE-135': () => pki.root.issue({ ...named, usages: ['clientAuth'] }),
      }[code]();
      await gateway.configure({
        certificate,
        authorities: [pki.root.certificatePem, pki.stranger.certificatePem],
        ...(code === 'AOV-IKE-134' ? { id: 'other.example.net' } : { id: network.gateway.name }),
      });
      const since = gateway.log().length;
      await stage.product.put('user', mschapv2Profile(), stage.user());
      const { problem } = await stage.product.waitForProblem('user');
      await sleep(200);
      assert.equal(problem?.code, code);
      const { identity, eap, idi } = learnt(since);
      assert.ok(!identity && !eap, gateway.log().slice(since));
      assert.ok(idi !== undefined && idi !== 'alice', 'the exchange came so far that it could have been said');
      await stage.product.remove('user');
      await gateway.terminate();
    });
  }
});
