import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { IkeSaConfig } from '../../src/machine/contract.ts';
import { notify, pick, pickNotify, spiNumber, spiOctets } from '../../src/machine/pick.ts';
import type { Payload } from '../../src/message/payload.ts';
import { assertSameChildren, describe, lastHeard, outline } from '../../testkit/assertion.ts';
import { established, talk, toClient, toResponder, type Pair } from '../../testkit/conversation.ts';
import type { ResponderOptions } from '../../testkit/responder-options.ts';
import type { ResponderChild } from '../../testkit/responder-sa.ts';
import { certificateConfig, everything, selector } from '../../testkit/world.ts';

const lingerMs = 5000;

suite('CHILD_SA rekeyed by us', () => {
  /*
   * CREATE_CHILD_SA SK { N(REKEY_SA), SAi, Ni, KEi, TSi, TSr } -->
   *                         <-- CREATE_CHILD_SA SK { SAr, Nr, KEr, TSi, TSr }
   * INFORMATIONAL SK { D(old) }                                -->
   *                         <-- INFORMATIONAL SK { D(old) }
   */
  test('new before old', () => {
    const pair = established();
    const { client } = pair;
    const [old] = spis(pair);
    client.host.install = false;
    client.step({ kind: 'rekey-child', spiIn: old! });
    toResponder(pair);
    assert.equal(lastHeard(pair), '36 request 2: N16393 SA NONCE KE TSi TSr');
    assert.equal(spiNumber(pickNotify(pair.responder.heard.at(-1)!.payloads, 16393)!.spi), old);
    assert.deepEqual(client.sending, [old], 'the old one sends until there is a new one');
    toClient(pair);
    assert.deepEqual(client.take(), [], 'nothing is deleted before the new one is installed');
    const { spi } = client.last('install-child')!.child.inbound;
    client.step({ kind: 'child-installed', spiIn: spi });
    talk(pair);
    assert.match(lastHeard(pair), /37 request 3: D/);
    assertSameChildren(pair, 1);
    assert.deepEqual(client.sending, [spi]);
    assert.ok(client.children.has(old!), 'packets in flight are still received');
    client.advance(lingerMs);
    assert.deepEqual([...client.children.keys()], [spi]);
    assert.equal(client.last('rekeyed')!.what, 'child');
    assertSameChildren(pair);
  });

  test('by time, before the interval is over', () => {
    const pair = established({ ...certificateConfig, dpdMs: 0 });
    const at = pair.client.timers.get('child-rekey')! - pair.client.now;
    assert.ok(at >= 3600_000 * 0.9 && at <= 3600_000, `${at}`);
    pair.client.advance(at - 1);
    assert.deepEqual(pair.client.take(), []);
    pair.client.advance(1);
    talk(pair);
    assert.equal(pair.client.count('rekeyed'), 1);
    assertSameChildren(pair, 1);
  });

  test('by volume', () => {
    const pair = established({ ...certificateConfig, childRekeyBytes: 1_000_000 });
    const [spiIn] = spis(pair);
    pair.client.step({ kind: 'traffic', lastInboundAt: 1000, children: [{ spiIn: spiIn!, bytesIn: 999_999, bytesOut: 0 }] });
    assert.deepEqual(pair.client.take(), []);
    pair.client.step({ kind: 'traffic', lastInboundAt: 1000, children: [{ spiIn: spiIn!, bytesIn: 0, bytesOut: 1_000_000 }] });
    pair.client.step({ kind: 'traffic', lastInboundAt: 1000, children: [{ spiIn: spiIn!, bytesIn: 0, bytesOut: 1_000_001 }] });
    talk(pair);
    assert.equal(pair.client.count('rekeyed'), 1);
    assertSameChildren(pair, 1);
  });

  test('SPIs 0 to 255 are never ours (RFC 4303 §2.1)', () => {
    const pair = established();
    const reserved = [0, 1, 255];
    const { random } = pair.clientCrypto;
    Object.assign(pair.clientCrypto, {
      random: (length: number) => (length === 4 && reserved.length > 0 ? spiOctets(reserved.pop()!) : random(length)),
    });
    rekey(pair);
    talk(pair);
    assert.equal(reserved.length, 0, 'they came up');
    assert.ok(spis(pair).every((spi) => spi > 255));
  });

  test('of a pair that does not exist: nothing', () => {
    const pair = established();
    pair.client.step({ kind: 'rekey-child', spiIn: 4711 });
    assert.deepEqual(pair.client.take(), []);
  });

  /*
   * CREATE_CHILD_SA SK { …, KEi(31), … } --> <-- CREATE_CHILD_SA SK { N(INVALID_KE_PAYLOAD)(19) }
   * CREATE_CHILD_SA SK { …, KEi(19), … } -->
   */
  test('INVALID_KE_PAYLOAD', () => {
    const childProposals = [{ ...certificateConfig.childProposals[0]!, ke: [31, 19] }];
    const pair = established({ ...certificateConfig, childProposals }, { childProposals: [{ ...childProposals[0]!, ke: [19] }] });
    rekey(pair);
    talk(pair);
    assert.equal(pick(pair.responder.heard.at(-2)!.payloads, 'KE')!.group, 19);
    assertSameChildren(pair, 1);
  });

  test('first with the group of the IKE SA, which the gateway surely has, wherever it stands among ours', () => {
    const childProposals = [{ ...certificateConfig.childProposals[0]!, ke: [19, 31] }];
    const pair = established({ ...certificateConfig, childProposals }, { childProposals: [{ ...childProposals[0]!, ke: [31] }] });
    rekey(pair);
    talk(pair);
    const groups = pair.responder.heard.flatMap(({ payloads }) => pick(payloads, 'KE')?.group ?? []);
    assert.deepEqual(groups, [31, 31], 'IKE_SA_INIT and one CREATE_CHILD_SA');
    assertSameChildren(pair, 1);
  });

  test('without a group of its own', () => {
    const childProposals = [{ ...certificateConfig.childProposals[0]!, ke: [] }];
    const pair = established({ ...certificateConfig, childProposals }, { childProposals });
    rekey(pair);
    talk(pair);
    assert.equal(outline(pair.responder.heard.at(-2)!.payloads), 'N16393 SA NONCE TSi TSr');
    assertSameChildren(pair, 1);
  });

  test('with the group of the IKE SA', () => {
    const config: IkeSaConfig = {
      ...certificateConfig,
      childProposals: [{ ...certificateConfig.childProposals[0]!, ke: 'ike' }],
    };
    const pair = established(config);
    rekey(pair);
    talk(pair);
    assert.equal(pick(pair.responder.heard.at(-2)!.payloads, 'KE')!.group, 31);
    assertSameChildren(pair, 1);
  });

  test('TEMPORARY_FAILURE: later again', () => {
    let busy = true;
    const pair = established(certificateConfig, { impair: inCreate((payloads) => (busy ? [notify(43)] : payloads)) });
    rekey(pair);
    for (let i = 0; i < 6; i++) {
      talk(pair);
      assert.equal(pair.client.count('rekeyed'), 0);
      assertSameChildren(pair.responder.children.size === 1 ? pair : tidied(pair));
      pair.client.advance(15_000);
    }
    busy = false;
    talk(tidied(pair));
    pair.client.advance(15_000);
    talk(pair);
    assert.equal(pair.client.count('rekeyed'), 1);
  });

  test('TEMPORARY_FAILURE without end: no key outlives its time by more than a quarter of it', () => {
    const childRekeyMs = 200_000;
    const pair = established({ ...certificateConfig, childRekeyMs, dpdMs: 0 }, { impair: inCreate(() => [notify(43)]) });
    const { client } = pair;
    const bornAt = client.now;
    while (!client.end && client.now < bornAt + 2 * childRekeyMs) {
      client.advance(1000);
      talk(tidied(pair));
    }
    assert.deepEqual(client.end, {
      kind: 'failed',
      failure: { kind: 'notify', type: 43, name: 'TEMPORARY_FAILURE', phase: 'CREATE_CHILD_SA' },
    });
    const age = client.now - bornAt;
    assert.ok(age >= 1.25 * childRekeyMs && age <= 1.25 * childRekeyMs + 20_000, `${age}`);
  });

  for (const [name, type, failure] of [
    ['', 14, { kind: 'no-proposal-chosen', what: 'child' }],
    [' with NO_ADDITIONAL_SAS (RFC 7296 §4)', 35, { kind: 'notify', type: 35, name: 'NO_ADDITIONAL_SAS' }],
    [' with an error that nobody knows (RFC 7296 §3.10.1)', 8190, { kind: 'notify', type: 8190, name: 'notify(8190)' }],
  ] as const) {
    test(`refused for good${name}: after three times the SA ends, so that new keys come from a new one`, () => {
      const pair = established(certificateConfig, { impair: inCreate(() => [notify(type)]) });
      rekey(pair);
      for (let i = 0; i < 2; i++) {
        talk(pair);
        assert.equal(pair.client.phase, 'open');
        pair.client.advance(15_000);
      }
      talk(pair);
      const { end } = pair.client;
      assert.partialDeepStrictEqual(end?.kind === 'failed' && end.failure, failure);
      assert.equal(pair.responder.closed, true);
    });
  }

  /*
   * CREATE_CHILD_SA SK { N(REKEY_SA), … }      --> <-- CREATE_CHILD_SA SK { N(CHILD_SA_NOT_FOUND) }
   * CREATE_CHILD_SA SK { SAi, Ni, KEi, TSi, TSr } -->
   */
  test('CHILD_SA_NOT_FOUND: a new one from scratch (RFC 7296 §2.25.1)', () => {
    const pair = established();
    pair.responder.children.clear();
    rekey(pair);
    talk(pair);
    assert.equal(lastHeard(pair), '36 request 3: SA NONCE KE TSi TSr');
    assertSameChildren(pair);
    assert.equal(pair.client.phase, 'open');
  });

  const bad: Record<string, (payloads: readonly Payload[]) => readonly Payload[]> = {
    'with wider traffic selectors': (payloads) => payloads.map((p) => (p.kind === 'TSi' ? { ...p, selectors: everything } : p)),
    'without TSr': (payloads) => payloads.filter(({ kind }) => kind !== 'TSr'),
    'without KE': (payloads) => payloads.filter(({ kind }) => kind !== 'KE'),
    'with KE of zeros': (payloads) => payloads.map((p) => (p.kind === 'KE' ? { ...p, data: new Uint8Array(32) } : p)),
    'with KE of another group': (payloads) =>
      payloads.map((p) => (p.kind === 'KE' ? { ...p, group: 19, data: new Uint8Array(64) } : p)),
    'without nonce': (payloads) => payloads.filter(({ kind }) => kind !== 'NONCE'),
    'with another cipher': (payloads) =>
      payloads.map((p) =>
        p.kind === 'SA'
          ? {
              ...p,
              proposals: p.proposals.map((q) => ({
                ...q,
                transforms: q.transforms.map((t) => (t.type === 1 ? { ...t, keyBits: 128 } : t)),
              })),
            }
          : p,
      ),
  };
  for (const [name, change] of Object.entries(bad)) {
    /* INFORMATIONAL SK { D(new) } --> */
    test(`an answer ${name} is refused: the new one is deleted, the old one stays`, () => {
      const pair = established(certificateConfig, { impair: inCreate(change) });
      const [old] = spis(pair);
      rekey(pair);
      talk(pair);
      assert.equal(pair.client.phase, 'open');
      assert.equal(pair.client.count('install-child'), 1);
      assert.match(lastHeard(pair), /37 request 3: D/);
      assert.deepEqual(pair.client.sending, [old]);
      pair.client.advance(lingerMs);
      assertSameChildren(pair);
    });
  }

  test('the host cannot install the new one: it is deleted, the old one stays', () => {
    const pair = established();
    const [old] = spis(pair);
    pair.client.host.install = false;
    rekey(pair);
    talk(pair);
    const { spi } = pair.client.last('install-child')!.child.inbound;
    pair.client.children.get(old!)!.sending = true;
    pair.client.children.delete(spi);
    pair.client.step({ kind: 'child-installed', spiIn: spi, problem: 'no memory' });
    talk(pair);
    pair.client.advance(lingerMs);
    assertSameChildren(pair);
    assert.deepEqual(spis(pair), [old]);
  });
});

