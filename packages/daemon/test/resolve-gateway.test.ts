import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';
import { formatAddress, parseAddress } from '@aovpn/bytes';
import type { UpstreamAsker } from '@aovpn/host';
import { resolveGateway, type ResolveAnswer } from '../src/resolve-gateway.ts';

const server = parseAddress('192.0.2.53')!;
const pointerToQuestion = [0xc0, 0x0c];
const aRecord = (...octets: number[]): number[] => [...pointerToQuestion, 0, 1, 0, 1, 0, 0, 0, 60, 0, octets.length, ...octets];
const aaaaRecord = (octets: Uint8Array): number[] => [...pointerToQuestion, 0, 28, 0, 1, 0, 0, 0, 60, 0, 16, ...octets];
const alias = [...pointerToQuestion, 0, 5, 0, 1, 0, 0, 0, 60, 0, 3, 1, 0x78, 0];

/** Answers every query with these records; `type` 1 only unless told otherwise. */
function asker(
  answer: (query: Uint8Array, overTcp: boolean) => Uint8Array | string,
): UpstreamAsker & { asked: number; readonly marks: Set<number> } {
  const made = {
    asked: 0,
    marks: new Set<number>(),
    ask: (
      upstream: { mark: number },
      query: Uint8Array,
      _end: number,
      overTcp: boolean,
      _timeout: number,
      done: (result: never) => void,
    ) => {
      made.asked++;
      made.marks.add(upstream.mark);
      const result = answer(query, overTcp);
      setImmediate(() => done((typeof result === 'string' ? { ok: false, why: result } : { ok: true, answer: result }) as never));
      return () => {};
    },
    refresh: () => {},
    encrypted: () => undefined,
    mismatched: () => 0,
    close: () => {},
  };
  return made;
}

const isA = (query: Uint8Array): boolean => query.at(-3) === 1;

function message(query: Uint8Array, records: readonly number[][], flags = 0, code = 0): Uint8Array {
  const answer = Uint8Array.from([...query, ...records.flat()]);
  answer[2] = 0x81 | flags;
  answer[3] = 0x80 | code;
  answer[7] = records.length;
  return answer;
}

const texts = ({ addresses }: ResolveAnswer): string[] => addresses.map(formatAddress);

