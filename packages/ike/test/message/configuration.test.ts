import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeDigest, encodeEncryptedDns } from '../../src/message/encrypted-dns.ts';
import { decodePayloadBody } from '../../src/message/payload-body.ts';
import { address } from './sample.ts';
import { encodeUtf8, formatAddress, formatPrefix, fromHex, toHex } from '@aovpn/bytes';
import {
  ConfigAttributeType as Type,
  decodeConfigurationReply,
  encodeConfigurationRequest,
  nameOfConfigAttribute,
  type ConfigAttribute,
  type EncryptedDns,
} from '@aovpn/ike';

const attribute = (type: number, hex: string): ConfigAttribute => ({ type, value: fromHex(hex) });
const domain = (text: string): ConfigAttribute => ({ type: Type.INTERNAL_DNS_DOMAIN, value: encodeUtf8(text) });

test('the request asks for what is wanted, with empty values', () => {
  const names = (v4: boolean, v6: boolean): string[] =>
    encodeConfigurationRequest({ v4, v6 }).map(({ type }) => nameOfConfigAttribute(type));
  assert.deepEqual(names(true, false), [
    'INTERNAL_IP4_ADDRESS',
    'INTERNAL_IP4_NETMASK',
    'INTERNAL_IP4_DNS',
    'INTERNAL_IP4_SUBNET',
    'ENCDNS_IP4',
    'ENCDNS_DIGEST_INFO',
    'INTERNAL_DNS_DOMAIN',
  ]);
  assert.deepEqual(names(false, true), [
    'INTERNAL_IP6_ADDRESS',
    'INTERNAL_IP6_DNS',
    'INTERNAL_IP6_SUBNET',
    'ENCDNS_IP6',
    'ENCDNS_DIGEST_INFO',
    'INTERNAL_DNS_DOMAIN',
  ]);
  assert.equal(names(true, true).length, 11);
  assert.ok(!names(true, true).includes('INTERNAL_DNSSEC_TA'));
  const anchors = encodeConfigurationRequest({ v4: true, v6: false, dnssecAnchors: ['corp.example'] });
  assert.equal(nameOfConfigAttribute(anchors.at(-1)!.type), 'INTERNAL_DNSSEC_TA');
  assert.deepEqual(names(false, false), []);
  const filled = encodeConfigurationRequest({ v4: true, v6: true }).filter(({ value }) => value.length > 0);
  // RFC 9464 §3.2: three hash algorithms, no name.
  assert.deepEqual(
    filled.map(({ type, value }) => [nameOfConfigAttribute(type), toHex(value)]),
    [['ENCDNS_DIGEST_INFO', '0300000200030004']],
  );
});

test('a full reply', () => {
  const reply = decodeConfigurationReply([
    attribute(Type.INTERNAL_IP4_ADDRESS, '0a010203'),
    attribute(Type.INTERNAL_IP4_NETMASK, 'ffffff00'),
    attribute(Type.INTERNAL_IP4_DNS, '0a010101'),
    attribute(Type.INTERNAL_IP4_DNS, '0a010102'),
    attribute(Type.INTERNAL_IP4_SUBNET, '0a020000ffff0000'),
    attribute(Type.INTERNAL_IP6_ADDRESS, '20010db800000000000000000000000140'),
    attribute(Type.INTERNAL_IP6_DNS, '20010db8000000000000000000000053'),
    attribute(Type.INTERNAL_IP6_SUBNET, '20010db800010000000000000000000030'),
    domain('Corp.Example.'),
    attribute(Type.INTERNAL_IP4_NBNS, '0a010109'),
    attribute(23456, 'c0000201'),
  ]);
  assert.ok('addresses' in reply);
  assert.deepEqual(reply.addresses.map(formatPrefix), ['10.1.2.3/24', '2001:db8::1/64']);
  assert.deepEqual(reply.dns.map(formatAddress), ['10.1.1.1', '10.1.1.2', '2001:db8::53']);
  assert.deepEqual(reply.subnets.map(formatPrefix), ['10.2.0.0/16', '2001:db8:1::/48']);
  assert.deepEqual(reply.dnsDomains, ['corp.example']);
  assert.deepEqual(
    reply.other.map(({ type }) => nameOfConfigAttribute(type)),
    ['INTERNAL_IP4_NBNS', 'attribute(23456)'],
  );
});

