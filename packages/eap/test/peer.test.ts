import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { encodeUtf8, fromHex } from '@aovpn/bytes';
import type { EapEvent } from '../src/peer-contract.ts';
import { startEapPeer, stepEap } from '../src/peer.ts';
import { testCrypto } from './crypto.ts';
import { failure, mschap, mschapChallenge, mschapText, request, success, tls } from './packet-writer.ts';
import { assertFailed, assertHex, find, passwordUser, Script, tlsUser } from './script.ts';

suite('EAP peer: Identity, Notification, Nak (RFC 3748 §5)', () => {
  test('Identity', () => {
    const script = new Script(passwordUser);
    assertHex(script.reply(request(7, 1)), '02 07 0009 01 55736572');
  });

  test('Identity again before the method, with a new identifier', () => {
    const script = new Script(passwordUser);
    script.reply(request(1, 1));
    assertHex(script.reply(request(2, 1)), '02 02 0009 01 55736572');
  });

  test('Identity after the method had begun', () => {
    const script = new Script(passwordUser);
    script.packet(mschapChallenge(1, new Uint8Array(16)));
    script.step({ kind: 'secret', request: 1, secret: encodeUtf8('x') });
    assertFailed(script.packet(request(2, 1)), 'out-of-order');
  });

  test('Notification: acknowledged, shown without control characters', () => {
    const script = new Script(passwordUser);
    const actions = script.packet(request(3, 2, encodeUtf8('maintenance\r\n\u001b[31mtonight')));
    assert.equal(find(actions, 'notification').text, 'maintenance [31mtonight');
    assertHex(find(actions, 'reply').packet, '02 03 0005 02');
  });

  test('another method: Nak for ours, then Failure is method-mismatch', () => {
    const script = new Script(passwordUser);
    assertHex(script.reply(request(4, 25, Uint8Array.of(0x20))), '02 04 0006 03 1a');
    assertFailed(script.packet(failure(4)), 'method-mismatch', /EAP type 25/);
  });

  test('EAP-GTC outside of a tunnel, which would be a password in clear: Nak, and nobody is asked (RFC 3748 §5.6)', () => {
    const script = new Script(passwordUser);
    const actions = script.packet(request(4, 6, encodeUtf8('Password: ')));
    assert.ok(!actions.some((action) => action.kind === 'need-secret'));
    assertHex(find(actions, 'reply').packet, '02 04 0006 03 1a');
  });

  test('the same method again after the Nak', () => {
    const script = new Script(passwordUser);
    script.reply(request(4, 25));
    assertFailed(script.packet(request(5, 25)), 'method-mismatch');
  });

  test('the wanted method after the Nak', () => {
    const script = new Script(passwordUser);
    script.reply(request(4, 25));
    find(script.packet(mschapChallenge(5, new Uint8Array(16))), 'need-secret');
  });

  test('expanded type of another vendor: expanded Nak', () => {
    const script = new Script(passwordUser);
    const packet = fromHex('01 09 000d fe 000137 00000001 aa');
    assertHex(script.reply(packet), '02 09 0014 fe 000000 00000003 fe 000000 0000001a');
  });

  test('our method in expanded form is answered in expanded form', () => {
    const script = new Script(tlsUser);
    const asked = find(script.packet(fromHex('01 09 000d fe 000000 0000000d 20')), 'tls-start');
    const actions = script.step(handshaking(asked.request, Uint8Array.of(22)));
    assertHex(find(actions, 'reply').packet, '02 09 000e fe 000000 0000000d 00 16');
  });

  test('another method after ours had begun', () => {
    const script = new Script(passwordUser);
    script.packet(mschapChallenge(1, new Uint8Array(16)));
    script.step({ kind: 'secret', request: 1, secret: encodeUtf8('x') });
    assertFailed(script.packet(request(2, 25)), 'out-of-order');
  });

  test('a Nak as Request', () => assertFailed(new Script(passwordUser).packet(request(1, 3)), 'malformed'));
});

