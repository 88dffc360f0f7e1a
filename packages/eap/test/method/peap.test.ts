import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { concat, encodeUtf8, fromHex, toHex } from '@aovpn/bytes';
import { generateNtResponse, mschapV2Msk, ntPasswordHash } from '../../src/mschapv2/ms-chap-v2.ts';
import type { EapAction, EapMethodConfig, EapPeerConfig } from '../../src/peer-contract.ts';
import { testCrypto } from '../crypto.ts';
import { FakeTls, record, type FakeTlsOptions } from '../fake-tls.ts';
import { failure, mschapChallenge, mschapText, request, success } from '../packet-writer.ts';
import { assertFailed, find, trust } from '../script.ts';
import { tlsRequest, TunnelScript } from '../tunnel-script.ts';

// RFC 2759 §9.2.
const authenticator = fromHex('5b5d7c7d7b3f2f3e3c2c602132262628');
const peer = fromHex('21402324255e262a28295f2b3a337c7e');
const proof = 'S=407A5589115FD0D6209F510FE9C04566932CDA56';
const crypto = testCrypto((length) => (length === 16 ? peer.slice() : new Uint8Array(length)));

type PeapConfig = Extract<EapMethodConfig, { kind: 'peap' }>;
const password: PeapConfig = {
  kind: 'peap',
  trust,
  requireCryptoBinding: true,
  fastReconnect: true,
  inner: { identity: 'User', method: { kind: 'mschapv2', userName: 'User' } },
};
const innerTrust = { validate: true, serverNames: ['nps.example.com'], trustedRoots: [] };
const certificate: PeapConfig = {
  ...password,
  inner: { identity: 'user@example.com', method: { kind: 'tls', trust: innerTrust } },
};

function config(method: PeapConfig): EapPeerConfig {
  return { identity: 'anonymous', method };
}

const peap = (identifier: number, flags: number, data?: Uint8Array, total?: number): Uint8Array =>
  tlsRequest(25, identifier, flags, data, total);
/** Data in the tunnel. */
const inTunnel = (identifier: number, data: Uint8Array): Uint8Array => peap(identifier, 0, record.data(data));
/** An inner Request, without its header. */
const inner = (identifier: number, packet: Uint8Array): Uint8Array => inTunnel(identifier, packet.slice(4));
const innerIdentity = (identifier: number): Uint8Array => inner(identifier, request(identifier, 1));
const acknowledgement = (identifier: number): string => `02${hex(identifier)}00061900`;

function hex(octet: number): string {
  return octet.toString(16).padStart(2, '0');
}

/** The tunnel stands; the next Request is number 4 (2 and 3 were the server's flights), or 3 if `last` is `resumed`. */
function tunnel(method: PeapConfig = password, options: FakeTlsOptions = {}, last = record.finished): TunnelScript {
  const script = new TunnelScript(config(method), options, crypto);
  script.reply(peap(1, 0x20));
  if (last === record.resumed) {
    script.reply(peap(2, 0, last));
  } else {
    script.reply(peap(2, 0, record.server));
    script.reply(peap(3, 0, last));
  }
  return script;
}

/** Inner Identity and MS-CHAPv2 are done; the next Request is number 7. */
function proven(method: PeapConfig = password, options: FakeTlsOptions = {}): TunnelScript {
  const script = tunnel(method, options);
  script.reply(innerIdentity(4));
  const asked = find(script.packet(inner(5, mschapChallenge(5, authenticator))), 'need-secret');
  find(script.step({ kind: 'secret', request: asked.request, secret: encodeUtf8('clientPass') }), 'reply');
  script.reply(inner(6, mschapText(6, 3, proof)));
  return script;
}

const innerMsk = mschapV2Msk(
  crypto,
  ntPasswordHash(encodeUtf8('clientPass')),
  generateNtResponse(crypto, { authenticator, peer }, 'User', ntPasswordHash(encodeUtf8('clientPass'))),
);

