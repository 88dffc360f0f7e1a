import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  acceptChildProposal,
  acceptIkeProposal,
  buildChildProposals,
  buildIkeProposals,
  selectChildProposal,
  selectIkeProposal,
  suiteName,
  type ChildProposalConfig,
  type IkeProposalConfig,
  type Proposal,
  type Transform,
} from '@aovpn/ike';

const aead: IkeProposalConfig = {
  encr: [
    { id: 20, keyBits: 256 },
    { id: 28, keyBits: 256 },
  ],
  integ: [],
  prf: [5, 6],
  ke: [31, 19],
};
const classic: IkeProposalConfig = { encr: [{ id: 12, keyBits: 256 }], integ: [12], prf: [5], ke: [14] };
const espAead: ChildProposalConfig = { encr: [{ id: 20, keyBits: 128 }], integ: [], ke: [] };
const espClassic: ChildProposalConfig = {
  encr: [
    { id: 12, keyBits: 256 },
    { id: 3, keyBits: 192 },
  ],
  integ: [12, 2],
  ke: [],
};

const spi8 = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const spi4 = Uint8Array.of(0xc0, 0xff, 0xee, 0x01);
const none = new Uint8Array(0);
const answer = (
  number: number,
  transforms: readonly Transform[],
  spi: Uint8Array = none,
  protocol = spi.length === 4 ? 3 : 1,
): Proposal => ({ number, protocol, spi, transforms });
const problem = (outcome: object): string =>
  'problem' in outcome ? String(outcome.problem) : assert.fail(`accepted: ${JSON.stringify(outcome)}`);

const gcm = { type: 1, id: 20, keyBits: 256 };
const sha256 = { type: 2, id: 5 };
const x25519 = { type: 4, id: 31 };
const gcm128 = { type: 1, id: 20, keyBits: 128 };
const noEsn = { type: 5, id: 0 };
const esn = { type: 5, id: 1 };

suite('building', () => {
  test('IKE: one proposal a configuration, key length only where there is a choice', () => {
    assert.deepEqual(buildIkeProposals([aead, classic]), [
      answer(1, [gcm, { type: 1, id: 28 }, sha256, { type: 2, id: 6 }, x25519, { type: 4, id: 19 }]),
      answer(
        2,
        [{ type: 1, id: 12, keyBits: 256 }, sha256, { type: 3, id: 12 }, { type: 4, id: 14 }].sort((a, b) => order(a) - order(b)),
      ),
    ]);
    assert.deepEqual(buildIkeProposals([aead], spi8)[0]!.spi, spi8);
  });

  test('CHILD: no key exchange in IKE_AUTH, the configured groups or the IKE SA’s after it', () => {
    const groups = (config: ChildProposalConfig, withKe: boolean): number[] =>
      buildChildProposals([config], 0xc0ffee01, withKe, 19)[0]!
        .transforms.filter(({ type }) => type === 4)
        .map(({ id }) => id);
    assert.deepEqual(buildChildProposals([espAead], 0xc0ffee01, false), [answer(1, [gcm128, esn, noEsn], spi4)]);
    assert.deepEqual(groups({ ...espAead, ke: [14, 31] }, false), []);
    assert.deepEqual(groups({ ...espAead, ke: [14, 31] }, true), [14, 31]);
    assert.deepEqual(groups({ ...espAead, ke: 'ike' }, true), [19]);
    assert.deepEqual(groups(espAead, true), []);
  });

  test('CHILD: extended sequence numbers are offered and can be left out, unless the configuration says not to', () => {
    const [plain] = buildChildProposals([{ ...espAead, esn: false }], 0xc0ffee01, false);
    assert.deepEqual(plain, answer(1, [gcm128, noEsn], spi4));
    const accepted = acceptChildProposal(buildChildProposals([espAead], 1, false), answer(1, [gcm128, esn], spi4));
    assert.equal('esn' in accepted && accepted.esn, true);
  });

  test('AEAD and other ciphers do not mix (RFC 7296 §3.3)', () => {
    const mixed = { ...aead, encr: [...aead.encr, ...classic.encr] };
    for (const config of [mixed, { ...aead, integ: [12] }, { ...classic, integ: [] }, { ...classic, encr: [] }]) {
      assert.throws(() => buildIkeProposals([config]), RangeError);
    }
  });
});