suite('EAP peer: repetition', () => {
  test('a repeated Request gets the same Response', () => {
    const script = new Script(passwordUser);
    const first = script.reply(request(1, 1));
    assert.deepEqual(script.reply(request(1, 1)), first);
  });

  test('a repeated challenge gets the same Response, not a new peer challenge', () => {
    let count = 0;
    const script = new Script(
      passwordUser,
      testCrypto((length) => new Uint8Array(length).fill(++count)),
    );
    script.packet(mschapChallenge(1, new Uint8Array(16)));
    const first = find(script.step({ kind: 'secret', request: 1, secret: encodeUtf8('x') }), 'reply').packet;
    assert.deepEqual(script.reply(mschapChallenge(1, new Uint8Array(16))), first);
    assert.equal(count, 1);
  });

  test('a Request repeated while its answer is awaited is ignored', () => {
    const script = new Script(passwordUser);
    script.packet(mschapChallenge(1, new Uint8Array(16)));
    assert.deepEqual(script.packet(mschapChallenge(1, new Uint8Array(16))), []);
  });

  test('a different Request while an answer is awaited', () => {
    const script = new Script(passwordUser);
    script.packet(mschapChallenge(1, new Uint8Array(16)));
    assertFailed(script.packet(mschapChallenge(2, new Uint8Array(16))), 'out-of-order');
  });

  test('an answer with another number is ignored', () => {
    const script = new Script(passwordUser);
    script.packet(mschapChallenge(1, new Uint8Array(16)));
    assert.deepEqual(script.step({ kind: 'secret', request: 99, secret: encodeUtf8('x') }), []);
    find(script.step({ kind: 'secret', request: 1, secret: encodeUtf8('x') }), 'reply');
  });

  test('more Requests than any conversation needs', () => {
    const script = new Script(passwordUser);
    for (let i = 0; i < 1000; i++) script.reply(request(i & 0xff, 1, Uint8Array.of(i >> 8, i & 0xff)));
    assertFailed(script.packet(request(0, 1, encodeUtf8('again'))), 'out-of-order');
  });
});

suite('EAP peer: EAP-Success is not believed early (CVE-2021-45079)', () => {
  const states: readonly (readonly [string, () => Script])[] = [
    ['at the start', () => new Script(passwordUser)],
    ['after Identity', () => after(passwordUser, [packet(request(1, 1))])],
    ['after a Nak', () => after(passwordUser, [packet(request(1, 25))])],
    ['while the password is asked for', () => after(passwordUser, [packet(mschapChallenge(1, new Uint8Array(16)))])],
    ['after the MS-CHAPv2 Response', () => after(passwordUser, [packet(mschapChallenge(1, new Uint8Array(16))), secret(1, 'x')])],
    [
      'while a new password is asked for',
      () =>
        after(passwordUser, [
          packet(mschapChallenge(1, new Uint8Array(16))),
          secret(1, 'x'),
          packet(mschapText(2, 4, 'E=691 R=1')),
        ]),
    ],
    ['while the TLS engine starts', () => after(tlsUser, [packet(tls(1, 0x20))])],
    ['after ClientHello', () => after(tlsUser, [packet(tls(1, 0x20)), handshaking(1, Uint8Array.of(22))])],
    [
      'between fragments of the server',
      () => after(tlsUser, [packet(tls(1, 0x20)), handshaking(1, Uint8Array.of(22)), packet(tls(2, 0xc0, Uint8Array.of(1), 2))]),
    ],
    ['between our fragments', () => after(tlsUser, [packet(tls(1, 0x20)), handshaking(1, new Uint8Array(5000))])],
    [
      'between the fragments of our last flight',
      () => after(tlsUser, [packet(tls(1, 0x20)), established(1, '1.2', new Uint8Array(5000))]),
    ],
    [
      'after the TLS 1.3 handshake, without the protected success indication (RFC 9190 §2.1.1)',
      () => after(tlsUser, [packet(tls(1, 0x20)), established(1, '1.3', Uint8Array.of(20))]),
    ],
  ];
  for (const [name, make] of states) {
    test(name, () => {
      const script = make();
      assertFailed(script.packet(success(script.state.last?.identifier ?? 1)), 'out-of-order');
      assert.equal(script.state.phase, 'over');
    });
    test(`Failure ${name}`, () => {
      const script = make();
      const { failure: reason } = find(script.packet(failure(script.state.last?.identifier ?? 1)), 'failed');
      assert.ok(reason.kind === 'rejected' || reason.kind === 'method-mismatch');
    });
  }

  test('after the end nothing is believed', () => {
    const script = new Script(passwordUser);
    script.packet(failure(1));
    assert.deepEqual(script.packet(success(1)), []);
    assert.deepEqual(script.packet(request(2, 1)), []);
  });
});