/** The server's side of the compound keys, written apart from the peer's. */
function serverKeys(isk: Uint8Array | undefined): { cmk: Uint8Array; msk: Uint8Array } {
  const prf = (key: Uint8Array, seed: Uint8Array, length: number): Uint8Array => {
    const blocks: Buffer[] = [Buffer.alloc(0)];
    for (let n = 1; n <= Math.ceil(length / 20); n++) {
      const data = Buffer.concat([blocks[n - 1]!, seed, Buffer.from([n, 0, 0])]);
      blocks.push(createHmac('sha1', key).update(data).digest());
    }
    return Buffer.concat(blocks).subarray(0, length);
  };
  const tunnelKey = FakeTls.keyMaterial('outer').subarray(0, 60);
  const imck = isk
    ? prf(tunnelKey.subarray(0, 40), Buffer.concat([Buffer.from('Inner Methods Compound Keys'), isk]), 60)
    : tunnelKey;
  const csk = prf(imck.subarray(0, 40), Buffer.from('Session Key Generating Function\0'), 128);
  return { cmk: imck.subarray(40, 60), msk: csk.subarray(0, 64) };
}

function cryptobinding(cmk: Uint8Array, subtype = 0, nonce = new Uint8Array(32).fill(0xab)): Uint8Array {
  const tlv = concat(fromHex('000c0038000000'), Uint8Array.of(subtype), nonce, new Uint8Array(20));
  tlv.set(createHmac('sha1', cmk).update(tlv).update(Uint8Array.of(25)).digest(), 40);
  return tlv;
}

const resultSuccess = fromHex('800300020001');
const resultFailure = fromHex('800300020002');
/** An EAP-TLV Request, with its header. */
const extensions = (identifier: number, ...tlvs: readonly Uint8Array[]): Uint8Array =>
  inTunnel(identifier, request(identifier, 33, concat(...tlvs)));

/** What we said last inside the tunnel. */
function said(script: TunnelScript): string {
  return toHex(script.tls.written.at(-1)!);
}

function kinds(actions: readonly EapAction[]): string[] {
  return actions.map((action) => action.kind);
}

/** `failed` comes, our last word in the tunnel being the protected failure. */
function assertRefused(script: TunnelScript, actions: readonly EapAction[], kind: string, identifier = 7): void {
  assert.deepEqual(kinds(actions), ['reply', 'failed']);
  assertFailed(actions, kind);
  assert.equal(said(script), `02${hex(identifier)}000b21800300020002`);
  assert.deepEqual(script.tls.closes[0], { channel: 'outer', remember: false });
}

const { cmk, msk } = serverKeys(innerMsk.subarray(0, 32));