test('an IPv6 name server with a prefix length behind it, as Libreswan 4 says it, is that name server; other lengths are malformed', () => {
  const body = (length: string): Uint8Array =>
    fromHex(`02000000 000a${length}20010db8000000000000000000000053 80`.replaceAll(' ', ''));
  const payload = decodePayloadBody('CP', body('0011'));
  assert.ok(payload.kind === 'CP');
  const reply = decodeConfigurationReply(payload.attributes);
  assert.ok('addresses' in reply);
  assert.deepEqual(reply.dns.map(formatAddress), ['2001:db8::53']);
  assert.throws(() => decodePayloadBody('CP', body('0010').subarray(0, -2)));
});

test('without a netmask an address stands alone; empty attributes give nothing', () => {
  const reply = decodeConfigurationReply([
    attribute(Type.INTERNAL_IP4_ADDRESS, '0a010203'),
    attribute(Type.INTERNAL_IP4_NETMASK, ''),
    attribute(Type.INTERNAL_IP6_ADDRESS, ''),
  ]);
  assert.deepEqual('addresses' in reply && reply.addresses.map(formatPrefix), ['10.1.2.3/32']);
  assert.deepEqual(decodeConfigurationReply([]), {
    addresses: [],
    dns: [],
    dnsDomains: [],
    dnssecAnchors: [],
    encryptedDns: [],
    subnets: [],
    other: [],
  });
});

suite('addresses that no host can have are a problem', () => {
  const cases = [
    attribute(Type.INTERNAL_IP4_ADDRESS, '00000000'),
    attribute(Type.INTERNAL_IP4_ADDRESS, '7f000001'),
    attribute(Type.INTERNAL_IP4_ADDRESS, 'e0000001'),
    attribute(Type.INTERNAL_IP4_ADDRESS, 'ffffffff'),
    attribute(Type.INTERNAL_IP6_ADDRESS, `${'00'.repeat(16)}80`),
    attribute(Type.INTERNAL_IP6_ADDRESS, `${'00'.repeat(15)}0180`),
    attribute(Type.INTERNAL_IP6_ADDRESS, 'ff02000000000000000000000000000180'),
    attribute(Type.INTERNAL_IP6_ADDRESS, '20010db800000000000000000000000181'),
  ];
  for (const each of cases)
    test(Buffer.from(each.value).toString('hex'), () => assert.ok('problem' in decodeConfigurationReply([each])));
  test('netmasks with holes, and two of them', () => {
    const address = attribute(Type.INTERNAL_IP4_ADDRESS, '0a010203');
    assert.ok('problem' in decodeConfigurationReply([address, attribute(Type.INTERNAL_IP4_NETMASK, 'ff00ff00')]));
    const mask = attribute(Type.INTERNAL_IP4_NETMASK, 'ffffff00');
    assert.ok('problem' in decodeConfigurationReply([address, mask, mask]));
  });
});

test('text that is no domain name does not reach the resolver', () => {
  const bad = [
    '',
    '.',
    'a..b',
    '-a.b',
    'a-.b',
    'corp.example\n',
    'corp example',
    'nameserver\n10.0.0.1',
    '~.',
    '*',
    'a/b',
    'ä.example',
    `${'a'.repeat(64)}.b`,
    'a.'.repeat(127) + 'aa',
  ];
  for (const text of bad) {
    const reply = decodeConfigurationReply([domain(text)]);
    assert.deepEqual('dnsDomains' in reply && reply.dnsDomains, [], JSON.stringify(text));
  }
  for (const text of ['local', '_msdcs.corp.example', 'xn--bcher-kva.example', 'a.'.repeat(126) + 'a']) {
    const reply = decodeConfigurationReply([domain(text)]);
    assert.deepEqual('dnsDomains' in reply && reply.dnsDomains, [text]);
  }
});

test('subnets and servers that make no sense are kept, not used', () => {
  const odd = [
    attribute(Type.INTERNAL_IP4_SUBNET, '0a02000000ff0000'),
    attribute(Type.INTERNAL_IP6_SUBNET, '20010db8000100000000000000000000ff'),
    attribute(Type.INTERNAL_IP4_DNS, '7f000001'),
  ];
  const reply = decodeConfigurationReply(odd);
  assert.deepEqual('other' in reply && reply.other, odd);
});

