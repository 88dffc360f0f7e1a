import assert from 'node:assert/strict';
import { concat, equal, Writer } from '@aovpn/bytes';
import type { EapAction, EapEvent, EapPeerConfig, TlsFailure } from '../../src/peer-contract.ts';
import { readAvps, type Avp } from '../../src/ttls/avp.ts';
import { testCrypto } from '../crypto.ts';
import { request } from '../packet-writer.ts';
import { find, Script, trust } from '../script.ts';

type TtlsConfig = Extract<EapPeerConfig['method'], { kind: 'ttls' }>;

const hello = Uint8Array.of(0x16, 1);
const finished = Uint8Array.of(0x16, 2);
const serverFlight = Uint8Array.of(0x16, 3);

/** What the fake engine exports: MSK and EMSK, distinguishable. */
export const keyMaterial = Uint8Array.from({ length: 128 }, (_, i) => i + 1);
/** Its implicit challenge: 100, 101, … */
export function implicitChallenge(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => 100 + i);
}

/**
 * Both ends of an EAP-TTLS conversation with a TLS that hides nothing: a record of application data is 0x17 and the data. With TLS 1.3
 * our Finished leaves only after the tunnel is established, with 1.2 before.
 */
export class TtlsScript extends Script {
  /** Application data that the peer has sent so far, oldest first. */
  readonly said: Uint8Array[] = [];
  /** Plain text that was handed over for encryption: the very arrays. */
  readonly written: Uint8Array[] = [];
  readonly #version: '1.2' | '1.3';
  #identifier = 10;

  constructor(inner: TtlsConfig['inner'], version: '1.2' | '1.3' = '1.2', crypto = testCrypto()) {
    super({ identity: 'anonymous@example.com', method: { kind: 'ttls', trust, inner } }, crypto);
    this.#version = version;
  }

  get identifier(): number {
    return this.#identifier;
  }

  /** EAP-TTLS Start, handshake: what the peer does once the tunnel is up. */
  open(
    change: Partial<Extract<Extract<EapEvent, { kind: 'tls-output' }>['state'], { kind: 'established' }>> = {},
  ): readonly EapAction[] {
    const asked = find(this.ttls(Uint8Array.of(0x20)), 'tls-start');
    assert.equal(asked.clientCertificate, false);
    assert.equal(asked.resume, false);
    assert.equal(asked.keying.kind, 'ttls');
    const challengeLength = asked.keying.kind === 'ttls' ? asked.keying.challengeLength : 0;
    find(this.engine(asked.request, hello, { kind: 'handshaking' }), 'reply');
    const input = find(this.ttls(concat(Uint8Array.of(0), serverFlight)), 'tls-input');
    const established = {
      kind: 'established',
      version: this.#version,
      resumed: false,
      keyMaterial: keyMaterial.slice(),
      sessionId: new Uint8Array(),
      ...(challengeLength > 0 && { challenge: implicitChallenge(challengeLength) }),
      ...change,
    } as const;
    return this.settle(this.engine(input.request, this.#version === '1.3' ? finished : new Uint8Array(), established));
  }

  /** The server says these octets in the tunnel. */
  tell(data: Uint8Array): readonly EapAction[] {
    const actions = this.ttls(concat(Uint8Array.of(0, 0x17), data));
    const input = actions.find((action) => action.kind === 'tls-input');
    if (!input) return actions;
    return this.settle(this.step({ ...this.#output(input.request), applicationData: data }));
  }

  /** Answers a question for a secret. */
  secret(actions: readonly EapAction[], secret: Uint8Array | undefined): readonly EapAction[] {
    return this.settle(this.step({ kind: 'secret', request: find(actions, 'need-secret').request, secret }));
  }

  /** The AVPs that the peer said last. */
  avps(): readonly Avp[] {
    const avps = readAvps(this.said.at(-1) ?? new Uint8Array());
    if (typeof avps === 'string') assert.fail(avps);
    return avps;
  }

  ttls(typeData: Uint8Array): readonly EapAction[] {
    this.#identifier++;
    return this.packet(request(this.#identifier, 21, typeData));
  }

  engine(request: number, records: Uint8Array, state: Extract<EapEvent, { kind: 'tls-output' }>['state']): readonly EapAction[] {
    return this.step({ kind: 'tls-output', request, records, state, applicationData: new Uint8Array() });
  }

  fail(request: number, failure: TlsFailure): readonly EapAction[] {
    return this.engine(request, Uint8Array.of(0x15), { kind: 'failed', failure });
  }

  /** Encrypts what the peer writes, and keeps it. */
  settle(actions: readonly EapAction[]): readonly EapAction[] {
    const write = actions.find((action) => action.kind === 'tls-write');
    if (!write) return actions;
    assert.equal(write.channel, 'outer');
    this.said.push(write.data.slice());
    this.written.push(write.data);
    const records = concat(Uint8Array.of(0x17), write.data);
    const sent = this.engine(write.request, records, this.#output(write.request).state);
    const reply = find(sent, 'reply').packet;
    // Flags 0 (or with the length of several fragments), Finished of TLS 1.3 if it still waits, the record.
    assert.ok(equal(reply.subarray(-Math.min(records.length, 1000)), records.subarray(-1000)) || reply.length > 1000);
    return [...actions.filter((action) => action !== write), ...sent];
  }

  #output(request: number): Extract<EapEvent, { kind: 'tls-output' }> {
    return {
      kind: 'tls-output',
      request,
      records: new Uint8Array(),
      state: {
        kind: 'established',
        version: this.#version,
        resumed: false,
        keyMaterial: keyMaterial.slice(),
        sessionId: new Uint8Array(),
      },
      applicationData: new Uint8Array(),
    };
  }
}

/** An AVP as a server writes it. */
export function avp(code: number, data: Uint8Array, { vendor = 0, mandatory = true } = {}): Uint8Array {
  const header = vendor === 0 ? 8 : 12;
  const writer = new Writer()
    .u32(code)
    .u8((vendor === 0 ? 0 : 0x80) | (mandatory ? 0x40 : 0))
    .u24(header + data.length);
  if (vendor !== 0) writer.u32(vendor);
  return writer
    .bytes(data)
    .bytes(new Uint8Array(-data.length & 3))
    .finish();
}
