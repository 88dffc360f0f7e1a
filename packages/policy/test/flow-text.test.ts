import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddress } from '@aovpn/bytes';
import { parseFlow } from '../src/index.ts';

function read(text: string): string | undefined {
  const flow = parseFlow(text);
  if (!flow) return undefined;
  const end = (endpoint: { address: Parameters<typeof formatAddress>[0]; port?: number } | undefined): string =>
    endpoint ? `${formatAddress(endpoint.address)} ${endpoint.port ?? '-'}` : 'none';
  return `${flow.protocol ?? '-'}: ${end(flow.source)} > ${end(flow.destination)}${flow.pid === undefined ? '' : ` pid ${flow.pid}`}`;
}

suite('pasted connections', () => {
  for (const [text, expected] of [
    ['10.1.2.3:443', '-: none > 10.1.2.3 443'],
    ['10.1.2.3:443/tcp', '6: none > 10.1.2.3 443'],
    ['udp 10.1.2.3:53', '17: none > 10.1.2.3 53'],
    ['[2001:db8::1]:443/udp', '17: none > 2001:db8::1 443'],
    ['icmp 10.1.2.3', '1: none > 10.1.2.3 -'],
    ['47 10.1.2.3', '47: none > 10.1.2.3 -'],
    ['tcp 10.0.0.5:4455 > 10.1.2.3:443', '6: 10.0.0.5 4455 > 10.1.2.3 443'],
    ['TCP 10.0.0.5:4455->10.1.2.3:443', '6: 10.0.0.5 4455 > 10.1.2.3 443'],
    ['10.0.0.5:4455 → 10.1.2.3:443', '-: 10.0.0.5 4455 > 10.1.2.3 443'],
    // ss -tunp
    [
      'tcp   ESTAB      0      0      10.9.0.2:43210      10.1.2.3:443   users:(("firefox",pid=4711,fd=99))',
      '6: 10.9.0.2 43210 > 10.1.2.3 443 pid 4711',
    ],
    ['udp   UNCONN 0 0 10.9.0.2%aov0:68 10.1.2.3:*', '17: 10.9.0.2 68 > 10.1.2.3 -'],
    ['ESTAB 0 0 [fd00:9::2]:43210 [2001:db8::5]:22', '-: fd00:9::2 43210 > 2001:db8::5 22'],
    // conntrack -L
    [
      'tcp      6 431999 ESTABLISHED src=10.9.0.2 dst=10.1.2.3 sport=4455 dport=443 src=10.1.2.3 dst=10.9.0.2 sport=443 dport=4455 [ASSURED] mark=0 use=1',
      '6: 10.9.0.2 4455 > 10.1.2.3 443',
    ],
    ['icmp     1 29 src=10.9.0.2 dst=10.1.2.3 type=8 code=0 id=1 src=10.1.2.3 dst=10.9.0.2', '1: 10.9.0.2 - > 10.1.2.3 -'],
    // tcpdump, with and without -n
    ['12:00:00.123456 IP 10.9.0.2.4455 > 10.1.2.3.443: Flags [S], seq 1, win 64240, length 0', '6: 10.9.0.2 4455 > 10.1.2.3 443'],
    ['12:00:00.1 aov0  Out IP 10.9.0.2.4455 > 10.1.2.3.https: Flags [S], seq 1', '6: 10.9.0.2 4455 > 10.1.2.3 443'],
    ['IP6 fd00:9::2.40000 > 2001:db8::5.53: UDP, length 30', '17: fd00:9::2 40000 > 2001:db8::5 53'],
    ['IP 10.9.0.2.40000 > 10.0.0.53.domain: 4711+ A? intranet.corp.example. (39)', '17: 10.9.0.2 40000 > 10.0.0.53 53'],
    ['IP 10.9.0.2 > 10.1.2.3: ICMP echo request, id 1, seq 1, length 64', '1: 10.9.0.2 - > 10.1.2.3 -'],
    ['IP6 fd00:9::2 > 2001:db8::5: ICMP6, echo request', '58: fd00:9::2 - > 2001:db8::5 -'],
  ] as const)
    test(text.slice(0, 60), () => assert.equal(read(text), expected));

  test('what is no connection', () => {
    for (const text of [
      '',
      '10.1.2.3',
      '2001:db8::1',
      'intranet.corp.example',
      'intranet:443',
      '10.1.2.3:70000',
      '10.1.2.3:443 > 2001:db8::1',
      '10.1.2.3:1 10.1.2.4:2 10.1.2.5:3',
      'tcp',
      'x'.repeat(2000),
      `${'tcp '.repeat(20)}10.1.2.3:1`,
    ])
      assert.equal(read(text), undefined, text.slice(0, 40));
  });
});