test('a mask of no bits is a mask', () => {
  const reply = decodeConfigurationReply([attribute(Type.INTERNAL_IP4_SUBNET, '0000000000000000')]);
  assert.deepEqual('subnets' in reply && reply.subnets.map(formatPrefix), ['0.0.0.0/0']);
});

// RFC 8598 §4.2: an anchor belongs to the name right before it, and only names that were asked for can have one.
suite('DNSSEC trust anchors', () => {
  const digest = 'ab'.repeat(32);
  const anchor = attribute(Type.INTERNAL_DNSSEC_TA, `4f660802${digest}`);
  const read = (attributes: readonly ConfigAttribute[], dnssecAnchors: readonly string[]) => {
    const reply = decodeConfigurationReply(attributes, { dnssecAnchors });
    assert.ok('addresses' in reply);
    return { anchors: reply.dnssecAnchors, other: reply.other.length };
  };

  test('of a name that was asked for, and of names below it', () => {
    for (const name of ['corp.example', 'eu.corp.example']) {
      const { anchors } = read([domain(name), anchor, anchor], ['Corp.Example']);
      assert.equal(anchors.length, 2);
      assert.deepEqual(anchors[0], { domain: name, keyTag: 0x4f66, algorithm: 8, digestType: 2, digest: fromHex(digest) });
    }
  });

  test('of any other name it is dropped', () => {
    for (const name of ['com', 'example', 'evilcorp.example', 'corp.example.evil.test'])
      assert.deepEqual(read([domain(name), anchor], ['corp.example']), { anchors: [], other: 1 });
    assert.deepEqual(read([domain('corp.example'), anchor], []), { anchors: [], other: 1 });
  });

  test('without a name right before it, or too short, it is dropped', () => {
    const dns = attribute(Type.INTERNAL_IP4_DNS, '0a010101');
    assert.equal(read([domain('corp.example'), dns, anchor], ['corp.example']).anchors.length, 0);
    assert.equal(read([anchor], ['corp.example']).anchors.length, 0);
    const short = attribute(Type.INTERNAL_DNSSEC_TA, '4f660802');
    assert.equal(read([domain('corp.example'), short], ['corp.example']).anchors.length, 0);
  });
});

