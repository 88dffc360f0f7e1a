import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeUtf8, equal } from '@aovpn/bytes';
import type { IkeEvent, IkeTimer } from '../../src/machine/contract.ts';
import { notify, spiOctets } from '../../src/machine/pick.ts';
import { encodeMessage } from '../../src/message/encode.ts';
import type { Payload } from '../../src/message/payload.ts';
import { exchangeRows } from '../../src/registry/exchange.ts';
import { talk, type Pair } from '../../testkit/conversation.ts';
import { reachState } from '../../testkit/reach-state.ts';
import { seeded } from '../../testkit/test-crypto.ts';
import { everything, otherPath } from '../../testkit/world.ts';

const beforeAuthentication = (name: string): boolean =>
  !['child-await-response', 'child-await-install', 'open', 'closing-await-response', 'ended'].includes(name);

/** All that have a name, and two that have none. */
const exchanges = [...exchangeRows.map(({ id }) => id), 33, 240];
const contents: Record<string, readonly Payload[]> = {
  empty: [],
  'delete IKE': [{ kind: 'D', protocol: 1, spis: [] }],
  'delete ESP': [{ kind: 'D', protocol: 3, spis: [spiOctets(4711)] }],
  error: [notify(24)],
  'rekey child': [
    { ...notify(16393), protocol: 3, spi: spiOctets(4711) },
    {
      kind: 'SA',
      proposals: [
        {
          number: 1,
          protocol: 3,
          spi: spiOctets(4712),
          transforms: [
            { type: 1, id: 20, keyBits: 256 },
            { type: 5, id: 0 },
          ],
        },
      ],
    },
    { kind: 'NONCE', data: new Uint8Array(32) },
    { kind: 'TSi', selectors: everything },
    { kind: 'TSr', selectors: everything },
  ],
  'rekey IKE': [
    {
      kind: 'SA',
      proposals: [
        {
          number: 1,
          protocol: 1,
          spi: new Uint8Array(8).fill(3),
          transforms: [
            { type: 1, id: 20, keyBits: 256 },
            { type: 2, id: 5 },
            { type: 4, id: 31 },
          ],
        },
      ],
    },
    { kind: 'NONCE', data: new Uint8Array(32) },
    { kind: 'KE', group: 31, data: new Uint8Array(32) },
  ],
  'EAP-Success': [{ kind: 'EAP', packet: Uint8Array.of(3, 1, 0, 4) }],
};

