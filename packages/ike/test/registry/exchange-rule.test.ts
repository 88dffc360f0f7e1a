import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  checkExchange,
  createChildTopic,
  exchangeRules,
  NotifyType,
  type ExchangeTopic,
  type Message,
  type NotifyPayload,
  type Payload,
  type Proposal,
} from '@aovpn/ike';
import { address, header } from '../message/sample.ts';

const none = new Uint8Array(0);
const proposal = (protocol: number): Proposal => ({ number: 1, protocol, spi: none, transforms: [{ type: 1, id: 28 }] });
const selectors = [{ protocol: 0, fromPort: 0, toPort: 65535, from: address('0.0.0.0'), to: address('255.255.255.255') }];
const notify = (type: number, protocol = 0, spi: Uint8Array = none): NotifyPayload => ({
  kind: 'N',
  protocol,
  spi,
  type,
  data: none,
});

const p: Record<string, Payload> = {
  SA: { kind: 'SA', proposals: [proposal(3)] },
  KE: { kind: 'KE', group: 31, data: Uint8Array.of(1) },
  Nonce: { kind: 'NONCE', data: new Uint8Array(16) },
  IDi: { kind: 'IDi', identity: { type: 2, data: none } },
  IDr: { kind: 'IDr', identity: { type: 2, data: none } },
  CERT: { kind: 'CERT', encoding: 4, data: Uint8Array.of(1) },
  CERTREQ: { kind: 'CERTREQ', encoding: 4, authorities: none },
  AUTH: { kind: 'AUTH', method: 14, data: Uint8Array.of(1) },
  EAP: { kind: 'EAP', packet: Uint8Array.of(3, 1, 0, 4) },
  CP: { kind: 'CP', type: 2, attributes: [] },
  TSi: { kind: 'TSi', selectors },
  TSr: { kind: 'TSr', selectors },
  D: { kind: 'D', protocol: 1, spis: [] },
  V: { kind: 'V', data: none },
  N: notify(NotifyType.INITIAL_CONTACT),
  error: notify(NotifyType.NO_PROPOSAL_CHOSEN),
  cookie: notify(NotifyType.COOKIE),
  rekey: notify(NotifyType.REKEY_SA, 3, new Uint8Array(4).fill(1)),
  unknown: { kind: 'unknown', type: 200, critical: false, data: none },
};

const exchanges: Record<ExchangeTopic, number> = {
  'ike-sa-init': 34,
  'ike-intermediate': 43,
  'ike-intermediate-ppk': 43,
  'ike-auth-first': 35,
  'ike-auth-eap-only': 35,
  'ike-auth-eap': 35,
  'ike-auth-final': 35,
  'ike-session-resume': 38,
  'ike-auth-resumed': 35,
  'ike-auth-childless': 35,
  'ike-auth-final-childless': 35,
  'ike-auth-round': 35,
  'ike-auth-next': 35,
  'create-child': 36,
  'rekey-child': 36,
  'rekey-ike': 36,
  'ike-followup-ke': 44,
  informational: 37,
};

function messageOf(topic: ExchangeTopic, response: boolean, notation: string): Message {
  const payloads = notation === '' ? [] : notation.split(', ').map((name) => p[name] ?? assert.fail(name));
  return { header: { ...header, exchange: exchanges[topic], response }, payloads };
}