suite('accepting an answer for the IKE SA', () => {
  const offer = buildIkeProposals([aead, classic]);

  test('what was offered', () => {
    assert.deepEqual(acceptIkeProposal(offer, answer(1, [gcm, sha256, x25519])), {
      encr: 20,
      keyBits: 256,
      integ: 0,
      prf: 5,
      ke: 31,
      spi: none,
    });
    assert.deepEqual(acceptIkeProposal(offer, [answer(1, [x25519, { type: 1, id: 28 }, sha256])]), {
      encr: 28,
      keyBits: 256,
      integ: 0,
      prf: 5,
      ke: 31,
      spi: none,
    });
    const second = answer(2, [{ type: 1, id: 12, keyBits: 256 }, sha256, { type: 3, id: 12 }, { type: 4, id: 14 }]);
    assert.deepEqual(acceptIkeProposal(offer, second), { encr: 12, keyBits: 256, integ: 12, prf: 5, ke: 14, spi: none });
  });

  const wrong: readonly (readonly [what: string, chosen: Proposal | readonly Proposal[]])[] = [
    ['no proposal', []],
    ['two proposals', [answer(1, [gcm, sha256, x25519]), answer(2, [])]],
    ['a number that was not offered', answer(3, [gcm, sha256, x25519])],
    ['the number of the other proposal', answer(2, [gcm, sha256, x25519])],
    ['another protocol', answer(1, [gcm, sha256, x25519], none, 3)],
    ['an SPI where there is none', answer(1, [gcm, sha256, x25519], spi8)],
    ['another key length', answer(1, [gcm128, sha256, x25519])],
    ['no key length', answer(1, [{ type: 1, id: 20 }, sha256, x25519])],
    ['a key length where there is none', answer(1, [{ type: 1, id: 28, keyBits: 256 }, sha256, x25519])],
    ['two ciphers', answer(1, [gcm, { type: 1, id: 28 }, sha256, x25519])],
    ['two PRFs', answer(1, [gcm, sha256, { type: 2, id: 6 }, x25519])],
    ['the same transform twice', answer(1, [gcm, sha256, sha256, x25519])],
    ['no cipher', answer(1, [sha256, x25519])],
    ['no PRF', answer(1, [gcm, x25519])],
    ['no key exchange (CVE-2016-5391)', answer(1, [gcm, sha256])],
    ['a key exchange method that was not offered', answer(1, [gcm, sha256, { type: 4, id: 2 }])],
    ['key exchange NONE', answer(1, [gcm, sha256, { type: 4, id: 0 }])],
    ['integrity with an AEAD', answer(1, [gcm, sha256, { type: 3, id: 12 }, x25519])],
    ['no integrity without an AEAD', answer(2, [{ type: 1, id: 12, keyBits: 256 }, sha256, { type: 4, id: 14 }])],
    ['an unknown transform type', answer(1, [gcm, sha256, x25519, { type: 77, id: 1 }])],
    ['an attribute that the transform cannot have', answer(1, [{ ...gcm, foreignAttribute: true }, sha256, x25519])],
  ];
  for (const [what, chosen] of wrong) test(`refused: ${what}`, () => assert.ok(problem(acceptIkeProposal(offer, chosen))));

  test('a rekey needs an SPI of 8 octets that is not zero', () => {
    const rekey = buildIkeProposals([aead], spi8);
    assert.deepEqual(acceptIkeProposal(rekey, answer(1, [gcm, sha256, x25519], spi8, 1)), {
      encr: 20,
      keyBits: 256,
      integ: 0,
      prf: 5,
      ke: 31,
      spi: spi8,
    });
    assert.ok(problem(acceptIkeProposal(rekey, answer(1, [gcm, sha256, x25519]))));
    assert.ok(problem(acceptIkeProposal(rekey, answer(1, [gcm, sha256, x25519], new Uint8Array(8), 1))));
  });
});