suite('gateway names', () => {
  let directory: string;
  let hostsFile: string;
  before(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'aovpn-hosts-'));
    hostsFile = path.join(directory, 'hosts');
    writeFileSync(hostsFile, '127.0.0.1 localhost\n198.51.100.7 VPN.local other # vpn.commented\n2001:db8::7 vpn.local\n');
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  test('an address is itself', async () => {
    const none = asker(() => 'not to be asked');
    assert.deepEqual(texts(await resolveGateway('192.0.2.1', { servers: [server], mark: 7, asker: none, hostsFile })), [
      '192.0.2.1',
    ]);
    assert.deepEqual(texts(await resolveGateway('[2001:db8::1]', { servers: [server], mark: 7, asker: none, hostsFile })), [
      '2001:db8::1',
    ]);
    assert.equal(none.asked, 0);
  });

  test('/etc/hosts comes first, whatever the case', async () => {
    const none = asker(() => 'not to be asked');
    assert.deepEqual(texts(await resolveGateway('vpn.LOCAL', { servers: [], mark: 0, asker: none, hostsFile })), [
      '198.51.100.7',
      '2001:db8::7',
    ]);
  });

  test('DNS is asked for the A-labels of a name in other letters (UTS 46)', async () => {
    const questions: string[] = [];
    const good = asker((query) => {
      questions.push(Buffer.from(query).toString('latin1'));
      return message(query, isA(query) ? [aRecord(192, 0, 2, 9)] : []);
    });
    const options = { servers: [server], mark: 7, asker: good, hostsFile };
    assert.deepEqual(texts(await resolveGateway('vpn。BÜCHER.example', options)), ['192.0.2.9']);
    assert.ok(questions.every((question) => question.includes('\x03vpn\x0dxn--bcher-kva\x07example\0')));
    assert.equal((await resolveGateway('vpn.a\u200db.example', options)).why, 'not a DNS name');
    assert.equal(questions.length, 2);
  });

  test("the machine's servers are asked with our mark, through an alias", async () => {
    const good = asker((query) => message(query, isA(query) ? [alias, aRecord(192, 0, 2, 9)] : []));
    assert.deepEqual(texts(await resolveGateway('vpn.example.', { servers: [server], mark: 7, asker: good, hostsFile })), [
      '192.0.2.9',
    ]);
    assert.deepEqual([...good.marks], [7]);
  });

  test('a truncated answer is asked for again by TCP', async () => {
    const truncating = asker((query, overTcp) =>
      overTcp ? message(query, isA(query) ? [aRecord(192, 0, 2, 9)] : []) : message(query, [], 0x02),
    );
    assert.deepEqual(texts(await resolveGateway('vpn.example', { servers: [server], mark: 0, asker: truncating, hostsFile })), [
      '192.0.2.9',
    ]);
  });

  test('a server that does not answer gives way to the next', async () => {
    let count = 0;
    const second = asker((query) => (count++ < 2 ? 'no answer' : message(query, isA(query) ? [aRecord(192, 0, 2, 9)] : [])));
    assert.deepEqual(
      texts(await resolveGateway('vpn.example', { servers: [server, server], mark: 0, asker: second, hostsFile })),
      ['192.0.2.9'],
    );
  });

  const failures: readonly (readonly [string, (query: Uint8Array) => Uint8Array | string, RegExp])[] = [
    ['NXDOMAIN', (query) => message(query, [], 0, 3), /NXDOMAIN/],
    ['SERVFAIL', (query) => message(query, [], 0, 2), /192\.0\.2\.53: DNS error 2/],
    ['silence', () => 'no answer', /192\.0\.2\.53: no answer/],
    ['no record', (query) => message(query, []), /no address/],
    ['a record of the wrong length', (query) => message(query, [aRecord(1, 2, 3)]), /no address/],
    ['a record that ends too soon', (query) => message(query, [aRecord(1, 2, 3, 4).slice(0, -2)]), /no address/],
    [
      'a name without end',
      (query) => Uint8Array.from([...message(query, []).subarray(0, 7), 9, ...message(query, []).subarray(8), 63]),
      /no address/,
    ],
  ];
  for (const [what, answer, why] of failures) {
    test(`${what} is told`, async () => {
      const result = await resolveGateway('vpn.example', { servers: [server], mark: 0, asker: asker(answer), hostsFile });
      assert.deepEqual(result.addresses, []);
      assert.match(result.why ?? '', why);
    });
  }

  test('a resolver that lies: what no host elsewhere can have is no address of a gateway', async () => {
    const lies = ['0.0.0.0', '127.0.0.1', '127.255.0.3', '224.0.0.1', '255.255.255.255'];
    for (const lie of lies) {
      const octets = lie.split('.').map(Number);
      const lying = asker((query) => message(query, isA(query) ? [aRecord(...octets)] : []));
      const options = { servers: [server], mark: 0, asker: lying, hostsFile };
      const { addresses, why } = await resolveGateway('vpn.example', options);
      assert.deepEqual([addresses, why], [[], `no host elsewhere has the address ${lie}`]);
      // Nor does it harm the good ones.
      const half = asker((query) => message(query, isA(query) ? [aRecord(...octets), aRecord(192, 0, 2, 9)] : []));
      assert.deepEqual(texts(await resolveGateway('vpn.example', { ...options, asker: half })), ['192.0.2.9']);
    }
    const six = (text: string) => asker((query) => message(query, isA(query) ? [] : [aaaaRecord(parseAddress(text)!.bytes)]));
    for (const lie of ['::', '::1', 'fe80::1', 'ff02::1', '::ffff:127.0.0.1']) {
      const options = { servers: [server], mark: 0, asker: six(lie), hostsFile };
      assert.deepEqual((await resolveGateway('vpn.example', options)).addresses, [], lie);
    }
  });

  test('a resolver that says very much is not believed to the end', async () => {
    const many = Array.from({ length: 400 }, (_, i) => aRecord(198, 18, i >> 8, i & 0xff));
    const talkative = asker((query) => {
      const answer = message(query, isA(query) ? many : []);
      answer.set(isA(query) ? [1, 0x90] : [0, 0], 6);
      return answer;
    });
    const { addresses } = await resolveGateway('vpn.example', { servers: [server], mark: 0, asker: talkative, hostsFile });
    assert.equal(addresses.length, 32);
  });

  test('no server, and no name, is told without asking', async () => {
    const none = asker(() => 'not to be asked');
    assert.match(
      (await resolveGateway('vpn.example', { servers: [], mark: 0, asker: none, hostsFile })).why ?? '',
      /no DNS server/,
    );
    for (const name of ['', 'a..b', 'vpn example', `${'a'.repeat(64)}.example`, 'vpn.example/x']) {
      assert.match(
        (await resolveGateway(name, { servers: [server], mark: 0, asker: none, hostsFile })).why ?? '',
        /not a DNS name/,
      );
    }
    assert.equal(none.asked, 0);
  });

  suite('on a network without IPv4', () => {
    const aaaaRecord = (...octets: number[]): number[] => [
      ...pointerToQuestion,
      0,
      28,
      0,
      1,
      0,
      0,
      0,
      60,
      0,
      octets.length,
      ...octets,
    ];
    const isPrefixQuestion = (query: Uint8Array): boolean => Buffer.from(query).includes('ipv4only');
    /** `prefixes` as the DNS64 of the network would tell them, for 192.0.0.170. */
    const dns64 = (prefixes: readonly number[][], own: (query: Uint8Array) => readonly number[][] = () => []) =>
      asker((query) =>
        message(
          query,
          isPrefixQuestion(query) ? (isA(query) ? [] : prefixes.map((octets) => aaaaRecord(...octets))) : own(query),
        ),
      );
    const resolve = async (name: string, network: ReturnType<typeof asker>): Promise<string[]> =>
      texts(await resolveGateway(name, { servers: [server], mark: 7, asker: network, hostsFile, v4: false }));
    // RFC 6052 §2.4, table 2, for 192.0.0.170 behind prefixes of each length; and what each makes of 192.0.2.33.
    const examples: readonly (readonly [readonly number[], string])[] = [
      [[0x20, 1, 0x0d, 0xb8, 192, 0, 0, 170, 0, 0, 0, 0, 0, 0, 0, 0], '2001:db8:c000:221::'],
      [[0x20, 1, 0x0d, 0xb8, 1, 192, 0, 0, 0, 170, 0, 0, 0, 0, 0, 0], '2001:db8:1c0:2:21::'],
      [[0x20, 1, 0x0d, 0xb8, 1, 0x22, 192, 0, 0, 0, 170, 0, 0, 0, 0, 0], '2001:db8:122:c000:2:2100::'],
      [[0x20, 1, 0x0d, 0xb8, 1, 0x22, 3, 192, 0, 0, 0, 170, 0, 0, 0, 0], '2001:db8:122:3c0:0:221::'],
      [[0x20, 1, 0x0d, 0xb8, 1, 0x22, 3, 0x44, 0, 192, 0, 0, 170, 0, 0, 0], '2001:db8:122:344:c0:2:2100:0'],
      [[0x20, 1, 0x0d, 0xb8, 1, 0x22, 3, 0x44, 0, 0, 0, 0, 192, 0, 0, 170], '2001:db8:122:344::c000:221'],
      [[0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 0, 171], '64:ff9b::c000:221'],
    ];
    for (const [prefix, expected] of examples) {
      test(`a literal is reached through its NAT64: ${expected}`, async () => {
        assert.deepEqual(await resolve('192.0.2.33', dns64([[...prefix]])), [
          formatAddress(parseAddress(expected)!),
          '192.0.2.33',
        ]);
      });
    }

    test('so is a name that has IPv4 only, also from /etc/hosts; a name with IPv6 is left as it is', async () => {
      const [prefix] = examples.at(-1)!;
      const own = (query: Uint8Array): readonly number[][] => (isA(query) ? [aRecord(192, 0, 2, 33)] : []);
      assert.deepEqual(await resolve('vpn.example', dns64([[...prefix]], own)), ['64:ff9b::c000:221', '192.0.2.33']);
      assert.deepEqual(await resolve('other', dns64([[...prefix]])), ['64:ff9b::c633:6407', '198.51.100.7']);
      assert.deepEqual(await resolve('vpn.local', dns64([[...prefix]])), ['198.51.100.7', '2001:db8::7']);
    });

    test('no NAT64, or an answer that says nothing of a prefix, leaves the address as it is', async () => {
      const nonsense = [
        [],
        [[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1]],
        // Octet 8 must be zero (RFC 6052 §2.2).
        [[0x20, 1, 0x0d, 0xb8, 192, 0, 0, 170, 1, 0, 0, 0, 0, 0, 0, 0]],
        // At two places at once (RFC 7050 §3).
        [[0x20, 1, 0x0d, 0xb8, 192, 0, 0, 170, 0, 0, 0, 0, 192, 0, 0, 170]],
      ];
      for (const prefixes of nonsense) assert.deepEqual(await resolve('192.0.2.33', dns64(prefixes)), ['192.0.2.33']);
      assert.deepEqual(
        await resolve(
          '192.0.2.33',
          asker(() => 'no answer'),
        ),
        ['192.0.2.33'],
      );
    });

    test('with IPv4 nobody is asked for a prefix', async () => {
      const none = asker(() => 'not to be asked');
      const { addresses } = await resolveGateway('192.0.2.33', { servers: [server], mark: 7, asker: none, hostsFile, v4: true });
      assert.equal(addresses.length, 1);
      assert.equal(none.asked, 0);
    });
  });
});