// RFC 9464 §3.1, RFC 9460, RFC 9461
suite('encrypted DNS', () => {
  const resolver: EncryptedDns = {
    priority: 1,
    name: 'dns.corp.example',
    addresses: [address('10.20.0.53'), address('10.20.0.54')],
    protocols: ['dot', 'h2'],
    port: 8853,
    path: '/dns-query{?dns}',
  };
  const read = (value: Uint8Array, type: number = Type.ENCDNS_IP4) => {
    const reply = decodeConfigurationReply([{ type, value }]);
    assert.ok('addresses' in reply);
    return reply.encryptedDns;
  };

  test('what is written is read', () => {
    assert.deepEqual(read(encodeEncryptedDns(resolver)), [resolver]);
    const six = { ...resolver, addresses: [address('fd20::53')], protocols: ['doq'] };
    assert.deepEqual(read(encodeEncryptedDns(six), Type.ENCDNS_IP6), [six]);
    const { port: _, path: __, ...plain } = resolver;
    assert.deepEqual(read(encodeEncryptedDns(plain)), [plain]);
  });

  test('octet by octet', () => {
    const value = fromHex('000101040a140035642e65780001000403646f74000300020355');
    assert.deepEqual(read(value), [
      { priority: 1, name: 'd.ex', addresses: [address('10.20.0.53')], protocols: ['dot'], port: 853 },
    ]);
  });

  // RFC 9464 §3.1: they are superseded by the addresses that stand there, and have no place in it.
  test('hints of addresses among the parameters count for nothing', () => {
    const value = fromHex('000101040a140035642e65780001000403646f740004000401020304000600102001' + '00'.repeat(13) + '01');
    assert.deepEqual(read(value), [{ priority: 1, name: 'd.ex', addresses: [address('10.20.0.53')], protocols: ['dot'] }]);
  });

  test('the most wanted first', () => {
    const values = [3, 1, 2].map((priority) => ({ type: Type.ENCDNS_IP4, value: encodeEncryptedDns({ ...resolver, priority }) }));
    const reply = decodeConfigurationReply(values);
    assert.ok('addresses' in reply);
    assert.deepEqual(
      reply.encryptedDns.map(({ priority }) => priority),
      [1, 2, 3],
    );
  });

  test('what cannot be used is dropped: alias mode, no address, no name, unordered or mandatory parameters, port 0, cut anywhere', () => {
    const whole = encodeEncryptedDns(resolver);
    assert.deepEqual(read(encodeEncryptedDns({ ...resolver, priority: 0 })), []);
    assert.deepEqual(read(encodeEncryptedDns({ ...resolver, addresses: [] })), []);
    assert.deepEqual(read(encodeEncryptedDns({ ...resolver, addresses: [address('127.0.0.1')] })), []);
    assert.deepEqual(read(encodeEncryptedDns({ ...resolver, name: 'a b' })), []);
    assert.deepEqual(read(encodeEncryptedDns({ ...resolver, port: 0 })), []);
    const start = '000101040a140035642e6578';
    assert.deepEqual(read(fromHex(`${start}000300020355000100040364 6f74`.replace(' ', ''))), []);
    assert.deepEqual(read(fromHex(`${start}000000020009`)), [], 'a mandatory key that nobody understands');
    assert.equal(read(fromHex(`${start}00000002000300030002 0355`.replace(' ', ''))).length, 1, 'a mandatory key that we do');
    for (let length = 1; length < whole.length; length++) {
      const cut = read(whole.subarray(0, length));
      assert.ok(cut.length === 0 || cut[0]!.name === resolver.name);
    }
  });

  suite('digests of keys', () => {
    const sha256 = { hash: 'sha256', octets: fromHex('ab'.repeat(32)) } as const;
    const sha384 = { hash: 'sha384', octets: fromHex('cd'.repeat(48)) } as const;
    const readDigests = (...values: Uint8Array[]) => {
      const reply = decodeConfigurationReply([
        ...values.map((value) => ({ type: Type.ENCDNS_DIGEST_INFO, value })),
        { type: Type.ENCDNS_IP4, value: encodeEncryptedDns(resolver) },
        { type: Type.ENCDNS_IP4, value: encodeEncryptedDns({ ...resolver, priority: 2, name: 'two.corp.example' }) },
      ]);
      assert.ok('addresses' in reply);
      return reply.encryptedDns.map(({ digests }) => digests);
    };

    test('octet by octet, wherever it stands', () => {
      assert.deepEqual(readDigests(fromHex(`01000002${'ab'.repeat(32)}`)), [[sha256], [sha256]]);
      assert.deepEqual(readDigests(fromHex(`0110646e732e636f72702e6578616d706c650003${'cd'.repeat(48)}`)), [[sha384], undefined]);
    });

    test('of one name they are that resolver’s alone; several stand beside each other', () => {
      const name = 'two.corp.example';
      assert.deepEqual(readDigests(encodeDigest(sha256, name)), [undefined, [sha256]]);
      assert.deepEqual(readDigests(encodeDigest(sha256, name), encodeDigest(sha384, name)), [undefined, [sha256, sha384]]);
    });

    test('what cannot be used is dropped: another count, an unknown hash, another length, no name, cut anywhere', () => {
      const whole = encodeDigest(sha256, resolver.name);
      assert.deepEqual(readDigests(whole.with(0, 2)), [undefined, undefined]);
      assert.deepEqual(readDigests(fromHex(`01000001${'ab'.repeat(20)}`)), [undefined, undefined], 'SHA-1');
      assert.deepEqual(readDigests(fromHex(`01000002${'ab'.repeat(31)}`)), [undefined, undefined]);
      assert.deepEqual(readDigests(fromHex(`0101200002${'ab'.repeat(32)}`)), [undefined, undefined], 'a blank is no name');
      for (let length = 1; length < whole.length; length++)
        assert.deepEqual(readDigests(whole.subarray(0, length)), [undefined, undefined]);
    });
  });

  test('not more than a few', () => {
    const many = Array.from({ length: 40 }, () => ({ type: Type.ENCDNS_IP4, value: encodeEncryptedDns(resolver) }));
    const reply = decodeConfigurationReply(many);
    assert.ok('addresses' in reply && reply.encryptedDns.length === 16);
  });
});
