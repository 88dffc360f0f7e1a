import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { concat, Writer } from '@aovpn/bytes';
import type { EapEvent } from '../../src/peer-contract.ts';
import {
  answerTunnel,
  flushTunnel,
  forgetTunnel,
  openTunnel,
  receiveTunnel,
  writeTunnel,
  type Tunnel,
  type TunnelOptions,
  type TunnelStep,
} from '../../src/tls/tunnel.ts';
import { trust } from '../script.ts';

type TlsOutput = Extract<EapEvent, { readonly kind: 'tls-output' }>;

const none = new Uint8Array();
const options: TunnelOptions = {
  name: 'PEAP',
  channel: 'outer',
  trust,
  keying: { kind: 'peap' },
  clientCertificate: false,
  resume: false,
  versioned: true,
};
const handshaking = { kind: 'handshaking' } as const;
const keyMaterial = (): Uint8Array => new Uint8Array(128).fill(7);
const established = (more: Partial<Extract<TlsOutput['state'], { kind: 'established' }>> = {}): TlsOutput['state'] => ({
  kind: 'established',
  version: '1.2',
  resumed: false,
  keyMaterial: keyMaterial(),
  sessionId: none,
  ...more,
});

function output(records: Uint8Array, state: TlsOutput['state'], applicationData = none): TlsOutput {
  return { kind: 'tls-output', request: 0, records, state, applicationData };
}

/** Type-Data with these flags; the length field only when its flag is set. */
function typeData(flags: number, data = none, total = data.length): Uint8Array {
  const writer = new Writer().u8(flags);
  if ((flags & 0x80) !== 0) writer.u32(total);
  return writer.bytes(data).finish();
}

function assertFailed(step: TunnelStep, kind: string): void {
  assert.ok(step.news?.kind === 'failed');
  assert.equal(step.news.failure.kind, kind, step.news.failure.detail);
}

/** ClientHello has left. */
function greeted(more: Partial<TunnelOptions> = {}): Tunnel {
  const started = receiveTunnel(openTunnel({ ...options, ...more }), typeData(0x20));
  assert.equal(started.ask?.kind, 'tls-start');
  return answerTunnel(started.tunnel, output(Uint8Array.of(22), handshaking)).tunnel;
}

/** The tunnel stands, and the method has the turn. */
function standing(records = none): Tunnel {
  const step = answerTunnel(receiveTunnel(greeted(), typeData(0, Uint8Array.of(22))).tunnel, output(records, established()));
  assert.equal(step.news?.kind, 'established');
  return step.tunnel;
}