suite('accepting an answer for a CHILD_SA', () => {
  const offer = buildChildProposals([espAead, espClassic], 1234, false);
  const withKe = buildChildProposals([{ ...espAead, ke: [19] }], 1234, true);
  const withoutEsn = buildChildProposals([{ ...espAead, esn: false }], 1234, false);

  test('what was offered', () => {
    assert.deepEqual(acceptChildProposal(offer, answer(1, [gcm128, noEsn], spi4)), {
      suite: { encr: 20, keyBits: 128, integ: 0 },
      ke: 0,
      additionalKe: [],
      esn: false,
      spi: 0xc0ffee01,
    });
    assert.deepEqual(acceptChildProposal(offer, answer(2, [{ type: 1, id: 3 }, { type: 3, id: 2 }, noEsn], spi4)), {
      suite: { encr: 3, keyBits: 192, integ: 2 },
      ke: 0,
      additionalKe: [],
      esn: false,
      spi: 0xc0ffee01,
    });
    const accepted = acceptChildProposal(withKe, answer(1, [gcm128, { type: 4, id: 19 }, noEsn], spi4));
    assert.equal('ke' in accepted && accepted.ke, 19);
  });

  test('"no extended sequence numbers" may go without saying', () => {
    assert.ok('suite' in acceptChildProposal(offer, answer(1, [gcm128], spi4)));
  });

  const wrong: readonly (readonly [what: string, offered: readonly Proposal[], chosen: Proposal])[] = [
    ['a key exchange that was not offered', offer, answer(1, [gcm128, { type: 4, id: 19 }, noEsn], spi4)],
    ['a key exchange left out: perfect forward secrecy is not given away', withKe, answer(1, [gcm128, noEsn], spi4)],
    ['key exchange NONE', withKe, answer(1, [gcm128, { type: 4, id: 0 }, noEsn], spi4)],
    ['extended sequence numbers that were not offered', withoutEsn, answer(1, [gcm128, esn], spi4)],
    ['both kinds of sequence numbers', offer, answer(1, [gcm128, esn, noEsn], spi4)],
    ['SPI 0', offer, answer(1, [gcm128, noEsn], new Uint8Array(4))],
    ['SPI 255', offer, answer(1, [gcm128, noEsn], Uint8Array.of(0, 0, 0, 255))],
    ['an SPI of 8 octets', offer, answer(1, [gcm128, noEsn], spi8, 3)],
    ['AH', offer, answer(1, [gcm128, noEsn], spi4, 2)],
    ['a PRF', offer, answer(1, [gcm128, noEsn, sha256], spi4)],
    ['NULL encryption', offer, answer(1, [{ type: 1, id: 11 }, noEsn], spi4)],
    ['CBC without integrity', offer, answer(2, [{ type: 1, id: 12, keyBits: 256 }, noEsn], spi4)],
  ];
  for (const [what, offered, chosen] of wrong)
    test(`refused: ${what}`, () => assert.ok(problem(acceptChildProposal(offered, chosen))));
});

