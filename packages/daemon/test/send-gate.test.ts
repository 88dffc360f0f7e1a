import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { SendGate } from '../src/send-gate.ts';

suite('the gate before the IKE socket', () => {
  const made = (): { gate: SendGate; sent: number[]; send: (number: number) => void } => {
    const sent: number[] = [];
    const gate = new SendGate((datagram) => void sent.push(datagram[0]!));
    return { gate, sent, send: (number) => gate.send(Uint8Array.of(number), undefined) };
  };

  test('what is held leaves in its order once nobody holds any more', () => {
    const { gate, sent, send } = made();
    send(1);
    const [first, second] = [gate.hold(), gate.hold()];
    send(2);
    first();
    send(3);
    assert.deepEqual(sent, [1]);
    second();
    send(4);
    assert.deepEqual(sent, [1, 2, 3, 4]);
  });

  test('what is held leaves before the end of the tunnel', () => {
    const { gate, sent, send } = made();
    gate.hold();
    send(1);
    gate.flush();
    assert.deepEqual(sent, [1]);
  });

  test('a gateway that repeats its request while we hold does not fill our memory: the rest is lost, as on any network', () => {
    const { gate, sent, send } = made();
    const release = gate.hold();
    for (let i = 0; i < 1000; i++) send(i & 0xff);
    release();
    assert.deepEqual(
      sent,
      Array.from({ length: 64 }, (_, i) => i),
    );
  });
});
