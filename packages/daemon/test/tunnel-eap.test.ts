import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { EapPeerConfig } from '@aovpn/eap';
import type { TlsEngine } from '@aovpn/host';
import { Log } from '../src/log.ts';
import { TunnelEap } from '../src/tunnel-eap.ts';

const start = {
  kind: 'tls-start',
  request: 7,
  channel: 'outer',
  trust: { validate: true, serverNames: [], trustedRoots: [] },
  clientCertificate: false,
  keying: { kind: 'eap-tls' },
  resume: false,
} as const;
const eapTls: EapPeerConfig = {
  identity: 'alice',
  method: {
    kind: 'tls',
    trust: start.trust,
  },
};

function makeEap(engine: () => TlsEngine) {
  let made = 0;
  const unasked = (): never => assert.fail('nobody should ask for this');
  const eap = new TunnelEap('corp', {
    log: new Log({ level: 'debug', format: 'text', journal: false, write: () => {}, clock: Date.now }),
    answerSecret: unasked,
    secretAccepted: unasked,
    secretUndecided: unasked,
    createTlsEngine: () => {
      made++;
      return engine();
    },
  });
  return { eap, made: () => made };
}

suite("EAP's side of a tunnel", () => {
  test('what is prepared before the first datagram is what TLS begins with', async () => {
    const asked: string[] = [];
    const { eap, made } = makeEap(() => ({
      handle: (action) => {
        asked.push(action.kind);
        return Promise.resolve(undefined);
      },
    }));
    eap.prepare(eapTls);
    assert.equal(made(), 1);
    await eap.handle(start);
    assert.equal(made(), 1);
    assert.deepEqual(asked, ['tls-start']);
  });

  test('a method without TLS prepares none', () => {
    const { eap, made } = makeEap(() => assert.fail('no TLS'));
    eap.prepare({ identity: 'alice', method: { kind: 'mschapv2', userName: 'alice' } });
    assert.equal(made(), 0);
  });

  test('what cannot be prepared is told once TLS is wanted', async () => {
    const { eap, made } = makeEap(() => {
      throw new Error('no roots');
    });
    eap.prepare(eapTls);
    await assert.rejects(eap.handle(start), /no roots/);
    assert.equal(made(), 2);
  });
});