/** In the RFC's notation: what each exchange looks like when all is well. */
const good: readonly (readonly [topic: ExchangeTopic, response: boolean, notation: string])[] = [
  ['ike-sa-init', false, 'SA, KE, Nonce'],
  ['ike-sa-init', false, 'cookie, SA, KE, Nonce, N, N, V'],
  ['ike-sa-init', true, 'SA, KE, Nonce'],
  ['ike-sa-init', true, 'SA, KE, Nonce, CERTREQ, CERTREQ, N, N, V, unknown'],
  ['ike-sa-init', true, 'cookie'],
  ['ike-sa-init', true, 'error'],
  ['ike-intermediate', false, 'KE'],
  ['ike-intermediate', true, 'KE, N'],
  ['ike-intermediate-ppk', false, 'N'],
  ['ike-intermediate-ppk', true, 'N'],
  ['ike-followup-ke', false, 'KE, N'],
  ['ike-followup-ke', true, 'KE, N'],
  ['ike-auth-first', false, 'IDi, CERT, CERT, CERTREQ, IDr, AUTH, CP, SA, TSi, TSr, N'],
  ['ike-auth-first', false, 'IDi, CERTREQ, CP, SA, TSi, TSr'],
  ['ike-auth-first', true, 'IDr, CERT, AUTH, CP, SA, TSi, TSr, N'],
  ['ike-auth-first', true, 'IDr, CERT, CERT, AUTH, EAP'],
  ['ike-auth-first', true, 'IDr, CERT, AUTH, error'],
  ['ike-auth-first', true, 'error'],
  ['ike-auth-eap-only', false, 'IDi, CERTREQ, CP, SA, TSi, TSr, N'],
  ['ike-auth-eap-only', true, 'IDr, EAP'],
  ['ike-auth-eap', false, 'EAP'],
  ['ike-auth-eap', true, 'EAP, N'],
  ['ike-auth-eap', true, 'error'],
  ['ike-auth-final', false, 'AUTH'],
  ['ike-auth-final', true, 'AUTH, CP, SA, TSi, TSr, N'],
  ['ike-session-resume', false, 'Nonce, N, N'],
  ['ike-session-resume', false, 'cookie, Nonce, N'],
  ['ike-session-resume', true, 'Nonce, N'],
  ['ike-session-resume', true, 'cookie'],
  ['ike-auth-resumed', false, 'IDi, AUTH, CP, SA, TSi, TSr, N'],
  ['ike-auth-resumed', true, 'IDr, AUTH, CP, SA, TSi, TSr, N'],
  ['ike-auth-childless', false, 'IDi, CERT, CERTREQ, AUTH, CP'],
  ['ike-auth-childless', true, 'IDr, CERT, AUTH, CP'],
  ['ike-auth-childless', true, 'IDr, CERT, AUTH, EAP'],
  ['ike-auth-final-childless', false, 'AUTH'],
  ['ike-auth-final-childless', true, 'AUTH, CP'],
  ['ike-auth-round', false, 'IDi, CERT, CERTREQ, AUTH, CP, SA, TSi, TSr, N, N'],
  ['ike-auth-round', true, 'IDr, CERT, AUTH'],
  ['ike-auth-next', false, 'IDi'],
  ['ike-auth-next', true, 'EAP'],
  ['create-child', false, 'SA, Nonce, KE, TSi, TSr'],
  ['create-child', true, 'SA, Nonce, TSi, TSr'],
  ['rekey-child', false, 'rekey, SA, Nonce, TSi, TSr'],
  ['rekey-child', true, 'N, SA, Nonce, KE, TSi, TSr'],
  ['rekey-child', true, 'error'],
  ['rekey-ike', false, 'SA, Nonce, KE'],
  ['rekey-ike', true, 'SA, Nonce, KE'],
  ['informational', false, ''],
  ['informational', true, ''],
  ['informational', false, 'D, D, N, CP'],
];
for (const [topic, response, notation] of good) {
  test(`${topic} ${response ? '<--' : '-->'} HDR, ${notation}`, () => {
    assert.deepEqual(checkExchange(messageOf(topic, response, notation), topic), []);
  });
}

