import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { pcapHeader, pcapPacket } from '../src/pcap.ts';
import { espTableLine, ikeTableLine } from '../src/wireshark-keys.ts';

const ike = {
  kind: 'ike-keys',
  connection: 'corp',
  spiI: '0102030405060708',
  spiR: '1112131415161718',
  encr: 12,
  keyBits: 256,
  integ: 12,
  skEi: 'aa',
  skEr: 'bb',
  skAi: 'cc',
  skAr: 'dd',
} as const;
const esp = {
  kind: 'esp-keys',
  connection: 'corp',
  source: '192.0.2.1',
  destination: '203.0.113.1',
  family: 4,
  spi: 0xc0ffee,
  encr: 20,
  keyBits: 128,
  integ: 0,
  encryptionKey: 'ee',
  integrityKey: '',
} as const;

suite('files for Wireshark', () => {
  test('tables in its words; what it cannot decrypt has no line', () => {
    assert.equal(
      ikeTableLine(ike),
      '0102030405060708,1112131415161718,aa,bb,"AES-CBC-256 [RFC3602]",cc,dd,"HMAC_SHA2_256_128 [RFC4868]"\n',
    );
    assert.equal(
      ikeTableLine({ ...ike, encr: 20, integ: 0, skAi: '', skAr: '' }),
      '0102030405060708,1112131415161718,aa,bb,"AES-GCM-256 with 16 octet ICV [RFC5282]",,,"NONE [RFC4306]"\n',
    );
    assert.equal(ikeTableLine({ ...ike, encr: 28 }), undefined);
    assert.equal(
      espTableLine(esp),
      '"IPv4","192.0.2.1","203.0.113.1","0x00c0ffee","AES-GCM with 16 octet ICV [RFC4106]","0xee","NULL",""\n',
    );
    assert.equal(espTableLine({ ...esp, encr: 99 }), undefined);
  });

  test('a capture of raw IP packets, v4 and v6, with right checksums', () => {
    assert.equal(pcapHeader().readUInt32LE(20), 101);
    for (const [family, address] of [
      [4, 'c0000201'],
      [6, '20010db8000000000000000000000001'],
    ] as const) {
      const here = { family, address, port: 40_000 };
      const record = pcapPacket({
        kind: 'datagram',
        at: 1_500,
        connection: 'c',
        direction: 'out',
        local: here,
        remote: { ...here, port: 4500 },
        message: 'abcdef',
      });
      assert.equal(record.readUInt32LE(0), 1);
      assert.equal(record.readUInt32LE(4), 500_000);
      const packet = record.subarray(16);
      assert.equal(packet.length, record.readUInt32LE(8));
      const udp = packet.subarray(family === 4 ? 20 : 40);
      assert.deepEqual([udp.readUInt16BE(0), udp.readUInt16BE(2), udp.readUInt16BE(4)], [40_000, 4500, 15]);
      assert.equal(udp.subarray(8).toString('hex'), '00000000abcdef');
      // Summed up with its checksum everything is all ones (RFC 1071).
      const pseudo = Buffer.concat([
        Buffer.from(address + address, 'hex'),
        Buffer.from([0, 0, 0, udp.length, 0, 0, 0, 17]),
        udp,
        Buffer.alloc(1),
      ]);
      let sum = 0;
      for (let i = 0; i < pseudo.length; i += 2) sum += pseudo.readUInt16BE(i);
      while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
      assert.equal(sum, 0xffff);
    }
  });
});