suite('EAP peer: malformed packets (RFC 3748 §4)', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['no octets', ''],
    ['one octet', '01'],
    ['a cut header', '01 01 00'],
    ['length 0', '01 01 0000 01'],
    ['length one too small', '01 01 0004 01'],
    ['length one too large', '01 01 0006 01'],
    ['length 65535', '01 01 ffff 01'],
    ['a Request without type', '01 01 0004'],
    ['a cut expanded type', '01 01 000b fe 000137 000000'],
    ['a Success with data', '03 01 0005 00'],
    ['a Failure with data', '04 01 0005 00'],
    ['a Response', '02 01 0005 01'],
    ['code 0', '00 01 0004'],
    ['code 5 (Initiate)', '05 01 0005 01'],
  ];
  for (const [name, hex] of cases) {
    test(name, () => assertFailed(new Script(passwordUser).packet(fromHex(hex)), 'malformed'));
  }

  const octet = fc.uint8Array({ maxLength: 80 });
  const shaped = fc.oneof(
    octet,
    fc.tuple(fc.nat(255), fc.constantFrom(1, 2, 3, 13, 25, 26, 254), octet).map(([id, type, data]) => request(id, type, data)),
    fc.tuple(fc.nat(255), fc.nat(8), octet).map(([id, op, data]) => mschap(id, op, id, data)),
    fc.tuple(fc.nat(255), fc.nat(255), octet, fc.nat(0x20000)).map(([id, flags, data, total]) => tls(id, flags, data, total)),
    fc.nat(255).map(success),
    fc.nat(255).map(failure),
  );
  const event: fc.Arbitrary<EapEvent> = fc.oneof(
    { weight: 4, arbitrary: shaped.map(packet) },
    {
      weight: 1,
      arbitrary: fc.tuple(fc.nat(4), octet).map(([request, secret]) => ({ kind: 'secret', request, secret }) as const),
    },
    { weight: 1, arbitrary: fc.tuple(fc.nat(4), octet).map(([request, records]) => handshaking(request, records)) },
    { weight: 1, arbitrary: fc.tuple(fc.nat(4), octet).map(([request, records]) => established(request, '1.3', records)) },
  );
  for (const config of [passwordUser, tlsUser]) {
    test(`any octets in any order never throw, and ${config.method.kind} never succeeds by them alone`, () => {
      fc.assert(
        fc.property(fc.array(event, { maxLength: 12 }), (events) => {
          let state = startEapPeer(config);
          const crypto = testCrypto();
          for (const each of events) {
            const step = stepEap(crypto, state, each);
            state = step.state;
            const succeeded = step.actions.some((action) => action.kind === 'succeeded');
            if (config.method.kind === 'mschapv2') assert.ok(!succeeded);
          }
        }),
        { numRuns: 2000 },
      );
    });
  }
});

function after(config: typeof passwordUser, events: readonly EapEvent[]): Script {
  const script = new Script(config);
  for (const event of events) {
    assert.ok(!script.step(event).some((action) => action.kind === 'failed'), 'the script is wrong');
  }
  return script;
}

function packet(octets: Uint8Array): EapEvent {
  return { kind: 'packet', packet: octets };
}

function secret(number: number, text: string): EapEvent {
  return { kind: 'secret', request: number, secret: encodeUtf8(text) };
}

function handshaking(number: number, records: Uint8Array): EapEvent {
  return { kind: 'tls-output', request: number, records, state: { kind: 'handshaking' }, applicationData: new Uint8Array() };
}

function established(number: number, version: '1.2' | '1.3', records: Uint8Array): EapEvent {
  const state = {
    kind: 'established',
    version,
    resumed: false,
    keyMaterial: new Uint8Array(128),
    sessionId: new Uint8Array(),
  } as const;
  return { kind: 'tls-output', request: number, records, state, applicationData: new Uint8Array() };
}
