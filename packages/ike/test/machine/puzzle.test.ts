import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { solvesPuzzle } from '../../src/crypto/puzzle.ts';
import { cookieWaitMs, puzzleMs } from '../../src/machine/choice.ts';
import { notify } from '../../src/machine/pick.ts';
import type { Message, Payload } from '../../src/message/payload.ts';
import { assertSameChildren, assertSameIke, describe } from '../../testkit/assertion.ts';
import { createPair, established, talk, toClient, toResponder } from '../../testkit/conversation.ts';
import { createTestCrypto } from '../../testkit/test-crypto.ts';
import { certificateConfig, eapConfig, hybridConfig } from '../../testkit/world.ts';

const inInit = { puzzle: { where: 'init', difficulty: 8 } } as const;
const inAuth = { puzzle: { where: 'auth', difficulty: 8 } } as const;

/*
 * HDR, SA, KE, Ni -->                         <-- HDR, N(COOKIE), N(PUZZLE)
 * HDR, N(COOKIE), PS, SA, KE, Ni -->          <-- HDR, SA, KE, Nr
 */
suite('a puzzle in IKE_SA_INIT (RFC 8019 §7.1)', () => {
  test('the request again, with the cookie and four keys that solve it', () => {
    const pair = createPair(certificateConfig, inInit);
    toResponder(pair);
    toClient(pair);
    pair.client.advance(cookieWaitMs);
    const { text } = pair.client.last('solve-puzzle')!;
    assert.equal(Buffer.from(text).toString(), 'a cookie from the gateway');
    talk(pair);
    assert.equal(pair.client.phase, 'open');
    const [, second] = pair.responder.heard;
    assert.match(describe(second!), /^34 request 0: N16390 PS SA KE NONCE/);
    const [, ps] = second!.payloads;
    assert.ok(ps?.kind === 'PS' && solvesPuzzle(pair.responderCrypto, { prf: 5, difficulty: 8 }, text, ps.solution));
    assertSameIke(pair);
    assertSameChildren(pair);
  });

  test('a difficulty of zero: something is done all the same', () => {
    const pair = createPair(certificateConfig, { puzzle: { where: 'init', difficulty: 0 } });
    talk(pair);
    pair.client.advance(cookieWaitMs);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
    assert.match(describe(pair.responder.heard[1]!), / PS /);
  });

  for (const [name, data] of Object.entries({
    'that is too hard': Uint8Array.of(0, 5, 19),
    'for a PRF that we do not have': Uint8Array.of(0, 4, 8),
    'that is malformed': Uint8Array.of(5, 8),
  })) {
    test(`one ${name} is not taken up: the cookie alone goes back`, () => {
      const impair = (payloads: readonly Payload[]) =>
        payloads.map((payload) => (payload.kind === 'N' && payload.type === 16434 ? notify(16434, data) : payload));
      const pair = createPair(certificateConfig, { ...inInit, impair });
      talk(pair);
      pair.client.advance(cookieWaitMs);
      talk(pair);
      assert.equal(pair.client.phase, 'open');
      assert.equal(pair.client.count('solve-puzzle'), 0);
    });
  }

  test('a host that does not get through with it: the cookie alone, after a while', () => {
    const pair = createPair({ ...certificateConfig, retransmit: { firstMs: 500, factor: 2, tries: 9 } }, inInit);
    pair.client.host.work = false;
    talk(pair);
    pair.client.advance(cookieWaitMs + puzzleMs);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
    assert.doesNotMatch(describe(pair.responder.heard.find(({ payloads }) => payloads[0]?.kind === 'N')!), / PS /);
  });

  test('forged: the gateway’s own answer, while we work, is taken', () => {
    const pair = createPair();
    toResponder(pair);
    pair.client.host.work = false;
    const answer = pair.responder.take();
    const forger = createPair(certificateConfig, inInit);
    forger.responder.receive(pair.responder.heard.length > 0 ? rawOf(pair) : new Uint8Array(0));
    pair.client.receive(...forger.responder.take());
    pair.client.advance(cookieWaitMs);
    assert.equal(pair.client.count('solve-puzzle'), 1);
    pair.client.receive(...answer);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
    const { request } = pair.client.last('solve-puzzle')!;
    pair.client.step({ kind: 'puzzle-solved', request, solution: new Uint8Array(32) });
    assert.equal(pair.client.phase, 'open', 'the solution comes too late to matter');
    assertSameIke(pair);
  });

  test('one without the cookie that it is about is ignored: the request goes on', () => {
    let times = 0;
    const impair = (payloads: readonly Payload[]) => (times++ === 0 ? payloads.slice(1) : payloads);
    const pair = createPair(certificateConfig, { ...inInit, impair });
    talk(pair);
    assert.equal(pair.client.phase, 'init-await-response', 'neither believed nor held against the gateway');
    pair.client.advance(certificateConfig.retransmit.firstMs);
    talk(pair);
    pair.client.advance(cookieWaitMs);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
    assert.equal(pair.client.count('solve-puzzle'), 1);
  });

  /** The client's first request as it was on the wire. */
  function rawOf(pair: ReturnType<typeof createPair>): Uint8Array {
    pair.client.advance(0);
    const { outstanding } = pair.client.sa.associations[0]!;
    return outstanding!.datagrams[0]!;
  }
});