suite('CHILD_SA rekeyed by the peer', () => {
  /*
   *     <-- CREATE_CHILD_SA SK { N(REKEY_SA), SAi, Ni, KEi, TSi, TSr }
   * CREATE_CHILD_SA SK { SAr, Nr, KEr, TSi, TSr } -->
   *     <-- INFORMATIONAL SK { D(old) }
   * INFORMATIONAL SK { D(old) }                   -->
   */
  test('answered when the new one receives; it sends when the old one is deleted', () => {
    const pair = established();
    const { client, responder } = pair;
    const [old] = spis(pair);
    client.host.install = false;
    responder.rekeyChild(only(pair));
    toClient(pair);
    assert.deepEqual(client.take(), [], 'no answer before the new one is installed');
    const { child } = client.last('install-child')!;
    assert.equal(child.sendNow, false);
    responder.retransmit();
    toClient(pair);
    assert.equal(client.count('install-child'), 2, 'a retransmission does not make another one');
    client.step({ kind: 'child-installed', spiIn: child.inbound.spi });
    assert.deepEqual(client.sending, [old]);
    responder.receive(...client.take());
    assert.equal(describe(responder.heard.at(-1)!), '36 response 0: SA NONCE KE TSi TSr');
    toClient(pair);
    assert.deepEqual(client.sending, [child.inbound.spi]);
    talk(pair);
    assertSameChildren(pair, 1);
    client.advance(lingerMs);
    assertSameChildren(pair);
    assert.equal(client.last('rekeyed')!.what, 'child');
  });

  test('traffic selectors never get wider than they were (CVE class: widening by rekey)', () => {
    const pair = established(certificateConfig, { tsr: [selector('10.1.0.0', '10.1.255.255')] });
    pair.responder.tidy = false;
    pair.responder.rekeyChild(only(pair), { tsi: everything, tsr: everything });
    talk(pair);
    const answer = pair.responder.heard.at(-1)!;
    assert.deepEqual(pick(answer.payloads, 'TSi')!.selectors, [selector('10.1.0.0', '10.1.255.255')]);
    assert.deepEqual(pick(answer.payloads, 'TSr')!.selectors, [selector('10.9.0.5', '10.9.0.5')]);
    assert.deepEqual(pair.client.last('install-child')!.child.tsr, [selector('10.1.0.0', '10.1.255.255')]);
  });

  test('TS_UNACCEPTABLE when nothing is in common', () => {
    const pair = established();
    pair.responder.rekeyChild(only(pair), { tsi: [selector('192.168.0.1', '192.168.0.1')] });
    talk(pair);
    assert.equal(lastHeard(pair), '36 response 0: N38');
    assertSameChildren(pair);
  });

  test('INVALID_KE_PAYLOAD when its group is not ours', () => {
    const pair = established(certificateConfig, { childProposals: [{ ...certificateConfig.childProposals[0]!, ke: [19, 31] }] });
    pair.responder.rekeyChild(only(pair), { group: 19 });
    talk(pair);
    const answer = pair.responder.heard.at(-1)!;
    assert.equal(outline(answer.payloads), 'N17');
    assert.deepEqual(pickNotify(answer.payloads, 17)!.data, Uint8Array.of(0, 31));
    pair.responder.rekeyChild(only(pair), { group: 31 });
    talk(pair);
    assertSameChildren(pair, 1);
  });

  test('NO_PROPOSAL_CHOSEN', () => {
    const pair = established();
    pair.responder.options.childProposals = [{ encr: [{ id: 20, keyBits: 128 }], integ: [], ke: [31] }];
    pair.responder.rekeyChild(only(pair));
    talk(pair);
    assert.equal(lastHeard(pair), '36 response 0: N14');
    assertSameChildren(pair);
  });

  test('CHILD_SA_NOT_FOUND for one that does not exist', () => {
    const pair = established();
    const ghost: ResponderChild = { ...only(pair), spiIn: 4711 };
    pair.responder.rekeyChild(ghost);
    talk(pair);
    const notFound = pickNotify(pair.responder.heard.at(-1)!.payloads, 44)!;
    assert.deepEqual([notFound.protocol, notFound.spi], [3, spiOctets(4711)]);
    assertSameChildren(pair);
  });

  test('REKEY_SA for protocol 0, 1 or 2, or without SPI, is refused (CVE-2023-38710)', () => {
    for (const [protocol, octets, error] of [
      [0, 0, 7],
      [1, 8, 7],
      [2, 4, 44],
      [3, 0, 7],
    ] as const) {
      const pair = established();
      // Where there is one, it is that of a pair which exists, so that the protocol alone speaks against it.
      const spi = octets === 4 ? spiOctets(only(pair).spiIn) : new Uint8Array(octets);
      const ke: Payload = { kind: 'KE', group: 31, data: new Uint8Array(32).fill(9) };
      const ts = [{ kind: 'TSi', selectors: everything } as const, { kind: 'TSr', selectors: everything } as const];
      const [sa] = pair.responder.heard[1]!.payloads.filter(({ kind }) => kind === 'SA');
      const before = pair.responder.heard.length;
      pair.responder.request(36, [
        { ...notify(16393), protocol, spi },
        sa!,
        { kind: 'NONCE', data: new Uint8Array(32) },
        ke,
        ...ts,
      ]);
      talk(pair);
      assert.ok(pair.responder.heard.length === before + 1);
      assert.equal(lastHeard(pair), `36 response 0: N${error}`);
      assertSameChildren(pair);
    }
  });

  test('another CHILD_SA: NO_ADDITIONAL_SAS', () => {
    const pair = established();
    const first = pair.responder.heard[1]!.payloads;
    const payloads: Payload[] = [
      pick(first, 'SA')!,
      { kind: 'NONCE', data: new Uint8Array(32) },
      { kind: 'TSi', selectors: everything },
      { kind: 'TSr', selectors: everything },
    ];
    pair.responder.request(36, payloads);
    talk(pair);
    assert.equal(lastHeard(pair), '36 response 0: N35');
    assertSameChildren(pair);
  });

  test('the host cannot install it: TEMPORARY_FAILURE, the old one stays', () => {
    const pair = established();
    pair.client.host.install = false;
    pair.responder.rekeyChild(only(pair));
    toClient(pair);
    pair.client.step({
      kind: 'child-installed',
      spiIn: pair.client.last('install-child')!.child.inbound.spi,
      problem: 'no memory',
    });
    talk(pair);
    assert.equal(lastHeard(pair), '36 response 0: N43');
    assertSameChildren(pair);
  });

  // Found by simulation: pairs that only one side had.
  test('we slept through that time: the peer, which may not have our answer yet, gets it anew', () => {
    const pair = established();
    const { client, responder } = pair;
    const [old] = spis(pair);
    responder.rekeyChild(only(pair));
    toClient(pair);
    client.take();
    const asleep = client.now + 60_000;
    client.fire('linger', asleep);
    assert.deepEqual(client.sending, [old]);
    assert.equal(client.sent.length, 0, 'no Delete of what the peer still uses');
    responder.retransmit();
    talk(pair);
    client.advance(lingerMs);
    talk(pair);
    assertSameChildren(pair);
  });

  test('a peer that does not delete the old one: we do', () => {
    const pair = established();
    pair.responder.tidy = false;
    const [old] = spis(pair);
    pair.responder.rekeyChild(only(pair));
    talk(pair);
    assert.deepEqual(pair.client.sending, [old]);
    pair.client.advance(36_000);
    talk(pair);
    pair.client.advance(lingerMs);
    talk(pair);
    assertSameChildren(pair);
    assert.notDeepEqual(spis(pair), [old]);
  });
});

function rekey(pair: Pair): void {
  pair.client.step({ kind: 'rekey-child', spiIn: spis(pair)[0]! });
}

function spis({ client }: Pair): number[] {
  return client.sa.children.filter(({ stage }) => stage.name !== 'lingering').map(({ spiIn }) => spiIn);
}

function only({ responder }: Pair): ResponderChild {
  const [child] = [...responder.children.values()];
  return child!;
}

/** The responder made a pair before its answer was replaced by an error: forget it there. */
function tidied(pair: Pair): Pair {
  const known = new Set(pair.client.sa.children.map(({ spiOut }) => spiOut));
  for (const spiIn of pair.responder.children.keys()) if (!known.has(spiIn)) pair.responder.children.delete(spiIn);
  return pair;
}

function inCreate(change: (payloads: readonly Payload[]) => readonly Payload[]): NonNullable<ResponderOptions['impair']> {
  return (payloads, { header }) => (header.exchange === 36 ? change(payloads) : payloads);
}