suite('PEAP with EAP-MSCHAPv2 inside ([MS-PEAP] §3.1.5)', () => {
  for (const version of ['1.2', '1.3'] as const) {
    test(`the whole exchange with TLS ${version}`, () => {
      const script = new TunnelScript(config(password), { version }, crypto);
      assert.equal(toHex(script.reply(request(1, 1))), `0201000e01${toHex(encodeUtf8('anonymous'))}`);
      // ClientHello, its length told though it is one fragment.
      assert.equal(toHex(script.reply(peap(1, 0x20))), '0201000c1980000000021601');
      assert.deepEqual(
        { ...script.tls.starts[0], request: 0 },
        {
          kind: 'tls-start',
          request: 0,
          channel: 'outer',
          trust,
          keying: { kind: 'peap' },
          clientCertificate: false,
          resume: true,
        },
      );
      script.reply(peap(2, 0, record.server));
      const last = script.reply(peap(3, 0, record.finished));
      assert.equal(toHex(last), version === '1.2' ? acknowledgement(3) : '0203000c1980000000021601');
      if (version === '1.3') assert.equal(toHex(script.reply(peap(0x33, 0, record.ticket))), acknowledgement(0x33));
      script.reply(innerIdentity(4));
      assert.equal(said(script), `01${toHex(encodeUtf8('User'))}`);
      const asked = find(script.packet(inner(5, mschapChallenge(5, authenticator))), 'need-secret');
      assert.equal(asked.userName, 'User');
      script.step({ kind: 'secret', request: asked.request, secret: encodeUtf8('clientPass') });
      assert.match(said(script), /^1a0205003a31/u);
      script.reply(inner(6, mschapText(6, 3, proof)));
      assert.equal(said(script), '1a03');
      const actions = script.packet(extensions(7, resultSuccess, cryptobinding(cmk)));
      assert.deepEqual(kinds(actions), ['reply', 'succeeded']);
      assert.equal(said(script), `0207004721${toHex(resultSuccess)}${toHex(cryptobinding(cmk, 1))}`);
      const succeeded = find(actions, 'succeeded');
      assert.equal(toHex(succeeded.msk), toHex(msk));
      assert.equal(succeeded.method, `PEAP with TLS ${version}, EAP-MSCHAPv2 inside, cryptobinding`);
      assert.deepEqual(script.packet(success(7)), []);
      assert.deepEqual(script.tls.closes, [{ channel: 'outer', remember: true }]);
      assert.equal(toHex(succeeded.msk), toHex(msk), 'what is handed out is not overwritten with our own');
    });
  }

  test('TLVs in any order, unknown optional ones passed over', () => {
    const script = proven();
    const unknown = fromHex('0022 0003 aabbcc'.replaceAll(' ', ''));
    find(script.packet(extensions(7, unknown, cryptobinding(cmk), resultSuccess)), 'succeeded');
  });

  test('without cryptobinding, if the profile does not require it: the keys are those of TLS', () => {
    const script = proven({ ...password, requireCryptoBinding: false });
    const actions = script.packet(extensions(7, resultSuccess));
    assert.equal(said(script), '0207000b21800300020001');
    const succeeded = find(actions, 'succeeded');
    assert.equal(toHex(succeeded.msk), toHex(FakeTls.keyMaterial('outer').subarray(0, 64)));
    assert.equal(succeeded.method, 'PEAP with TLS 1.2, EAP-MSCHAPv2 inside, no cryptobinding');
  });

  test('a Notification inside the tunnel', () => {
    const script = tunnel();
    const actions = script.packet(inner(4, request(4, 2, encodeUtf8('hello\u0007'))));
    assert.equal(find(actions, 'notification').text, 'hello');
    assert.equal(said(script), '02');
  });

  test('another inner method: Nak for ours', () => {
    const script = tunnel();
    script.reply(inner(4, request(4, 6, encodeUtf8('Password: '))));
    assert.equal(said(script), '031a');
    assertFailed(script.packet(inner(5, request(5, 6, encodeUtf8('Password: ')))), 'method-mismatch');
  });

  test('an extension method of Microsoft comes with its header and gets a legacy Nak', () => {
    const script = tunnel();
    script.reply(inTunnel(4, fromHex('0109000cfe00013700000021')));
    assert.equal(said(script), '02090006031a');
  });

  test('our inner method in expanded form (RFC 3748 §5.7)', () => {
    const script = tunnel();
    const challenge = mschapChallenge(4, authenticator);
    const expanded = concat(fromHex('fe0000000000001a'), challenge.subarray(5));
    find(script.packet(inTunnel(4, expanded)), 'need-secret');
  });

  test('an inner Request with its header that comes again gets the same Response again', () => {
    const script = tunnel();
    const vendor = fromHex('0109000dfe00013700000001aa');
    script.reply(inTunnel(4, vendor));
    const first = said(script);
    assert.match(first, /^02/);
    script.reply(inTunnel(5, vendor));
    assert.equal(said(script), first);
  });

  test('FreeRADIUS sends the inner Identity with its header, and takes the answer without', () => {
    const script = tunnel();
    script.reply(inTunnel(4, fromHex('0104000501')));
    assert.equal(said(script), `01${toHex(encodeUtf8('User'))}`);
  });

  test('the server speaks in the flight that ends its handshake', () => {
    const script = new TunnelScript(config(password), {}, crypto);
    script.reply(peap(1, 0x20));
    script.reply(peap(2, 0, record.server));
    script.reply(peap(3, 0, concat(record.finished, record.data(Uint8Array.of(1)))));
    assert.equal(said(script), `01${toHex(encodeUtf8('User'))}`);
  });
});

