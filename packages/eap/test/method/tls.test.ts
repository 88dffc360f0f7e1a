import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { concat, toHex } from '@aovpn/bytes';
import type { EapEvent } from '../../src/peer-contract.ts';
import { failure, success, tls } from '../packet-writer.ts';
import { assertFailed, find, onlyReply, Script, tlsUser, trust } from '../script.ts';

const hello = Uint8Array.of(0x16, 3, 1, 0, 1, 1);
const none = new Uint8Array();
type TlsOutput = Extract<EapEvent, { kind: 'tls-output' }>;

function output(request: number, records: Uint8Array, state: TlsOutput['state'], applicationData = none): TlsOutput {
  return { kind: 'tls-output', request, records, state, applicationData };
}
const handshaking = { kind: 'handshaking' } as const;
const established = (version: '1.2' | '1.3', keyMaterial = new Uint8Array(128).fill(7)) =>
  ({ kind: 'established', version, resumed: false, keyMaterial, sessionId: none }) as const;

/** ⟵ Start, ClientHello ⟶. */
function greeted(): Script {
  const script = new Script(tlsUser);
  const asked = find(script.packet(tls(1, 0x20)), 'tls-start');
  assert.deepEqual(asked.trust, trust);
  const reply = onlyReply(script.step(output(asked.request, hello, handshaking)));
  assert.equal(toHex(reply), `0201000c0d00${toHex(hello)}`);
  return script;
}

function input(script: Script, packet: Uint8Array): { request: number; records: Uint8Array } {
  return find(script.packet(packet), 'tls-input');
}

suite('EAP-TLS with TLS 1.2 (RFC 5216 §2.1.1)', () => {
  test('the whole exchange', () => {
    const script = greeted();
    const first = input(script, tls(2, 0x80, Uint8Array.of(1, 2, 3)));
    assert.deepEqual(first.records, Uint8Array.of(1, 2, 3));
    onlyReply(script.step(output(first.request, Uint8Array.of(4, 5), handshaking)));
    const second = input(script, tls(3, 0, Uint8Array.of(6)));
    const actions = script.step(output(second.request, none, established('1.2')));
    assert.deepEqual(
      actions.map((action) => action.kind),
      ['reply', 'succeeded'],
    );
    assert.equal(toHex(find(actions, 'reply').packet), '020300060d00');
    assert.equal(find(actions, 'succeeded').method, 'EAP-TLS with TLS 1.2');
    assert.deepEqual(
      script.packet(success(3)).map((action) => action.kind),
      ['tls-close'],
    );
  });

  test('no key material, no success', () => {
    const script = greeted();
    const { request } = input(script, tls(2, 0, Uint8Array.of(1)));
    assertFailed(script.step(output(request, none, established('1.2', none))), 'tls', /0 octets of key material/);
  });

  test('application data has no place in it', () => {
    const script = greeted();
    const { request } = input(script, tls(2, 0, Uint8Array.of(1)));
    assertFailed(script.step(output(request, none, established('1.2'), Uint8Array.of(0))), 'out-of-order');
  });
});

suite('EAP-TLS with TLS 1.3 (RFC 9190 §2.1.1)', () => {
  function finished(): Script {
    const script = greeted();
    const { request } = input(script, tls(2, 0, Uint8Array.of(1)));
    onlyReply(script.step(output(request, Uint8Array.of(2), established('1.3'))));
    return script;
  }

  test('succeeds on the protected success indication', () => {
    const script = finished();
    const { request } = input(script, tls(3, 0, Uint8Array.of(9)));
    const actions = script.step(output(request, none, established('1.3'), Uint8Array.of(0)));
    assert.deepEqual(
      actions.map((action) => action.kind),
      ['reply', 'succeeded'],
    );
    assert.equal(find(actions, 'succeeded').method, 'EAP-TLS with TLS 1.3');
  });

  test('a session ticket alone is acknowledged only', () => {
    const script = finished();
    const { request } = input(script, tls(3, 0, Uint8Array.of(9)));
    onlyReply(script.step(output(request, none, established('1.3'))));
    assertFailed(script.packet(success(3)), 'out-of-order');
  });

  for (const said of [Uint8Array.of(1), Uint8Array.of(0, 0), new Uint8Array(100)]) {
    test(`${said.length} octets ${toHex(said).slice(0, 8)} are no success indication`, () => {
      const script = finished();
      const { request } = input(script, tls(3, 0, Uint8Array.of(9)));
      assertFailed(script.step(output(request, none, established('1.3'), said)), 'out-of-order');
    });
  }

  test('the indication before our Finished has left proves nothing', () => {
    const script = greeted();
    const { request } = input(script, tls(2, 0, Uint8Array.of(1)));
    assertFailed(script.step(output(request, Uint8Array.of(2), established('1.3'), Uint8Array.of(0))), 'out-of-order');
  });
});

