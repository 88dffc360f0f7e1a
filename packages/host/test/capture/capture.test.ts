import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseAddress } from '@aovpn/bytes';
import { injectControl } from '../../src/capture/inject-control.ts';
import { openPacketCapture } from '../../src/capture/packet-capture.ts';
import { sendCanary } from '../../src/capture/send-canary.ts';
import { readWatchedLinks } from '../../src/capture/watched-links.ts';
import { inOwnNamespace, sh } from '../network/namespace.ts';

const v4 = parseAddress('198.18.0.80')!;
const v6 = parseAddress('2001:db8:d::80')!;

inOwnNamespace(import.meta.url, () => {
  sh('ip link add left type veth peer name right');
  sh('sysctl -qw net.ipv6.conf.left.accept_dad=0');
  sh('ip address add 192.0.2.10/24 dev left');
  sh('ip -6 address add 2001:db8:a::10/64 dev left nodad');
  sh('ip link set left up');
  sh('ip link set right up');
  sh('ip route add default via 192.0.2.1');
  sh('ip -6 route add default via 2001:db8:a::1');
  sh('ip neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev left');
  sh('ip -6 neigh add 2001:db8:a::1 lladdr 02:00:00:00:00:01 dev left');

  interface Seen {
    readonly at: number;
    readonly index: number;
    readonly etherType: number;
    readonly octets: Uint8Array;
  }
  /** What leaves while `act` runs. */
  function watch(act: () => void): Seen[] {
    const seen: Seen[] = [];
    const capture = openPacketCapture((packet) => seen.push({ ...packet, octets: packet.octets.slice() }));
    act();
    capture.drain();
    assert.equal(capture.missed(), 0);
    capture.close();
    return seen;
  }
  const has = (seen: readonly Seen[], text: string): Seen[] =>
    seen.filter(({ octets }) => Buffer.from(octets.buffer, octets.byteOffset, octets.length).includes(text));

  suite('watching the links', () => {
    test('sees what programs send, both families, with time, device and type', () => {
      const before = Date.now();
      const seen = watch(() => {
        for (const destination of [v4, v6])
          for (const kind of ['udp', 'icmp'] as const)
            assert.equal(sendCanary({ kind, destination, port: 9, payload: Buffer.from(`from ${kind}`) }).result, 'sent');
      });
      const { links } = readWatchedLinks();
      for (const kind of ['udp', 'icmp'])
        assert.deepEqual(
          has(seen, `from ${kind}`).map(({ etherType }) => etherType),
          [0x0800, 0x86dd],
        );
      for (const { at, index } of has(seen, 'from ')) {
        assert.equal(links.get(index), 'left');
        assert.ok(at > before - 1000 && at < Date.now() + 1000);
      }
    });

    test('sees a connection begin', () => {
      const fds: number[] = [];
      const seen = watch(() => {
        const { result, fd } = sendCanary({ kind: 'tcp', destination: v4, port: 443, payload: new Uint8Array() });
        assert.equal(result, 'sent');
        fds.push(fd!);
      });
      assert.ok(seen.some(({ octets, etherType }) => etherType === 0x0800 && octets[9] === 6));
    });

    test('sees what a filter cannot hold back, and does not see what one does', () => {
      sh('nft add table inet holds');
      sh('nft add chain inet holds out { type filter hook output priority 0 ; policy drop ; }');
      try {
        const seen = watch(() => {
          sendCanary({ kind: 'udp', destination: v4, port: 9, payload: Buffer.from('canary') });
          assert.equal(injectControl('left', parseAddress('192.0.2.10')!, v4, Buffer.from('control four')), true);
          assert.equal(injectControl('left', parseAddress('2001:db8:a::10')!, v6, Buffer.from('control six')), true);
        });
        assert.equal(has(seen, 'canary').length, 0);
        assert.equal(has(seen, 'control four').length, 1);
        assert.equal(has(seen, 'control six').length, 1);
      } finally {
        sh('nft delete table inet holds');
      }
    });

    test('does not hear loopback, nor what arrives', () => {
      const seen = watch(() => {
        sendCanary({ kind: 'udp', destination: parseAddress('127.0.0.1')!, port: 9, payload: Buffer.from('to myself') });
      });
      assert.equal(has(seen, 'to myself').length, 0);
      // What leaves by one end arrives at the other: only the leaving is told.
      const both = watch(() => {
        sendCanary({ kind: 'udp', destination: v4, port: 9, payload: Buffer.from('once') });
      });
      assert.equal(has(both, 'once').length, 1);
    });

    test('goes on when the link goes down and comes back', () => {
      const seen: string[] = [];
      const capture = openPacketCapture(({ octets }) => seen.push(Buffer.from(octets).toString('latin1')));
      sh('ip link set left down');
      assert.equal(injectControl('left', parseAddress('192.0.2.10')!, v4, Buffer.from('down')), false);
      sh('ip link set left up');
      assert.equal(injectControl('left', parseAddress('192.0.2.10')!, v4, Buffer.from('up again')), true);
      capture.drain();
      capture.close();
      assert.ok(seen.some((text) => text.includes('up again')));
    });
  });
});