suite('violations', () => {
  const bad: readonly (readonly [topic: ExchangeTopic, response: boolean, notation: string, what: string])[] = [
    ['ike-sa-init', true, 'SA, Nonce', 'KE is missing'],
    ['ike-sa-init', true, 'KE, Nonce', 'SA is missing'],
    ['ike-sa-init', true, 'SA, KE, KE, Nonce', 'KE appears 2 times'],
    ['ike-sa-init', true, 'SA, KE, Nonce, AUTH', 'AUTH has no place in this message'],
    ['ike-sa-init', true, 'cookie, EAP', 'EAP has no place in this message'],
    ['ike-sa-init', false, 'cookie', 'SA is missing'],
    ['ike-auth-first', true, 'IDr, CERT, AUTH, EAP, SA, TSi, TSr', 'SA has no place in this message'],
    ['ike-auth-first', true, 'IDr, CERT, EAP', 'AUTH is missing'],
    ['ike-auth-first', true, 'AUTH, SA, TSi, TSr', 'IDr is missing'],
    ['ike-auth-first', true, 'IDr, SA, TSi, TSr', 'AUTH is missing'],
    ['ike-auth-first', true, 'IDr, AUTH, SA, TSi', 'TSr is missing'],
    ['ike-auth-first', true, 'IDr, AUTH, AUTH, SA, TSi, TSr', 'AUTH appears 2 times'],
    ['ike-auth-first', true, 'error, AUTH, AUTH', 'AUTH appears 2 times'],
    ['ike-auth-eap-only', true, 'IDr, AUTH, EAP', 'AUTH has no place in this message'],
    ['ike-auth-eap-only', false, 'IDi, AUTH, SA, TSi, TSr', 'AUTH has no place in this message'],
    ['ike-auth-eap', true, 'EAP, EAP', 'EAP appears 2 times'],
    ['ike-auth-eap', true, 'AUTH, SA, TSi, TSr', 'EAP is missing'],
    ['ike-auth-final', true, 'SA, TSi, TSr', 'AUTH is missing'],
    ['ike-auth-final', true, 'AUTH, EAP, SA, TSi, TSr', 'EAP has no place in this message'],
    ['ike-session-resume', true, 'SA, KE, Nonce', 'SA has no place in this message'],
    ['ike-session-resume', true, 'N', 'NONCE is missing'],
    ['ike-auth-resumed', true, 'IDr, CERT, AUTH, SA, TSi, TSr', 'CERT has no place in this message'],
    ['ike-auth-resumed', true, 'IDr, AUTH, EAP', 'EAP has no place in this message'],
    ['ike-auth-childless', true, 'IDr, CERT, AUTH, SA, TSi, TSr', 'SA has no place in this message'],
    ['ike-auth-round', true, 'IDr, CERT, AUTH, SA, TSi, TSr', 'SA has no place in this message'],
    ['ike-auth-round', true, 'IDr, CERT', 'AUTH is missing'],
    ['ike-auth-next', true, 'IDr, AUTH, EAP', 'AUTH has no place in this message'],
    ['create-child', true, 'SA, TSi, TSr', 'NONCE is missing'],
    ['create-child', false, 'SA, Nonce, AUTH, TSi, TSr', 'AUTH has no place in this message'],
    ['rekey-ike', true, 'SA, Nonce', 'KE is missing'],
    ['rekey-ike', false, 'SA, Nonce, KE, TSi', 'TSi has no place in this message'],
    ['informational', true, 'SA', 'SA has no place in this message'],
    ['informational', false, 'EAP', 'EAP has no place in this message'],
  ];
  for (const [topic, response, notation, what] of bad) {
    test(`${topic} ${response ? '<--' : '-->'} HDR, ${notation}: ${what}`, () => {
      const violations = checkExchange(messageOf(topic, response, notation), topic);
      assert.ok(
        violations.some((violation) => violation.what === what),
        JSON.stringify(violations),
      );
      assert.match(violations[0]!.reference, /RFC (?:7296|5998|5723|6023|4739) §/);
    });
  }

  test('CVE-2013-6467: each payload that must be there, left out', () => {
    for (const [topic, response, notation] of good) {
      const names = notation.split(', ');
      const rule = exchangeRules.find(
        (row) => row.topic === topic && row.response === response && (row.when ? names.includes(row.when) : true),
      )!;
      if (names.includes('error') || names.includes('cookie')) continue;
      for (const { payload, min } of rule.payloads) {
        if (min === 0 || payload === rule.when) continue;
        const name = payload === 'NONCE' ? 'Nonce' : payload;
        const rest = messageOf(topic, response, names.filter((each) => each !== name).join(', '));
        assert.ok(checkExchange(rest, topic).length > 0, `${notation} without ${name}`);
      }
    }
  });

  test('another exchange than the topic’s', () => {
    for (const exchange of [0, 34, 36, 37, 255]) {
      const message = messageOf('ike-auth-first', true, 'IDr, AUTH, SA, TSi, TSr');
      assert.equal(checkExchange({ ...message, header: { ...message.header, exchange } }, 'ike-auth-first').length, 1);
    }
  });

  // CVE-2023-38710: a REKEY_SA of protocol 0 or 1, or without SPI, made a daemon restart.
  test('REKEY_SA must name one CHILD_SA', () => {
    const rest = messageOf('rekey-child', false, 'SA, Nonce, TSi, TSr');
    const check = (...notifies: NotifyPayload[]): number =>
      checkExchange({ ...rest, payloads: [...notifies, ...rest.payloads] }, 'rekey-child').length;
    const spi = new Uint8Array(4).fill(7);
    assert.equal(check(notify(NotifyType.REKEY_SA, 3, spi)), 0);
    assert.equal(check(notify(NotifyType.REKEY_SA, 2, spi)), 0);
    for (const protocol of [0, 1, 4, 255]) assert.equal(check(notify(NotifyType.REKEY_SA, protocol, spi)), 1);
    assert.equal(check(notify(NotifyType.REKEY_SA, 3)), 1);
    assert.equal(check(notify(NotifyType.REKEY_SA, 3, new Uint8Array(8))), 1);
    assert.equal(check(notify(NotifyType.REKEY_SA, 3, spi), notify(NotifyType.REKEY_SA, 3, spi)), 1);
    assert.equal(check(), 1);
  });

  test('no more certificates than we take', () => {
    const certificates = (count: number): string => `IDr, ${'CERT, '.repeat(count)}AUTH, SA, TSi, TSr`;
    assert.equal(checkExchange(messageOf('ike-auth-first', true, certificates(16)), 'ike-auth-first').length, 0);
    assert.equal(checkExchange(messageOf('ike-auth-first', true, certificates(17)), 'ike-auth-first').length, 1);
  });
});

test('the form of a CREATE_CHILD_SA request', () => {
  const topicOf = (...payloads: Payload[]): string => createChildTopic({ header: { ...header, exchange: 36 }, payloads });
  const ike: Payload = { kind: 'SA', proposals: [proposal(1)] };
  assert.equal(topicOf(p['SA']!, p['Nonce']!, p['TSi']!, p['TSr']!), 'create-child');
  assert.equal(topicOf(p['SA']!, p['rekey']!), 'rekey-child');
  assert.equal(topicOf(ike, p['Nonce']!, p['KE']!), 'rekey-ike');
  assert.equal(topicOf(ike, p['rekey']!), 'rekey-child', 'which the rules then refuse, or the proposals');
  assert.equal(topicOf(), 'create-child');
});
