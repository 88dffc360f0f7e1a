import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { notify } from '../../src/machine/pick.ts';
import { createPair, established, talk } from '../../testkit/conversation.ts';
import { certificateConfig } from '../../testkit/world.ts';

const config = { ...certificateConfig, request: { v4: true, v6: true } };

/*
 * HDR, SK { IDi, CP(CFG_REQUEST: IP4, IP6), .. } --> <-- HDR, SK { IDr, AUTH, CP(CFG_REPLY: IP4), N(IP4_ALLOWED), .. }
 */
suite('which families a gateway hands out (RFC 8983)', () => {
  for (const [types, families] of [
    [[16439], [4]],
    [[16440], [6]],
    [
      [16439, 16440],
      [4, 6],
    ],
    [[], undefined],
  ] as const) {
    test(`notifies ${types.join(' ') || 'none'}`, () => {
      const pair = established(config, {
        impair: (payloads, { header }) =>
          header.exchange === 35 ? [...payloads, ...types.map((type) => notify(type))] : payloads,
      });
      assert.deepEqual(pair.client.last('established')!.configuration.allowedFamilies, families);
    });
  }

  test('beside INTERNAL_ADDRESS_FAILURE they say what would have done', () => {
    const pair = createPair(config, {
      impair: (payloads, { header }) =>
        header.exchange === 35
          ? [...payloads.filter(({ kind }) => !['SA', 'TSi', 'TSr', 'CP'].includes(kind)), notify(36), notify(16440)]
          : payloads,
    });
    talk(pair);
    assert.deepEqual(pair.client.end, { kind: 'failed', failure: { kind: 'no-address' } });
    assert.ok(pair.client.actions.some((action) => action.kind === 'trace' && /IPv6 addresses/.test(action.what)));
  });
});