/*
 * HDR, SA, KE, Ni -->                         <-- HDR, SA, KE, Nr, N(PUZZLE)
 * HDR, PS, SK { IDi, … } -->                  <-- HDR, SK { IDr, … }
 */
suite('a puzzle for IKE_AUTH (RFC 8019 §7.2)', () => {
  for (const [name, config] of Object.entries({ certificate: certificateConfig, EAP: eapConfig, hybrid: hybridConfig })) {
    test(`${name}: the solution goes before the encrypted payload, with the first request alone`, () => {
      const { ikeProposals, childProposals } = config;
      const pair = established(config, { ...inAuth, ikeProposals, childProposals });
      const auth = pair.responder.heard.filter(({ header }) => header.exchange === 35).map(describe);
      assert.match(auth[0]!, /request \d: PS IDi/);
      assert.doesNotMatch(auth.slice(1).join(), /PS/);
      assertSameIke(pair);
      assertSameChildren(pair);
    });
  }

  test('in fragments it goes with the first, and every datagram keeps within its size', () => {
    const config = { ...certificateConfig, fragmentSize: 300 };
    const pair = createPair(config, inAuth);
    toResponder(pair);
    toClient(pair);
    const fragments = pair.client.take();
    assert.ok(fragments.length > 1);
    assert.deepEqual(
      fragments.map((datagram) => datagram[16]),
      [54, ...fragments.slice(1).map(() => 53)],
      'Next Payload of the header: PS, then SKF',
    );
    assert.equal(fragments[0]![28], 53, 'PS points at SKF');
    for (const datagram of fragments) assert.ok(datagram.length + 4 <= 300);
    pair.responder.receive(...fragments);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
    assertSameIke(pair);
  });

  test('its PRF is the one that the puzzle names, not that of the IKE SA (§8.1)', () => {
    const pair = established(certificateConfig, { puzzle: { where: 'auth', difficulty: 8, prf: 7 } });
    assert.deepEqual(pair.client.last('solve-puzzle')!.puzzle, { prf: 7, difficulty: 8 });
    assert.equal(pair.client.sa.associations[0]!.protection!.suite.prf, 5);
  });

  test('changed on the way it does not pass: what stands before the encrypted payload is authenticated', () => {
    const pair = createPair(certificateConfig, { puzzle: { where: 'auth', difficulty: 0 } });
    toResponder(pair);
    toClient(pair);
    const [request] = pair.client.take();
    const changed = request!.slice();
    changed[32]! ^= 1;
    pair.responder.receive(changed);
    assert.equal(pair.responder.take().length, 0);
    pair.responder.receive(request!);
    talk(pair);
    assert.equal(pair.client.phase, 'open');
  });

  test('a host that does not get through with it: IKE_AUTH without, which such a gateway need not answer', () => {
    const pair = createPair(certificateConfig, inAuth);
    pair.client.host.work = false;
    talk(pair);
    assert.equal(pair.client.phase, 'auth-await-puzzle');
    pair.client.advance(puzzleMs);
    talk(pair);
    assert.equal(pair.client.phase, 'auth-await-response');
    pair.client.advance(60_000);
    assert.equal(pair.client.end?.kind, 'failed');
  });

  test('a gateway that finds it wrong does not answer', () => {
    const impair = (payloads: readonly Payload[], { header }: Message) =>
      header.exchange === 34
        ? payloads.map((payload) =>
            payload.kind === 'N' && payload.type === 16434 ? notify(16434, Uint8Array.of(0, 5, 1)) : payload,
          )
        : payloads;
    const pair = createPair(certificateConfig, { puzzle: { where: 'auth', difficulty: 16 }, impair });
    talk(pair);
    pair.client.advance(60_000);
    assert.equal(pair.client.end?.kind, 'failed');
  });
});

suite('solutions of puzzles (RFC 8019 §7.1.3)', () => {
  const crypto = createTestCrypto();
  const puzzle = { prf: 5, difficulty: 0 };
  const text = Uint8Array.of(1);
  test('four keys of one length, all different', () => {
    assert.ok(solvesPuzzle(crypto, puzzle, text, Uint8Array.of(1, 2, 3, 4)));
    assert.ok(!solvesPuzzle(crypto, puzzle, text, Uint8Array.of(1, 2, 3, 1)));
    assert.ok(!solvesPuzzle(crypto, puzzle, text, Uint8Array.of(1, 2, 3, 4, 5)));
    assert.ok(!solvesPuzzle(crypto, puzzle, text, new Uint8Array(0)));
    assert.ok(!solvesPuzzle(crypto, { prf: 5, difficulty: 64 }, text, Uint8Array.of(1, 2, 3, 4)));
  });
});
