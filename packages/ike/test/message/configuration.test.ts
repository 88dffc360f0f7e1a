import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { encodeUtf8, formatAddress, formatPrefix, fromHex } from '@aovpn/bytes';
import {
  ConfigAttributeType as Type,
  decodeConfigurationReply,
  encodeConfigurationRequest,
  nameOfConfigAttribute,
  type ConfigAttribute,
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
    'INTERNAL_DNS_DOMAIN',
  ]);
  assert.deepEqual(names(false, true), [
    'INTERNAL_IP6_ADDRESS',
    'INTERNAL_IP6_DNS',
    'INTERNAL_IP6_SUBNET',
    'INTERNAL_DNS_DOMAIN',
  ]);
  assert.equal(names(true, true).length, 8);
  assert.deepEqual(names(false, false), []);
  assert.ok(encodeConfigurationRequest({ v4: true, v6: true }).every(({ value }) => value.length === 0));
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

test('without a netmask an address stands alone; empty attributes give nothing', () => {
  const reply = decodeConfigurationReply([
    attribute(Type.INTERNAL_IP4_ADDRESS, '0a010203'),
    attribute(Type.INTERNAL_IP4_NETMASK, ''),
    attribute(Type.INTERNAL_IP6_ADDRESS, ''),
  ]);
  assert.deepEqual('addresses' in reply && reply.addresses.map(formatPrefix), ['10.1.2.3/32']);
  assert.deepEqual(decodeConfigurationReply([]), { addresses: [], dns: [], dnsDomains: [], subnets: [], other: [] });
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