suite('additional key exchanges (RFC 9370 §2.2.1)', () => {
  const hybrid: IkeProposalConfig = {
    ...aead,
    additionalKe: [
      [36, 37],
      [20, 0],
    ],
  };
  const mlKem = { type: 6, id: 36 };
  const p384 = { type: 7, id: 20 };
  const noSecond = { type: 7, id: 0 };
  const offer = buildIkeProposals([hybrid, aead]);

  test('additional key exchanges are chosen as they were offered', () => {
    assert.deepEqual(offer[0]!.transforms.slice(-4), [mlKem, { type: 6, id: 37 }, p384, noSecond]);
    const accepted = (transforms: readonly Transform[]): unknown => acceptIkeProposal(offer, answer(1, transforms));
    const both = accepted([gcm, sha256, x25519, mlKem, p384]);
    assert.deepEqual((both as { additionalKe: unknown }).additionalKe, [36, 20]);
    for (const second of [[noSecond], []]) {
      const one = accepted([gcm, sha256, x25519, mlKem, ...second]);
      assert.deepEqual((one as { additionalKe: unknown }).additionalKe, [36]);
    }
    assert.match(problem(accepted([gcm, sha256, x25519, p384]) as object), /no transform of type 6/);
    assert.match(problem(accepted([gcm, sha256, x25519, { type: 6, id: 19 }, p384]) as object), /was not offered/);
    assert.match(problem(acceptIkeProposal(offer, answer(2, [gcm, sha256, x25519, mlKem]))), /was not offered/);
    const plain = acceptIkeProposal(offer, answer(2, [gcm, sha256, x25519]));
    assert.ok(!('problem' in plain) && plain.additionalKe === undefined);
  });

  test('one key exchange method twice is refused', () => {
    const twice = buildIkeProposals([{ ...aead, additionalKe: [[31], [36]] }]);
    assert.match(
      problem(acceptIkeProposal(twice, answer(1, [gcm, sha256, x25519, { type: 6, id: 31 }, { type: 7, id: 36 }]))),
      /twice/,
    );
  });

  test('as responder: wanted ones are not left out, unwanted ones are declined where the peer allows it', () => {
    const peer = buildIkeProposals([hybrid], spi8);
    const chosen = selectIkeProposal([{ ...aead, additionalKe: [[36]] }], peer);
    assert.ok(!('problem' in chosen));
    assert.deepEqual(chosen.additionalKe, [36]);
    assert.deepEqual(chosen.reply.transforms.at(-1), noSecond);
    assert.ok('problem' in selectIkeProposal([aead], peer));
    assert.ok('problem' in selectIkeProposal([{ ...aead, additionalKe: [[36]] }], buildIkeProposals([aead], spi8)));
  });

  test('in IKE_AUTH proposals that differ in key exchanges alone are one', () => {
    const configs = [{ ...espAead, ke: [31], additionalKe: [[36]] }, { ...espAead, ke: [31] }, espAead, espClassic];
    assert.equal(buildChildProposals(configs, 0x1000, false).length, 2);
    assert.equal(buildChildProposals(configs, 0x1000, true).length, 4);
  });

  test('the name of a suite has them', () => {
    assert.equal(
      suiteName({ encr: 20, keyBits: 256, prf: 5, integ: 0, ke: 31, additionalKe: [36] }),
      'AES-GCM-16-256 / PRF-HMAC-SHA2-256 / X25519 + ML-KEM-768',
    );
  });
});

