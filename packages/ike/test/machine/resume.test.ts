import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { IkeSaConfig, SessionTicket } from '../../src/machine/contract.ts';
import { notify } from '../../src/machine/pick.ts';
import type { Payload } from '../../src/message/payload.ts';
import { encodeMessage } from '../../src/message/encode.ts';
import { assertSameChildren, assertSameIke, describe } from '../../testkit/assertion.ts';
import { createPair, established, talk, toClient, toResponder, type Pair } from '../../testkit/conversation.ts';
import type { ResponderOptions } from '../../testkit/responder-options.ts';
import { TicketStore } from '../../testkit/responder-memory.ts';
import { certificateConfig, eapConfig } from '../../testkit/world.ts';

const asking: IkeSaConfig = { ...eapConfig, askTicket: true };

interface Kept {
  readonly tickets: TicketStore;
  readonly ticket: SessionTicket;
  readonly first: Pair;
}

function ticketOf(config: IkeSaConfig = asking, lifetime = 3600): Kept {
  const tickets = new TicketStore(lifetime);
  const first = established(config, { tickets });
  return { tickets, ticket: first.client.last('ticket')!.ticket!, first };
}

function resumed(kept: Kept, options: ResponderOptions = {}): Pair {
  return createPair({ ...asking, ticket: kept.ticket }, { tickets: kept.tickets, ...options });
}

const heard = ({ responder }: Pair): string[] => responder.heard.map(describe);