suite('PEAP with EAP-TLS inside', () => {
  test('two TLS conversations, each with its own trust; the certificate only in the inner one', () => {
    const script = tunnel(certificate, { longFlight: { channel: 'inner', octets: 1500 } });
    script.reply(innerIdentity(4));
    assert.equal(said(script), `01${toHex(encodeUtf8('user@example.com'))}`);
    script.reply(inner(5, request(5, 13, Uint8Array.of(0x20))));
    const [outer, inside] = script.tls.starts;
    assert.deepEqual([outer?.channel, outer?.trust, outer?.clientCertificate], ['outer', trust, false]);
    assert.deepEqual([inside?.channel, inside?.trust, inside?.clientCertificate], ['inner', innerTrust, true]);
    assert.deepEqual([inside?.keying, inside?.resume], [{ kind: 'eap-tls' }, false]);
    assert.equal(said(script), '0d001601');
    // Our inner flight of 1502 octets: two inner fragments, each a single outer one.
    script.reply(inner(6, request(6, 13, concat(Uint8Array.of(0), record.server))));
    assert.match(said(script), /^0dc0000005de1601/u);
    script.reply(inner(7, request(7, 13, Uint8Array.of(0))));
    assert.match(said(script), /^0d00/u);
    script.reply(inner(8, request(8, 13, concat(Uint8Array.of(0), record.finished))));
    assert.equal(said(script), '0d00');
    const keys = serverKeys(FakeTls.keyMaterial('inner').subarray(0, 32));
    const actions = script.packet(extensions(9, resultSuccess, cryptobinding(keys.cmk)));
    const succeeded = find(actions, 'succeeded');
    assert.equal(toHex(succeeded.msk), toHex(keys.msk));
    assert.equal(succeeded.method, 'PEAP with TLS 1.2, EAP-TLS with TLS 1.2 inside, cryptobinding');
    script.packet(success(9));
    assert.deepEqual(script.tls.closes, [
      { channel: 'outer', remember: true },
      { channel: 'inner', remember: false },
    ]);
  });

  test('the inner server is not trusted: alert in the tunnel, both conversations closed', () => {
    const script = tunnel(certificate);
    script.reply(inner(4, request(4, 13, Uint8Array.of(0x20))));
    const actions = script.packet(inner(5, request(5, 13, concat(Uint8Array.of(0), Uint8Array.of(0x77)))));
    assert.deepEqual(kinds(actions), ['reply', 'failed']);
    assert.equal(said(script), '0d0015');
    assert.equal(find(actions, 'failed').failure.tls?.reason, 'untrusted');
    assert.equal(script.tls.closes.length, 2);
    assert.ok(script.tls.closes.every(({ remember }) => !remember));
  });

  const { cmk: innerCmk } = serverKeys(FakeTls.keyMaterial('inner').subarray(0, 32));

  /** Inner EAP-TLS 1.3 up to our Finished; the next Request is number 6. */
  function finished(): TunnelScript {
    const script = tunnel(certificate, { version: '1.3' });
    script.reply(inner(4, request(4, 13, Uint8Array.of(0x20))));
    script.reply(inner(5, request(5, 13, concat(Uint8Array.of(0), record.finished))));
    return script;
  }

  test('TLS 1.3 inside with its own success indication (RFC 9190 §2.1.1)', () => {
    const script = finished();
    script.reply(inner(6, request(6, 13, concat(Uint8Array.of(0), record.data(Uint8Array.of(0))))));
    find(script.packet(extensions(7, resultSuccess, cryptobinding(innerCmk))), 'succeeded');
  });

  test('hostapd sends tickets only; the protected result is indication enough', () => {
    const script = finished();
    script.reply(inner(6, request(6, 13, concat(Uint8Array.of(0), record.ticket))));
    find(script.packet(extensions(7, resultSuccess, cryptobinding(innerCmk))), 'succeeded');
  });

  test('a rejection right after our Finished, in the tunnel or outside of it: most likely for the certificate', () => {
    for (const packet of [extensions(6, resultFailure), failure(5)]) {
      const script = finished();
      const found = find(script.packet(packet), 'failed').failure;
      assert.deepEqual([found.kind, found.unexplained], ['rejected', 'certificate']);
    }
    const taken = finished();
    taken.reply(inner(6, request(6, 13, concat(Uint8Array.of(0), record.ticket))));
    assert.equal(find(taken.packet(extensions(7, resultFailure)), 'failed').failure.unexplained, undefined, 'TLS went on');
  });

  test('an alert after our Finished: the certificate is refused', () => {
    const script = finished();
    assertFailed(script.packet(inner(6, request(6, 13, concat(Uint8Array.of(0), Uint8Array.of(0x77))))), 'tls');
  });
});

suite('PEAP with EAP-GTC inside: no inner key, so ISK is 32 zeros', () => {
  const token: PeapConfig = { ...password, inner: { identity: 'User', method: { kind: 'gtc', userName: 'User' } } };

  test('the whole exchange', () => {
    const script = tunnel(token);
    const asked = find(script.packet(inner(4, request(4, 6, encodeUtf8('Password: ')))), 'need-secret');
    script.step({ kind: 'secret', request: asked.request, secret: encodeUtf8('secret') });
    assert.equal(said(script), `06${toHex(encodeUtf8('secret'))}`);
    const keys = serverKeys(new Uint8Array(32));
    const actions = script.packet(extensions(5, resultSuccess, cryptobinding(keys.cmk)));
    assert.equal(toHex(find(actions, 'succeeded').msk), toHex(keys.msk));
  });

  test('a second question takes the success of the first answer back', () => {
    const script = tunnel(token);
    const first = find(script.packet(inner(4, request(4, 6, encodeUtf8('Password: ')))), 'need-secret');
    script.step({ kind: 'secret', request: first.request, secret: encodeUtf8('secret') });
    const second = find(script.packet(inner(5, request(5, 6, encodeUtf8('Code: ')))), 'need-secret');
    assert.equal(second.what, 'token');
    script.step({ kind: 'secret', request: second.request, secret: encodeUtf8('123456') });
    const keys = serverKeys(new Uint8Array(32));
    find(script.packet(extensions(6, resultSuccess, cryptobinding(keys.cmk))), 'succeeded');
  });
});