suite('every exchange type in every state', () => {
  for (const [name, reach] of Object.entries(reachState)) {
    /* <-- HDR { anything }, without protection (CVE-2019-12312, CVE-2014-2338) */
    test(`${name}: nothing unprotected changes anything`, () => {
      const { client } = settledPair(reach, name);
      const { spiI, spiR } = client.sa.associations[0] ?? { spiI: new Uint8Array(8), spiR: new Uint8Array(8) };
      const before = client.sa;
      const sentBefore = client.sent.length;
      for (const exchange of exchanges) {
        for (const response of [false, true]) {
          // That is what these three states wait for.
          if (name.startsWith('init') && exchange === 34 && response) continue;
          if (name === 'resume-await-response' && exchange === 38 && response) continue;
          for (const messageId of [0, 1, 2, 3, 0xffff_ffff]) {
            for (const fromInitiator of [false, true]) {
              for (const payloads of Object.values(contents)) {
                client.receive(encodeMessage({ header: { spiI, spiR, exchange, fromInitiator, response, messageId }, payloads }));
              }
            }
          }
        }
      }
      assert.equal(client.sa, before, 'the very same state');
      assert.equal(client.sent.length, sentBefore, 'nothing is sent');
    });

    if (!name.startsWith('init') && name !== 'resume-await-response' && name !== 'ended') {
      /* <-- HDR SK { anything }, protected with the right keys by a peer that is not authenticated, or not in order */
      test(`${name}: protected messages that have no place`, () => {
        const pair = settledPair(reach, name);
        const { client, responder } = pair;
        const ike = responder.current;
        const { outstanding, nextExpected } = client.sa.associations[0]!;
        const before = client.sa;
        for (const exchange of exchanges.filter((id) => id !== 34)) {
          for (const response of [false, true]) {
            for (const messageId of [0, 1, 2, 3, 4, 5, 6, 7, 100, 0xffff_ffff]) {
              // The answer that is awaited, and the request that is next, do have a place.
              if (response && outstanding?.messageId === messageId && outstanding.exchange === exchange) continue;
              if (!response && messageId === nextExpected && !beforeAuthentication(name)) continue;
              for (const payloads of Object.values(contents))
                client.receive(...responder.seal(ike, exchange, messageId, response, payloads));
            }
          }
        }
        assert.equal(client.sa, before, 'the very same state');
        goOn(pair, name);
      });
    }

    test(`${name}: events that nobody waits for`, () => {
      const pair = settledPair(reach, name);
      const { client } = pair;
      const children = client.children.size;
      const timers: readonly IkeTimer[] = [
        'retransmit',
        'dpd',
        'ike-rekey',
        'child-rekey',
        'eap-wait',
        'linger',
        'half-open',
        'reauth',
      ];
      const events: readonly IkeEvent[] = [
        ...timers.map((timer) => ({ kind: 'timer', timer }) as const),
        { kind: 'signed', request: 99, signature: new Uint8Array(64) },
        { kind: 'signed', request: 99, signature: undefined },
        { kind: 'gateway-verdict', request: 99, verdict: client.verdict },
        { kind: 'gateway-verdict', request: 99, verdict: { accepted: false, reason: 'untrusted', detail: '', trace: [] } },
        { kind: 'eap', event: { kind: 'secret', request: 99, secret: encodeUtf8('x') } },
        { kind: 'eap', event: { kind: 'packet', packet: Uint8Array.of(3, 1, 0, 4) } },
        { kind: 'puzzle-solved', request: 99, solution: undefined },
        { kind: 'puzzle-solved', request: 99, solution: new Uint8Array(32) },
        { kind: 'child-installed', spiIn: 4711 },
        { kind: 'child-installed', spiIn: 4711, problem: 'no' },
        { kind: 'traffic', lastInboundAt: client.now, children: [{ spiIn: 4711, bytesIn: 1, bytesOut: 1e12 }] },
        { kind: 'rekey-child', spiIn: 4711 },
        { kind: 'unanswered', lastInboundAt: undefined },
      ];
      for (const event of events) client.step(event);
      assert.equal(client.phase, name);
      assert.equal(client.children.size, children);
      goOn(pair, name);
    });

    test(`${name}: rekey, move, liveness and close at any time`, () => {
      for (const event of [
        { kind: 'rekey-ike' },
        { kind: 'check-liveness' },
        { kind: 'path-changed', path: otherPath },
      ] as const) {
        const pair = settledPair(reach, name);
        pair.client.step(event);
        if (event.kind === 'path-changed') pair.client.path = event.path;
        goOn(pair, name);
      }
      const pair = settledPair(reach, name);
      pair.client.step({ kind: 'close', why: 'now' });
      talk(pair);
      pair.client.advance(2000);
      assert.equal(pair.client.phase, 'ended');
      assert.equal(pair.client.children.size, 0);
      assert.equal(pair.client.timers.size, 0);
    });

    test(`${name}: datagrams of any shape`, () => {
      const pair = settledPair(reach, name);
      const { client, responder } = pair;
      const next = seeded(name.length);
      const material = [...responder.sent, ...client.sent, new Uint8Array(28), new Uint8Array(200)];
      if (responder.ikes.some(({ gone }) => !gone))
        material.push(...responder.seal(responder.current, 37, 0, false, [notify(24)]));
      const { children } = client.sa;
      for (let i = 0; i < 400; i++) {
        const octets = material[Math.floor(next() * material.length)]!.slice(
          0,
          next() < 0.3 ? Math.floor(next() * 80) : undefined,
        );
        for (let j = 0; j <= next() * 6 && octets.length > 0; j++)
          octets[Math.floor(next() * octets.length)] = Math.floor(next() * 256);
        // One that came out as it went in is not of any shape, but authentic.
        if (material.some((original) => equal(original, octets))) continue;
        // In IKE_SA_INIT a change of the nonce, for example, makes another good answer; that is found out in IKE_AUTH.
        if (name.startsWith('init') && octets[18] === 34) continue;
        if (name === 'resume-await-response' && octets[18] === 38) continue;
        client.receive(octets);
      }
      assert.equal(client.phase, name);
      assert.equal(client.sa.children, children);
      goOn(pair, name);
    });
  }
});

function settledPair(reach: () => Pair, name: string): Pair {
  const pair = reach();
  assert.equal(pair.client.phase, name);
  return pair;
}

/** Whatever happened, the conversation goes on to its end. */
function goOn(pair: Pair, name: string): void {
  const { client } = pair;
  client.host.sign = client.host.verify = client.host.secret = client.host.install = client.host.work = true;
  const open = client.actions.findLast(({ kind }) =>
    ['sign', 'verify-gateway', 'install-child', 'eap', 'solve-puzzle'].includes(kind),
  );
  if (
    name === 'auth-await-puzzle' ||
    name === 'auth-await-signature' ||
    name === 'auth-await-verdict' ||
    name === 'eap-await-host' ||
    name === 'child-await-install'
  ) {
    if (open) client.answer(open);
  }
  if (name === 'init-await-better') {
    client.advance(1000);
    pair.responder.forgetInit();
  }
  talk(pair);
  if (name === 'closing-await-response' || name === 'ended') assert.equal(client.phase, 'ended');
  else assert.equal(client.phase, 'open', JSON.stringify(client.end));
}
