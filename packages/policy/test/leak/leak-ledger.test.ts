import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseAddress, parsePrefix } from '@aovpn/bytes';
import { LeakLedger } from '../../src/leak/leak-ledger.ts';
import { readPacket } from '../../src/leak/packet.ts';
import type { LeakPromise } from '../../src/leak/promise.ts';
import { esp, ipPacket, tcp, udp } from './frame.ts';

const promise: LeakPromise = {
  profile: 'test',
  kind: 'force',
  held: ['0.0.0.0/0', '::/0'].map((text) => parsePrefix(text)!),
  excluded: [],
  attachedDirect: false,
  names: [],
  gatewayNames: [],
};
const text = (words: string): Uint8Array => new TextEncoder().encode(words);

function open(): LeakLedger {
  const ledger = new LeakLedger({ promise, canaryMark: text('canary-1'), controlMark: text('control-1'), lettingGoMs: 400 });
  ledger.gateway(parseAddress('203.0.113.2')!, 4500);
  ledger.step('first', 0);
  return ledger;
}

function sees(ledger: LeakLedger, at: number, payload: string, port = 9): void {
  const { etherType, octets } = ipPacket('192.0.2.10', '198.18.0.80', 17, udp(40000, port, text(payload)));
  ledger.saw({ at, device: 'eth0', packet: readPacket(etherType, octets) });
}

suite('the books of a leak test', () => {
  test('a packet is a leak only while the promise is in force, and not in the last moment of it', () => {
    const ledger = open();
    ledger.setPromised(1000, true);
    ledger.setPromised(3000, false);
    for (const at of [999, 1000, 2599, 2600, 2999, 3000]) sees(ledger, at, 'x');
    ledger.settle(Infinity);
    const { leaked, sorts, watched, promisedMs } = ledger.findings(5000);
    assert.equal(watched, 6);
    assert.equal(leaked, 2);
    assert.equal(sorts.unpromised, 4);
    assert.equal(promisedMs, 2000);
  });

  test('nothing is judged before all that is known of its moment could arrive', () => {
    const ledger = open();
    sees(ledger, 1000, 'x');
    ledger.settle(900);
    assert.equal(ledger.watched, 0);
    // The daemon's word comes late, but before the verdict.
    ledger.setPromised(950, true);
    ledger.settle(2000);
    assert.equal(ledger.leaked, 1);
  });

  test('leaks are told by flow and step, and whose they are', () => {
    const ledger = open();
    ledger.setPromised(0, true);
    sees(ledger, 10, 'before canary-1 after');
    sees(ledger, 20, 'before canary-1 after');
    ledger.step('second', 100);
    sees(ledger, 150, 'of somebody else', 53);
    const { etherType, octets } = ipPacket('2001:db8::1', '2001:db8::2', 6, tcp(1, 2));
    ledger.saw({ at: 160, device: 'wlan0', packet: readPacket(etherType, octets) });
    ledger.settle(Infinity);
    const { leaks, steps, leaked } = ledger.findings(200);
    assert.equal(leaked, 4);
    assert.deepEqual(
      leaks.map(({ step, device, canary, count, at, destinationPort }) => [step, device, canary, count, at, destinationPort]),
      [
        ['first', 'eth0', true, 2, 10, 9],
        ['second', 'eth0', false, 1, 150, 53],
        ['second', 'wlan0', false, 1, 160, 2],
      ],
    );
    assert.deepEqual(
      steps.map((step) => [step.name, step.watched, step.leaks]),
      [
        ['first', 2, 2],
        ['second', 2, 2],
      ],
    );
  });

  test('what was let out on purpose counts only when it would have been a leak, whether the promise is in force or not', () => {
    const ledger = open();
    sees(ledger, 10, 'a control-1 b');
    const { etherType, octets } = ipPacket('192.0.2.10', '203.0.113.2', 17, udp(4500, 4500, esp()));
    ledger.saw({ at: 20, device: 'eth0', packet: readPacket(etherType, octets) });
    ledger.settle(Infinity);
    const { controls, sorts, leaked } = ledger.findings(100);
    assert.equal(controls, 1);
    assert.equal(sorts.esp, 1);
    assert.equal(leaked, 0);
  });

  test('an open portal lets out web and names, nothing else', () => {
    const ledger = open();
    ledger.setPromised(0, true);
    ledger.setPortal(1000, true);
    ledger.setPortal(2000, false);
    for (const [at, port] of [
      [999, 80],
      [1500, 80],
      [1500, 53],
      [1500, 9],
      [2500, 80],
    ] as const)
      sees(ledger, at, 'x', port);
    ledger.settle(Infinity);
    const { sorts, leaked } = ledger.findings(3000);
    assert.equal(sorts.portal, 2);
    assert.equal(leaked, 3);
  });
});