suite('PEAP fast reconnect ([MS-PEAP] §3.1.5.5.2.2)', () => {
  for (const version of ['1.2', '1.3'] as const) {
    test(`a resumed session stands for the inner method, TLS ${version}`, () => {
      const script = tunnel(password, { version }, record.resumed);
      const keys = serverKeys(undefined);
      const actions = script.packet(extensions(3, resultSuccess, cryptobinding(keys.cmk)));
      const succeeded = find(actions, 'succeeded');
      assert.equal(toHex(succeeded.msk), toHex(keys.msk));
      assert.equal(succeeded.method, `PEAP with TLS ${version}, resumed session, cryptobinding`);
      script.packet(success(3));
      assert.deepEqual(script.tls.closes, [{ channel: 'outer', remember: true }]);
    });
  }

  test('the success indication of a resumed TLS 1.3 is acknowledged, and is no success', () => {
    const script = tunnel(password, { version: '1.3' }, record.resumed);
    assert.equal(toHex(script.reply(inTunnel(3, Uint8Array.of(0)))), acknowledgement(3));
    assertFailed(script.packet(success(3)), 'out-of-order');
  });

  test('the server may still want the inner method, which then has its share in the keys', () => {
    const script = tunnel(password, {}, record.resumed);
    const asked = find(script.packet(inner(3, mschapChallenge(3, authenticator))), 'need-secret');
    script.step({ kind: 'secret', request: asked.request, secret: encodeUtf8('clientPass') });
    script.reply(inner(4, mschapText(4, 3, proof)));
    find(script.packet(extensions(5, resultSuccess, cryptobinding(cmk))), 'succeeded');
  });

  test('a resumed session, the inner method begun and not ended', () => {
    const script = tunnel(password, {}, record.resumed);
    const asked = find(script.packet(inner(3, mschapChallenge(3, authenticator))), 'need-secret');
    script.step({ kind: 'secret', request: asked.request, secret: encodeUtf8('clientPass') });
    const actions = script.packet(extensions(4, resultSuccess, cryptobinding(serverKeys(undefined).cmk)));
    assertRefused(script, actions, 'out-of-order', 4);
  });

  test('a session is resumed that was not offered', () => {
    const script = new TunnelScript(config({ ...password, fastReconnect: false }), {}, crypto);
    script.reply(peap(1, 0x20));
    assert.equal(script.tls.starts[0]?.resume, false);
    assertFailed(script.packet(peap(2, 0, record.resumed)), 'server-not-proven', /not offered/);
  });

  test('without fast reconnect the session is forgotten', () => {
    const script = proven({ ...password, fastReconnect: false });
    script.packet(extensions(7, resultSuccess, cryptobinding(cmk)));
    script.packet(success(7));
    assert.deepEqual(script.tls.closes, [{ channel: 'outer', remember: false }]);
  });

  test('EAP-Failure after our success: the session is forgotten', () => {
    const script = proven();
    script.packet(extensions(7, resultSuccess, cryptobinding(cmk)));
    assertFailed(script.packet(failure(7)), 'rejected');
    assert.deepEqual(script.tls.closes, [{ channel: 'outer', remember: false }]);
  });
});