suite('session resumption (RFC 5723)', () => {
  /*
   * IKE_AUTH SK { IDi, …, N(TICKET_REQUEST) } -->      <-- IKE_AUTH SK { IDr, …, N(TICKET_LT_OPAQUE) }
   */
  test('a ticket is asked for, and kept with its SK_d for as long as it is good', () => {
    for (const config of [asking, { ...certificateConfig, askTicket: true }]) {
      const { ticket, first } = ticketOf(config);
      assert.match(heard(first)[1]!, /N16410/);
      assert.equal(first.client.last('ticket')!.lifetimeMs, 3600_000);
      assert.deepEqual(ticket.skD, first.responder.current.skD);
      assert.notEqual(ticket.skD, first.client.sa.associations[0]!.protection!.skD, 'a copy, which outlives the SA');
    }
  });

  test('no longer than a day, and no longer than the authentication is good (RFC 5723 §6.2)', () => {
    assert.equal(ticketOf(asking, 7 * 86_400).first.client.last('ticket')!.lifetimeMs, 86_400_000);
    const short = established(asking, { tickets: new TicketStore(86_400), authLifetime: 3600 });
    assert.equal(short.client.last('ticket')!.lifetimeMs, 3300_000);
  });

  test('none is asked for unless it is wanted', () => {
    const pair = established(eapConfig, { tickets: new TicketStore(60) });
    assert.doesNotMatch(heard(pair)[1]!, /N16410/);
    assert.equal(pair.client.count('ticket'), 0);
  });

  /*
   * IKE_SESSION_RESUME { Ni, N(TICKET_OPAQUE), N(NATD_S_IP), N(NATD_D_IP), N(FRAG_SUP) } -->
   *                                           <-- IKE_SESSION_RESUME { Nr }
   * IKE_AUTH SK { IDi, N(INIT_CONTACT), AUTH, CP, SAi2, TSi, TSr, N(MOBIKE_SUP), N(TICKET_REQUEST) } -->
   *                                           <-- IKE_AUTH SK { IDr, AUTH, CP, SAr2, TSi, TSr, N(TICKET_LT_OPAQUE) }
   */
  test('two exchanges, no EAP, no certificate, nobody asked', () => {
    const kept = ticketOf();
    const pair = resumed(kept);
    talk(pair);
    const lines = heard(pair);
    assert.equal(lines[0], '38 request 0: NONCE N16413 N16388 N16389 N16430');
    assert.equal(lines[1], '35 request 1: IDi N16384 AUTH CP SA TSi TSr N16396 N16410');
    assert.equal(pair.client.count('eap'), 0);
    assert.equal(pair.client.count('verify-gateway'), 0);
    assert.equal(pair.client.count('established'), 1);
    assert.equal(pair.client.last('established')!.facts.authentication, 'resumed session');
    assert.equal(pair.client.last('established')!.facts.gatewaySubject, 'CN=vpn.example.com');
    assertSameIke(pair);
  });

  test('keys are refreshed at once: IKE SA and CHILD_SA get a key exchange of their own', () => {
    const pair = resumed(ticketOf());
    talk(pair);
    const lines = heard(pair);
    assert.match(lines[2]!, /^36 request 2: SA NONCE KE N16410$/, 'the IKE SA');
    assert.ok(
      lines.some((line) => /^36 request \d: N16393 SA NONCE KE TSi TSr$/.test(line)),
      'and its CHILD_SA',
    );
    assert.deepEqual(
      pair.client.actions.flatMap((action) => (action.kind === 'rekeyed' ? [action.what] : [])),
      ['ike', 'child'],
    );
    assertSameChildren(pair, 1);
  });

  test('a new ticket comes with it, and can be used in turn', () => {
    const kept = ticketOf();
    const second = resumed(kept);
    talk(second);
    const { ticket } = second.client.last('ticket')!;
    assert.notDeepEqual(ticket!.ticket, kept.ticket.ticket);
    const third = resumed({ ...kept, ticket: ticket! });
    talk(third);
    assert.equal(third.client.count('established'), 1);
    assert.equal(third.client.count('eap'), 0);
  });

  test('is used once: what the session brings takes its place, or nothing (RFC 5723 §4.3.1)', () => {
    const kept = ticketOf();
    const grantsNone = (payloads: readonly Payload[]) => payloads.filter((p) => p.kind !== 'N' || p.type !== 16409);
    const pair = resumed(kept, { impair: grantsNone });
    toResponder(pair);
    toClient(pair);
    toResponder(pair);
    assert.equal(pair.client.count('ticket'), 0, 'it is not used up before there is an IKE SA');
    talk(pair);
    assert.equal(pair.client.count('established'), 1);
    assert.equal(pair.client.last('ticket')!.ticket, undefined);
  });

  /* IKE_SESSION_RESUME -->  <-- IKE_SESSION_RESUME { N(COOKIE) }  IKE_SESSION_RESUME { N(COOKIE), Ni, … } --> */
  test('a cookie goes back once', () => {
    let asked = false;
    const pair = resumed(ticketOf(), {
      impair: (payloads, { header }) => {
        if (header.exchange !== 38 || asked) return payloads;
        asked = true;
        return [notify(16390, new Uint8Array(8).fill(9))];
      },
    });
    talk(pair);
    assert.match(heard(pair)[1]!, /^38 request 0: N16390 NONCE N16413/);
    assert.equal(pair.client.count('established'), 1);
    assert.equal(pair.client.count('eap'), 0);
  });

  const refusals: Record<string, ResponderOptions> = {
    'N(TICKET_NACK)': { tickets: new TicketStore(60) },
    'an error': { impair: (payloads, { header }) => (header.exchange === 38 ? [notify(7)] : payloads) },
    nonsense: { impair: (payloads, { header }) => (header.exchange === 38 ? [notify(16404)] : payloads) },
    'one cookie after the other': {
      impair: (payloads, { header, payloads: request }) =>
        header.exchange === 38 ? [notify(16390, new Uint8Array(8).fill(request.length))] : payloads,
    },
  };
  for (const [name, options] of Object.entries(refusals)) {
    /* IKE_SESSION_RESUME -->  <-- { N(TICKET_NACK) }  a moment  IKE_SA_INIT --> … */
    test(`${name}: the full exchange, and the ticket is forgotten`, () => {
      const pair = resumed(ticketOf(), options);
      talk(pair);
      assert.equal(pair.client.phase, 'resume-await-response', 'anybody could have said that');
      pair.client.advance(300);
      talk(pair);
      assert.equal(pair.client.count('established'), 1);
      assert.ok(pair.client.count('eap') > 0);
      const fate = pair.client.actions.flatMap((action) => (action.kind === 'ticket' ? [action.ticket !== undefined] : []));
      assert.equal(fate[0], false);
      assertSameChildren(pair);
    });
  }

  test('a forged refusal before the true answer changes nothing', () => {
    const pair = resumed(ticketOf());
    toResponder(pair);
    const { spiI } = pair.client.sa.associations[0]!;
    const header = { spiI, spiR: new Uint8Array(8), exchange: 38, fromInitiator: false, response: true, messageId: 0 };
    pair.client.receive(encodeMessage({ header, payloads: [notify(16412)] }));
    toClient(pair);
    talk(pair);
    assert.equal(pair.client.count('established'), 1);
    assert.equal(pair.client.count('eap'), 0);
  });

  test('silence: the full exchange within some seconds, and the ticket is kept for another time', () => {
    const pair = resumed(ticketOf());
    pair.client.take();
    for (let i = 0; i < 20 && pair.client.phase === 'resume-await-response'; i++) {
      pair.client.advance(1000);
      if (pair.client.phase === 'resume-await-response') pair.client.take();
    }
    assert.equal(pair.client.phase, 'init-await-response');
    assert.equal(pair.client.count('ticket'), 0);
    talk(pair);
    assert.equal(pair.client.count('established'), 1);
  });

  test('somebody answers IKE_SESSION_RESUME who does not have the keys: IKE_AUTH finds out', () => {
    const kept = ticketOf();
    const stranger = new TicketStore(60);
    stranger.keep(kept.ticket.ticket, {
      suite: kept.ticket.suite,
      skD: new Uint8Array(32),
      own: kept.ticket.gatewayIdentity,
      client: kept.ticket.identity,
    });
    const pair = createPair({ ...asking, ticket: kept.ticket }, { tickets: stranger });
    toResponder(pair);
    toClient(pair);
    assert.equal(pair.client.phase, 'resume-await-proof');
    for (let i = 0; i < 20 && pair.client.phase === 'resume-await-proof'; i++) {
      pair.client.take();
      pair.client.advance(1000);
    }
    talk(pair);
    assert.equal(pair.client.count('established'), 1);
    assert.ok(pair.client.count('eap') > 0);
  });

  for (const [name, change] of Object.entries({
    'another name': (payload: { readonly kind: string }) =>
      payload.kind === 'IDr' ? ({ kind: 'IDr', identity: { type: 2, data: Uint8Array.of(1) } } as const) : undefined,
    'a wrong AUTH': (payload: { readonly kind: string }) =>
      payload.kind === 'AUTH' ? ({ kind: 'AUTH', method: 2, data: new Uint8Array(32) } as const) : undefined,
    'AUTH of another method': (payload: { readonly kind: string }) =>
      payload.kind === 'AUTH' ? ({ kind: 'AUTH', method: 13, data: new Uint8Array(32) } as const) : undefined,
  })) {
    test(`the gateway proves ${name}: not resumed`, () => {
      let first = true;
      const pair = resumed(ticketOf(), {
        impair: (payloads, { header }) => {
          if (header.exchange !== 35 || !first) return payloads;
          first = false;
          return payloads.map((payload) => change(payload) ?? payload);
        },
      });
      talk(pair);
      assert.equal(pair.client.count('established'), 1);
      assert.ok(pair.client.count('eap') > 0, 'the full exchange');
    });
  }

  test('what the gateway has deleted is not resumed', () => {
    const { first } = ticketOf();
    first.responder.deleteIke();
    talk(first);
    assert.equal(first.client.end?.kind, 'peer-closed');
    assert.equal(first.client.last('ticket')!.ticket, undefined);
  });

  /* INFORMATIONAL SK { N(TICKET_REQUEST) } -->   <-- INFORMATIONAL SK { N(TICKET_LT_OPAQUE) } */
  test('another ticket is asked for before the last one runs out', () => {
    const { first } = ticketOf({ ...asking, dpdMs: 0, ikeRekeyMs: 0, childRekeyMs: 0 }, 1000);
    first.client.advance(751_000);
    assert.equal(first.client.count('ticket'), 1);
    talk(first);
    assert.match(heard(first).at(-1)!, /^37 request \d: N16410$/);
    assert.equal(first.client.count('ticket'), 2);
  });

  test('after a rekey by the peer another one is asked for, and none is kept where none is granted', () => {
    for (const grants of [true, false]) {
      const { first } = ticketOf();
      if (!grants) delete first.responder.options.tickets;
      const before = first.client.count('ticket');
      first.responder.rekeyIke();
      talk(first);
      first.client.advance(1000);
      talk(first);
      assert.equal(first.client.actions.filter(({ kind }) => kind === 'ticket')[before]!.kind, 'ticket');
      assert.match(heard(first).at(-1)!, /^37 request \d: N16410$/);
      const { ticket } = first.client.last('ticket')!;
      if (grants) assert.deepEqual(ticket!.skD, first.responder.current.skD);
      else assert.equal(ticket, undefined);
    }
  });

  test('after a rekey of the IKE SA the new ticket belongs to the new SK_d', () => {
    const { first } = ticketOf();
    first.client.step({ kind: 'rekey-ike' });
    talk(first);
    assert.deepEqual(first.client.last('ticket')!.ticket!.skD, first.responder.current.skD);
  });
});