suite('TLS tunnel: fragments (RFC 5216 §3.1)', () => {
  test('whatever way a flight of the server is cut, the engine gets it whole', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 3000 }),
        fc.array(fc.nat(2999)),
        fc.boolean(),
        (flight, cuts, always) => {
          const ends = [...new Set([...cuts.filter((cut) => cut > 0 && cut < flight.length), flight.length])].toSorted(
            (a, b) => a - b,
          );
          let tunnel = greeted();
          let start = 0;
          for (const end of ends) {
            const more = end < flight.length;
            const flags = (more ? 0x40 : 0) | (always || (more && start === 0) ? 0x80 : 0);
            const step = receiveTunnel(tunnel, typeData(flags, flight.slice(start, end), flight.length));
            tunnel = step.tunnel;
            if (more) assert.deepEqual(step.reply, Uint8Array.of(0));
            else assert.ok(step.ask?.kind === 'tls-input' && Buffer.from(step.ask.records).equals(flight));
            start = end;
          }
        },
      ),
    );
  });

  test('our flights are whole again once the fragments are put together, and the length comes first', () => {
    for (const announceLength of [false, true]) {
      for (const length of [1, 999, 1000, 1001, 2000, 2001, 5000, 65536]) {
        const flight = Uint8Array.from({ length }, (_, index) => index);
        const begun = receiveTunnel(greeted({ announceLength }), typeData(0, Uint8Array.of(22)));
        let step = answerTunnel(begun.tunnel, output(flight, handshaking));
        const parts: Uint8Array[] = [];
        for (;;) {
          const { reply } = step;
          assert.ok(reply);
          const first = parts.length === 0;
          const hasLength = (reply[0]! & 0x80) !== 0;
          assert.equal(hasLength, first && (announceLength || length > 1000));
          if (hasLength) assert.equal(new DataView(reply.buffer, reply.byteOffset).getUint32(1), length);
          parts.push(reply.slice(hasLength ? 5 : 1));
          if ((reply[0]! & 0x40) === 0) break;
          step = receiveTunnel(step.tunnel, Uint8Array.of(0));
        }
        assert.ok(Buffer.from(concat(...parts)).equals(flight), `${length} octets`);
      }
    }
  });

  const damaged: readonly (readonly [string, readonly Uint8Array[]])[] = [
    ['nothing', [none]],
    ['a cut length', [Uint8Array.of(0x80, 0, 0)]],
    ['length 0 with data', [typeData(0x80, Uint8Array.of(1), 0)]],
    ['length 4294967295', [typeData(0xc0, Uint8Array.of(1), 0xffffffff)]],
    ['one octet too many', [typeData(0xc0, Uint8Array.of(1), 2), typeData(0, Uint8Array.of(2, 3))]],
    ['the same fragment twice', [typeData(0xc0, Uint8Array.of(1), 2), typeData(0xc0, Uint8Array.of(1), 2)]],
    ['another length later', [typeData(0xc0, Uint8Array.of(1), 9), typeData(0xc0, Uint8Array.of(2), 8)]],
    ['an empty fragment', [typeData(0xc0, Uint8Array.of(1), 9), typeData(0x40)]],
    ['a first fragment without length', [typeData(0x40, Uint8Array.of(1))]],
  ];
  for (const [name, packets] of damaged) {
    test(`CVE-2026-12413, CVE-2026-33824 (reassembly): ${name}`, () => {
      let tunnel = greeted();
      for (const packet of packets.slice(0, -1)) tunnel = receiveTunnel(tunnel, packet).tunnel;
      assertFailed(receiveTunnel(tunnel, packets.at(-1)!), 'malformed');
    });
  }

  test('fragments without length stop at 64 KiB', () => {
    const begun = receiveTunnel(greeted(), typeData(0xc0, new Uint8Array(60_000), 0x10000));
    assertFailed(receiveTunnel(begun.tunnel, typeData(0x40, new Uint8Array(6000))), 'malformed');
    assertFailed(receiveTunnel(greeted(), typeData(0, new Uint8Array(0x10001))), 'malformed');
  });

  test('inside of a tunnel our fragments leave room for its record', () => {
    const begun = receiveTunnel(greeted({ channel: 'inner' }), typeData(0, Uint8Array.of(22)));
    const { reply } = answerTunnel(begun.tunnel, output(new Uint8Array(1000), handshaking));
    assert.equal(reply?.length, 905);
  });
});