suite('PEAP: a server that cannot bind the inner method to the tunnel (Windows 823 and 824)', () => {
  test('no Cryptobinding TLV', () => {
    const script = proven();
    assertRefused(script, script.packet(extensions(7, resultSuccess)), 'cryptobinding-missing');
  });

  const wrong: readonly (readonly [string, Uint8Array])[] = [
    ['a MAC of another key', cryptobinding(new Uint8Array(20))],
    ['the keys of a resumed session (CMK from the tunnel alone)', cryptobinding(serverKeys(undefined).cmk)],
    ['the keys of an inner method without key', cryptobinding(serverKeys(new Uint8Array(32)).cmk)],
    ['a response instead of a request', cryptobinding(cmk, 1)],
    ['a TLV of 55 octets', concat(fromHex('000c0037'), new Uint8Array(55))],
    ['an empty TLV', fromHex('000c0000')],
  ];
  for (const [name, tlv] of wrong) {
    test(name, () => {
      const script = proven();
      assertRefused(script, script.packet(extensions(7, resultSuccess, tlv)), 'cryptobinding-invalid');
    });
    test(`${name}, even if cryptobinding is not required`, () => {
      const script = proven({ ...password, requireCryptoBinding: false });
      assertRefused(script, script.packet(extensions(7, resultSuccess, tlv)), 'cryptobinding-invalid');
    });
  }
});

suite('PEAP: success is not believed early (CVE-2023-52160, CVE-2021-45079)', () => {
  const states: readonly (readonly [string, () => TunnelScript, number])[] = [
    ['before the inner Identity', () => tunnel(), 4],
    [
      'after the inner Identity',
      () => {
        const script = tunnel();
        script.reply(innerIdentity(4));
        return script;
      },
      5,
    ],
    [
      'after an inner Nak',
      () => {
        const script = tunnel();
        script.reply(inner(4, request(4, 6)));
        return script;
      },
      5,
    ],
    [
      'after the MS-CHAPv2 Response',
      () => {
        const script = tunnel();
        const asked = find(script.packet(inner(4, mschapChallenge(4, authenticator))), 'need-secret');
        script.step({ kind: 'secret', request: asked.request, secret: encodeUtf8('clientPass') });
        return script;
      },
      5,
    ],
  ];
  for (const [name, make, identifier] of states) {
    test(`a protected success ${name}`, () => {
      const script = make();
      assertRefused(script, script.packet(extensions(identifier, resultSuccess)), 'out-of-order', identifier);
    });
    test(`the same with a cryptobinding of the tunnel alone, ${name}`, () => {
      const script = make();
      const tlv = cryptobinding(serverKeys(undefined).cmk);
      assertRefused(script, script.packet(extensions(identifier, resultSuccess, tlv)), 'out-of-order', identifier);
    });
    test(`EAP-Success in the clear ${name}`, () => {
      assertFailed(make().packet(success(identifier - 1)), 'out-of-order');
    });
  }

  test('EAP-Success in the clear after the inner method, without a protected result', () => {
    assertFailed(proven().packet(success(6)), 'out-of-order');
  });

  test('EAP-Success in the clear after a resumed handshake', () => {
    assertFailed(tunnel(password, {}, record.resumed).packet(success(2)), 'out-of-order');
  });

  test('a wrong MS-CHAPv2 proof inside the tunnel', () => {
    const script = tunnel();
    const asked = find(script.packet(inner(4, mschapChallenge(4, authenticator))), 'need-secret');
    script.step({ kind: 'secret', request: asked.request, secret: encodeUtf8('clientPass') });
    assertFailed(script.packet(inner(5, mschapText(5, 3, `S=${'0'.repeat(40)}`))), 'server-not-proven');
  });

  test('MS-CHAPv2 Success without a Response of ours (CVE-2015-8023)', () => {
    assertFailed(tunnel().packet(inner(4, mschapText(4, 3, proof))), 'out-of-order');
  });
});

suite('PEAP: a failure inside the tunnel', () => {
  test('is answered inside, then reported', () => {
    const script = proven();
    assertRefused(script, script.packet(extensions(7, resultFailure)), 'rejected');
  });

  test('any result that is not success', () => {
    for (const status of ['0000', '0003', 'ffff']) {
      const script = proven();
      assertRefused(script, script.packet(extensions(7, fromHex(`80030002${status}`))), 'rejected');
    }
  });

  test('of MS-CHAPv2: our acknowledgement leaves first', () => {
    const script = tunnel();
    const asked = find(script.packet(inner(4, mschapChallenge(4, authenticator))), 'need-secret');
    script.step({ kind: 'secret', request: asked.request, secret: encodeUtf8('wrong') });
    const actions = script.packet(inner(5, mschapText(5, 4, 'E=691 R=0')));
    assert.deepEqual(kinds(actions), ['reply', 'failed']);
    assert.equal(said(script), '1a04');
    assertFailed(actions, 'wrong-password');
    assert.equal(find(actions, 'failed').failure.number, 691);
  });
});