suite('EAP-TLS: fragments (RFC 5216 §2.1.5)', () => {
  test('of the server are acknowledged and joined', () => {
    const script = greeted();
    assert.equal(toHex(script.reply(tls(2, 0xc0, Uint8Array.of(1, 2), 5))), '020200060d00');
    assert.equal(toHex(script.reply(tls(3, 0x40, Uint8Array.of(3)))), '020300060d00');
    assert.deepEqual(input(script, tls(4, 0x00, Uint8Array.of(4, 5))).records, Uint8Array.of(1, 2, 3, 4, 5));
  });

  test('a repeated fragment is not taken twice', () => {
    const script = greeted();
    script.reply(tls(2, 0xc0, Uint8Array.of(1), 2));
    script.reply(tls(2, 0xc0, Uint8Array.of(1), 2));
    assert.deepEqual(input(script, tls(3, 0x00, Uint8Array.of(2))).records, Uint8Array.of(1, 2));
  });

  test('of ours: the length with the first, acknowledged one by one', () => {
    const script = new Script(tlsUser);
    const asked = find(script.packet(tls(1, 0x20)), 'tls-start');
    const records = Uint8Array.from({ length: 2345 }, (_, i) => i & 0xff);
    const packets = [onlyReply(script.step(output(asked.request, records, handshaking)))];
    packets.push(script.reply(tls(2, 0)), script.reply(tls(3, 0)));
    assert.deepEqual(
      packets.map((packet) => packet[5]),
      [0xc0, 0x40, 0x00],
    );
    assert.equal(toHex(packets[0]!.subarray(6, 10)), '00000929');
    assert.ok(packets.every((packet) => packet.length <= 1010));
    assert.deepEqual(concat(packets[0]!.subarray(10), packets[1]!.subarray(6), packets[2]!.subarray(6)), records);
    assertFailed(script.packet(tls(4, 0)), 'out-of-order');
  });

  test('data instead of an acknowledgement', () => {
    const script = new Script(tlsUser);
    const asked = find(script.packet(tls(1, 0x20)), 'tls-start');
    script.step(output(asked.request, new Uint8Array(3000), handshaking));
    assertFailed(script.packet(tls(2, 0, Uint8Array.of(1))), 'out-of-order');
  });

  test('a flight of ours beyond the limit', () => {
    const script = new Script(tlsUser);
    const asked = find(script.packet(tls(1, 0x20)), 'tls-start');
    assertFailed(script.step(output(asked.request, new Uint8Array(0x10001), handshaking)), 'tls');
  });

  const malformed: readonly (readonly [string, readonly Uint8Array[]])[] = [
    ['no flags', [Uint8Array.of(1, 2, 0, 5, 13)]],
    ['a cut length', [Uint8Array.of(1, 2, 0, 8, 13, 0x80, 0, 0)]],
    ['length 0 with data', [tls(2, 0x80, Uint8Array.of(1), 0)]],
    ['length 1 with two octets', [tls(2, 0x80, Uint8Array.of(1, 2), 1)]],
    ['a length larger than the data', [tls(2, 0x80, Uint8Array.of(1, 2), 3)]],
    ['length 65537', [tls(2, 0xc0, Uint8Array.of(1), 0x10001)]],
    ['length 4294967295', [tls(2, 0xc0, Uint8Array.of(1), 0xffffffff)]],
    ['a first fragment without length', [tls(2, 0x40, Uint8Array.of(1))]],
    ['a fragment without data', [tls(2, 0xc0, none, 10)]],
    ['an empty fragment later', [tls(2, 0xc0, Uint8Array.of(1), 10), tls(3, 0x40)]],
    ['another length later', [tls(2, 0xc0, Uint8Array.of(1), 10), tls(3, 0xc0, Uint8Array.of(2), 11)]],
    ['more than announced', [tls(2, 0xc0, Uint8Array.of(1), 2), tls(3, 0x40, Uint8Array.of(2, 3))]],
    ['more to come after the last octet', [tls(2, 0xc0, Uint8Array.of(1), 2), tls(3, 0x40, Uint8Array.of(2))]],
    ['less than announced', [tls(2, 0xc0, Uint8Array.of(1), 9), tls(3, 0x00, Uint8Array.of(2))]],
    ['a Start with data', [tls(2, 0x20, Uint8Array.of(1))]],
  ];
  for (const [name, packets] of malformed) {
    test(name, () => {
      const script = greeted();
      for (const packet of packets.slice(0, -1)) script.reply(packet);
      assertFailed(script.packet(packets.at(-1)!), 'malformed');
    });
  }

  test('fragments that never end stop at 64 KiB', () => {
    const script = greeted();
    const piece = new Uint8Array(1000);
    script.reply(tls(2, 0xc0, piece, 0x10000));
    for (let i = 3; i < 67; i++) script.reply(tls(i, 0x40, piece));
    assertFailed(script.packet(tls(67, 0x40, piece)), 'malformed');
  });

  test('an acknowledgement of nothing', () => assertFailed(greeted().packet(tls(2, 0)), 'out-of-order'));
  test('a second Start', () => assertFailed(greeted().packet(tls(2, 0x20)), 'out-of-order'));
  test('data before the Start', () => assertFailed(new Script(tlsUser).packet(tls(1, 0, Uint8Array.of(1))), 'out-of-order'));
});

suite('EAP-TLS: failure', () => {
  test('the engine refuses the server: alert out, reason kept, engine closed', () => {
    const script = greeted();
    const { request } = input(script, tls(2, 0, Uint8Array.of(1)));
    const actions = script.step(
      output(request, Uint8Array.of(21), { kind: 'failed', failure: { reason: 'untrusted', detail: 'no root' } }),
    );
    assert.deepEqual(
      actions.map((action) => action.kind),
      ['reply', 'tls-close', 'failed'],
    );
    assert.equal(find(actions, 'failed').failure.tls?.reason, 'untrusted');
  });

  test('EAP-Failure closes the engine', () => {
    const script = greeted();
    const actions = script.packet(failure(2));
    assert.deepEqual(
      actions.map((action) => action.kind),
      ['tls-close', 'failed'],
    );
  });

  test('application data during the handshake', () => {
    const script = greeted();
    const { request } = input(script, tls(2, 0, Uint8Array.of(1)));
    assertFailed(script.step(output(request, Uint8Array.of(1), handshaking, Uint8Array.of(0))), 'out-of-order');
  });
});