suite('TLS tunnel: turns', () => {
  test('what the method writes goes out with the Finished that waits', () => {
    const data = Uint8Array.of(1, 2, 3);
    const writing = writeTunnel(standing(Uint8Array.of(20)), data);
    assert.deepEqual(writing.ask, { kind: 'tls-write', channel: 'outer', data });
    const sent = answerTunnel(writing.tunnel, output(Uint8Array.of(23, 9), established()));
    assert.deepEqual(sent.reply, Uint8Array.of(0, 20, 23, 9));
    assert.equal(sent.news?.kind, 'sent');
    assert.deepEqual(data, new Uint8Array(3), 'overwritten');
  });

  test('a method with nothing to say acknowledges', () => {
    const sent = flushTunnel(standing());
    assert.deepEqual([sent.reply, sent.news?.kind], [Uint8Array.of(0), 'sent']);
  });

  test('"sent" comes with the last fragment only', () => {
    const writing = writeTunnel(standing(), Uint8Array.of(1));
    const first = answerTunnel(writing.tunnel, output(new Uint8Array(1500), established()));
    assert.equal(first.news, undefined);
    assert.equal(receiveTunnel(first.tunnel, Uint8Array.of(0)).news?.kind, 'sent');
  });

  test('the method cannot speak out of turn', () => {
    assert.throws(() => writeTunnel(greeted(), none), /cannot|nothing can be written/u);
    assert.throws(() => flushTunnel(flushTunnel(standing()).tunnel), /nothing can be sent/u);
  });

  test('an engine that encrypts nothing', () => {
    const writing = writeTunnel(standing(), Uint8Array.of(1));
    assertFailed(answerTunnel(writing.tunnel, output(none, established())), 'tls');
  });

  test('application data while we write', () => {
    const writing = writeTunnel(standing(), Uint8Array.of(1));
    assertFailed(answerTunnel(writing.tunnel, output(Uint8Array.of(23), established(), Uint8Array.of(1))), 'out-of-order');
  });

  test('a flight of ours beyond 64 KiB', () => {
    const begun = receiveTunnel(greeted(), typeData(0, Uint8Array.of(22)));
    assertFailed(answerTunnel(begun.tunnel, output(new Uint8Array(0x10001), handshaking)), 'tls');
  });

  test('Start again, an acknowledgement of nothing, data too early', () => {
    assertFailed(receiveTunnel(greeted(), typeData(0x20)), 'out-of-order');
    assertFailed(receiveTunnel(greeted(), typeData(0)), 'out-of-order');
    assertFailed(receiveTunnel(openTunnel(options), typeData(0, Uint8Array.of(1))), 'out-of-order');
  });

  test('an answer that nobody waits for', () => {
    assertFailed(answerTunnel(greeted(), output(none, handshaking)), 'out-of-order');
    const begun = receiveTunnel(greeted(), typeData(0, Uint8Array.of(22)));
    assertFailed(answerTunnel(begun.tunnel, { kind: 'secret', request: 0, secret: none }), 'out-of-order');
  });

  test('500 messages of the server, and no more', () => {
    let tunnel = standing();
    for (let i = 1; i < 500; i++) {
      const next = receiveTunnel(flushTunnel(tunnel).tunnel, typeData(0, Uint8Array.of(23)));
      tunnel = answerTunnel(next.tunnel, output(none, established())).tunnel;
    }
    assertFailed(receiveTunnel(flushTunnel(tunnel).tunnel, typeData(0, Uint8Array.of(23))), 'out-of-order');
  });
});

suite('TLS tunnel: what is established', () => {
  const judge = (state: TlsOutput['state'], more: Partial<TunnelOptions> = {}): TunnelStep =>
    answerTunnel(receiveTunnel(greeted(more), typeData(0, Uint8Array.of(22))).tunnel, output(none, state));

  test('resumption counts only if it was offered', () => {
    assertFailed(judge(established({ resumed: true })), 'server-not-proven');
    assert.equal(judge(established({ resumed: true }), { resume: true }).news?.kind, 'established');
  });

  for (const length of [0, 64, 127, 129]) {
    test(`${length} octets of key material`, () => {
      assertFailed(judge(established({ keyMaterial: new Uint8Array(length) })), 'tls');
    });
  }

  test('keys, challenge and unfinished plain text are overwritten when the tunnel is forgotten', () => {
    const challenge = new Uint8Array(17).fill(3);
    const state = established({ challenge });
    const step = judge(state);
    const data = Uint8Array.of(1, 2);
    forgetTunnel(writeTunnel(step.tunnel, data).tunnel);
    assert.ok(state.kind === 'established' && state.keyMaterial.every((octet) => octet === 0));
    assert.ok([...challenge, ...data].every((octet) => octet === 0));
  });
});