suite('PEAP: nothing of the user leaves before the server is verified (CVE-2015-4171, CVE-2023-26463)', () => {
  test('the server is refused in the handshake', () => {
    const script = new TunnelScript(config(password), {}, crypto);
    const replies = [script.reply(request(1, 1)), script.reply(peap(1, 0x20)), script.reply(peap(2, 0, record.server))];
    const actions = script.packet(peap(3, 0, Uint8Array.of(0x77)));
    assert.deepEqual(kinds(actions), ['reply', 'failed']);
    assertFailed(actions, 'tls');
    const everything = toHex(concat(...replies, find(actions, 'reply').packet));
    assert.ok(!everything.includes(toHex(encodeUtf8('User'))), 'the inner identity');
    assert.equal(script.tls.written.length, 0);
  });

  test('application data before the handshake ends', () => {
    const script = new TunnelScript(config(password), {}, crypto);
    script.reply(peap(1, 0x20));
    const asked = find(plain(script, peap(2, 0, record.server)), 'tls-input');
    const applicationData = Uint8Array.of(1);
    const state = { kind: 'handshaking' } as const;
    assertFailed(
      script.step({ kind: 'tls-output', request: asked.request, records: record.client, state, applicationData }),
      'out-of-order',
    );
  });

  test('application data before our Finished has left', () => {
    const script = new TunnelScript(config(password), {}, crypto);
    script.reply(peap(1, 0x20));
    const asked = find(plain(script, peap(2, 0, record.server)), 'tls-input');
    const keyMaterial = new Uint8Array(128);
    const state = { kind: 'established', version: '1.3', resumed: false, keyMaterial, sessionId: new Uint8Array() } as const;
    const output = { kind: 'tls-output', request: asked.request, records: record.client, state } as const;
    assertFailed(script.step({ ...output, applicationData: Uint8Array.of(1) }), 'out-of-order');
  });

  test('the inner Identity in the clear, outside the tunnel', () => {
    const script = tunnel();
    assertFailed(script.packet(request(4, 1)), 'out-of-order');
  });

  test('an inner method outside the tunnel', () => {
    const script = new TunnelScript(config(password), {}, crypto);
    assert.equal(toHex(script.reply(mschapChallenge(1, authenticator))), '020100060319');
  });
});

suite('PEAP: versions ([MS-PEAP] §3.1.5.1)', () => {
  test('a server that would speak version 1 gets version 0, and has to keep to it', () => {
    const script = new TunnelScript(config(password), {}, crypto);
    assert.equal(toHex(script.reply(peap(1, 0x21))).slice(10, 12), '80');
    assertFailed(script.packet(peap(2, 0x01, record.server)), 'malformed', /version 1/);
  });

  test('version 2 in the middle', () => {
    assertFailed(tunnel().packet(peap(4, 0x02, record.data(Uint8Array.of(1)))), 'malformed');
  });
});

suite('PEAP: damage in the tunnel (CVE-2026-25075, CVE-2025-62291: lengths 0, 1, max)', () => {
  const cases: readonly (readonly [string, Uint8Array])[] = [
    ['a TLV header of three octets', request(7, 33, fromHex('800300'))],
    ['a TLV longer than the packet', request(7, 33, fromHex('8003000300'))],
    ['a TLV of 65535 octets', request(7, 33, fromHex('8003ffff0001'))],
    ['a Result TLV without value', request(7, 33, fromHex('80030000'))],
    ['a Result TLV of one octet', request(7, 33, fromHex('8003000101'))],
    ['two results', request(7, 33, concat(resultSuccess, resultFailure))],
    ['two cryptobindings', request(7, 33, concat(resultSuccess, cryptobinding(cmk), cryptobinding(cmk)))],
    ['an unknown mandatory TLV', request(7, 33, concat(fromHex('80220000'), resultSuccess))],
    ['17 TLVs', request(7, 33, concat(...Array.from({ length: 16 }, () => fromHex('00220000')), resultSuccess))],
  ];
  for (const [name, packet] of cases) {
    test(name, () => assertFailed(proven().packet(inTunnel(7, packet)), 'malformed'));
  }

  test('no TLV at all', () => {
    const script = proven();
    assertRefused(script, script.packet(inTunnel(7, request(7, 33))), 'malformed');
  });

  test('an EAP-TLV without header is understood, and answered with one', () => {
    const script = proven();
    find(script.packet(inner(7, request(7, 33, concat(resultSuccess, cryptobinding(cmk))))), 'succeeded');
    assert.match(said(script), /^0207004721/u);
  });

  test('a header whose length is wrong is no header, but an Identity Request', () => {
    const script = tunnel();
    script.reply(inTunnel(4, fromHex('0104000c21800300020001')));
    assert.equal(said(script), `01${toHex(encodeUtf8('User'))}`);
  });

  test('empty application data is acknowledged, and not for ever', () => {
    const script = tunnel();
    let actions: readonly EapAction[] = [];
    for (let i = 0; i < 600 && !actions.some(({ kind }) => kind === 'failed'); i++)
      actions = script.packet(peap((i + 4) & 0xff, 0, record.ticket));
    assertFailed(actions, 'out-of-order');
  });

  test('inner Identities without end', () => {
    const script = tunnel();
    let actions: readonly EapAction[] = [];
    for (let i = 0; i < 600 && !actions.some(({ kind }) => kind === 'failed'); i++)
      actions = script.packet(innerIdentity((i + 4) & 0xff));
    assertFailed(actions, 'out-of-order');
  });
});