suite('selecting as responder', () => {
  test('IKE: what we select, the other end accepts', () => {
    const offer = buildIkeProposals([classic, aead], spi8);
    const selected = selectIkeProposal([aead, classic], offer);
    assert.ok('reply' in selected);
    assert.deepEqual(
      [selected.reply.number, selected.encr, selected.ke],
      [2, 20, 31],
      'our own preference, not the order of the offer',
    );
    assert.deepEqual(selected.spi, spi8);
    const { reply, ...suite } = selected;
    assert.deepEqual(acceptIkeProposal(offer, { ...reply, spi: Uint8Array.from(spi8).reverse() }), {
      ...suite,
      spi: Uint8Array.from(spi8).reverse(),
    });
  });

  test('IKE: the group of the KE payload wins where it is one of ours', () => {
    const offer = buildIkeProposals([aead], spi8);
    const groupFor = (sent: number): unknown => {
      const selected = selectIkeProposal([aead], offer, sent);
      return 'ke' in selected && selected.ke;
    };
    assert.deepEqual([groupFor(19), groupFor(31), groupFor(2)], [19, 31, 31]);
  });

  test('IKE: nothing in common, no SPI, another protocol', () => {
    assert.ok(problem(selectIkeProposal([aead], buildIkeProposals([classic], spi8))));
    assert.ok(problem(selectIkeProposal([aead], buildIkeProposals([aead]))));
    assert.ok(problem(selectIkeProposal([aead], buildIkeProposals([aead], new Uint8Array(8)))));
    assert.ok(problem(selectIkeProposal([aead], buildChildProposals([espAead], 1234, true))));
    assert.ok(problem(selectIkeProposal([aead], [])));
  });

  test('IKE: an offer without a key exchange is none (CVE-2016-5391)', () => {
    assert.ok(problem(selectIkeProposal([aead], [answer(1, [gcm, sha256], spi8, 1)])));
  });

  test('IKE: integrity NONE beside an AEAD is fine, transform types of later RFCs are not', () => {
    assert.ok('reply' in selectIkeProposal([aead], [answer(1, [gcm, sha256, { type: 3, id: 0 }, x25519], spi8, 1)]));
    assert.ok(problem(selectIkeProposal([aead], [answer(1, [gcm, sha256, x25519, { type: 6, id: 36 }], spi8, 1)])));
  });

  test('CHILD: what we select, the other end accepts', () => {
    const offer = buildChildProposals([espClassic, espAead], 5678, false);
    const selected = selectChildProposal([espAead, espClassic], offer);
    assert.ok('reply' in selected);
    assert.deepEqual([selected.reply.number, selected.spi, selected.ke, selected.esn], [2, 5678, 0, true]);
    assert.ok('suite' in acceptChildProposal(offer, { ...selected.reply, spi: spi4 }));
  });

  const groupOf = (own: ChildProposalConfig['ke'], theirs: readonly number[], options = {}): number | string => {
    const offer = buildChildProposals([{ ...espAead, ke: theirs }], 5678, true);
    const selected = selectChildProposal([{ ...espAead, ke: own }], offer, options);
    return 'problem' in selected ? 'refused' : selected.ke;
  };

  test('CHILD: perfect forward secrecy that we want cannot be left out', () => {
    assert.equal(groupOf([19], []), 'refused');
    assert.equal(groupOf([19], [14]), 'refused');
    assert.equal(groupOf([19, 14], [14, 19]), 19);
    assert.equal(groupOf([19, 14], [14, 19], { sentGroup: 14 }), 14);
    assert.equal(groupOf('ike', [31, 19], { ikeGroup: 19 }), 19);
    assert.equal(groupOf('ike', [31], { ikeGroup: 19 }), 'refused');
    assert.equal(groupOf([19], [0, 19]), 19);
    assert.equal(groupOf([19], [0]), 'refused');
  });

  test('CHILD: perfect forward secrecy that only the peer wants is done, unless the group is weak', () => {
    assert.equal(groupOf([], []), 0);
    assert.equal(groupOf([], [14, 19], { ikeGroup: 19 }), 19);
    assert.equal(groupOf([], [14, 19], { ikeGroup: 19, sentGroup: 14 }), 14);
    assert.equal(groupOf([], [0, 14]), 0);
    assert.equal(groupOf([], [0, 14], { sentGroup: 14 }), 14);
    assert.equal(groupOf([], [2]), 'refused');
    assert.equal(groupOf([], [2], { ikeGroup: 2 }), 2, 'as weak as the IKE SA was allowed to be');
  });

  test('CHILD: extended sequence numbers where the peer offers them and our configuration does not refuse', () => {
    const offer = (ids: readonly number[]): Proposal[] => [answer(1, [gcm128, ...ids.map((id) => ({ type: 5, id }))], spi4)];
    const chosen = (ids: readonly number[], config = espAead): boolean | undefined => {
      const selected = selectChildProposal([config], offer(ids));
      return 'esn' in selected ? selected.esn : undefined;
    };
    assert.equal(chosen([1, 0]), true);
    assert.equal(chosen([1]), true);
    assert.equal(chosen([0]), false);
    assert.equal(chosen([]), false);
    assert.equal(chosen([1, 0], { ...espAead, esn: false }), false);
    assert.equal(chosen([1], { ...espAead, esn: false }), undefined);
  });

  test('CHILD: transforms that we could not read are not chosen', () => {
    assert.ok(problem(selectChildProposal([espAead], [answer(1, [{ ...gcm128, foreignAttribute: true }, noEsn], spi4)])));
  });
});

test('names of suites', () => {
  assert.equal(suiteName({ encr: 20, keyBits: 256, integ: 0, prf: 5, ke: 31 }), 'AES-GCM-16-256 / PRF-HMAC-SHA2-256 / X25519');
  assert.equal(suiteName({ encr: 12, keyBits: 256, integ: 12 }), 'AES-CBC-256 / HMAC-SHA2-256-128');
  assert.equal(suiteName({ encr: 28, keyBits: 256, integ: 0, ke: 0 }), 'ChaCha20-Poly1305');
  assert.equal(suiteName({ encr: 3, keyBits: 192, integ: 2, prf: 2, ke: 2 }), '3DES / HMAC-SHA1-96 / PRF-HMAC-SHA1 / MODP1024');
});

/** Ciphers come with their integrity algorithms. */
function order({ type }: Transform): number {
  return [1, 3, 2, 4].indexOf(type);
}