suite('PEAP: anything at all inside the tunnel', () => {
  const octets = fc.uint8Array({ maxLength: 80 });
  const tlv = fc.oneof(
    fc.constantFrom(resultSuccess, resultFailure, cryptobinding(new Uint8Array(20)), fromHex('000c0000')),
    fc
      .tuple(fc.nat(0xffff), octets)
      .map(([type, value]) => concat(Uint8Array.of(type >> 8, type & 0xff, 0, value.length), value)),
    octets,
  );
  const said = fc.oneof(
    octets,
    fc.array(tlv, { maxLength: 18 }).map((tlvs) => request(9, 33, concat(...tlvs))),
    fc.tuple(fc.constantFrom(1, 2, 3, 6, 13, 25, 26, 33, 254), octets).map(([type, data]) => request(9, type, data).slice(4)),
    fc.constantFrom(
      request(9, 1).slice(4),
      mschapChallenge(9, authenticator).slice(4),
      mschapText(9, 3, proof).slice(4),
      request(9, 13, Uint8Array.of(0x20)).slice(4),
      request(9, 13, concat(Uint8Array.of(0), record.finished)).slice(4),
    ),
  );
  for (const [name, method] of [
    ['EAP-MSCHAPv2', password],
    ['EAP-TLS', certificate],
  ] as const) {
    for (const last of [record.finished, record.resumed]) {
      test(`never throws and never succeeds without the compound keys: ${name}${last === record.resumed ? ', resumed' : ''}`, () => {
        fc.assert(
          fc.property(fc.array(said, { maxLength: 8 }), (messages) => {
            const script = tunnel(method, {}, last);
            for (const [index, message] of messages.entries()) {
              let actions = script.packet(inTunnel(index + 10, message));
              const asked = actions.find((action) => action.kind === 'need-secret');
              if (asked) actions = script.step({ kind: 'secret', request: asked.request, secret: encodeUtf8('clientPass') });
              assert.ok(!actions.some(({ kind }) => kind === 'succeeded'));
              assert.ok(actions.length > 0 || script.state.phase === 'over', 'each Request is answered');
            }
          }),
          { numRuns: 500 },
        );
      });
    }
  }
});

suite('PEAP: secrets are overwritten', () => {
  test('plain text once it is encrypted, keys at the end', () => {
    const script = proven();
    const asked = find(plain(script, extensions(7, resultSuccess, cryptobinding(cmk))), 'tls-input');
    const keyMaterial = FakeTls.keyMaterial('outer');
    const state = { kind: 'established', version: '1.2', resumed: false, keyMaterial, sessionId: new Uint8Array() } as const;
    const applicationData = request(7, 33, concat(resultSuccess, cryptobinding(cmk)));
    const input = { kind: 'tls-output', request: asked.request, records: new Uint8Array(), state, applicationData } as const;
    const written = find(plainStep(script, input), 'tls-write');
    assert.notEqual(written.data[0], 0);
    plainStep(script, { ...input, request: written.request, records: record.client, applicationData: new Uint8Array() });
    assert.ok(written.data.every((octet) => octet === 0));
  });
});

/** Steps without the TLS of the script. */
function plain(script: TunnelScript, packet: Uint8Array): readonly EapAction[] {
  return plainStep(script, { kind: 'packet', packet });
}

function plainStep(script: TunnelScript, event: Parameters<TunnelScript['step']>[0]): readonly EapAction[] {
  return script.stepOnce(event);
}
