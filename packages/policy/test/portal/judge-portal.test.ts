import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { judgePortal, type PortalFindings } from '../../src/portal/judge-portal.ts';
import { isWebUrl, readPortalApi, webUrl } from '../../src/portal/portal-api.ts';

const uri = 'https://portal.example.org/api';
const login = 'https://portal.example.org/login';
const announced = [{ source: 'dhcpv4' as const, device: 'wlan0', uri }];
const says = (captive: boolean, userPortalUrl?: string) => [
  { uri, answer: { captive, ...(userPortalUrl !== undefined && { userPortalUrl }) } },
];

suite('judging a network', () => {
  const cases: readonly (readonly [string, PortalFindings, string, string | undefined, RegExp])[] = [
    ['nobody says anything', { announcements: [], apis: [] }, 'unknown', undefined, /no DHCP server and no router/],
    [
      'the API wants a sign-in',
      { announcements: announced, apis: says(true, login) },
      'captive',
      login,
      /says captive, sign in at/,
    ],
    ['the API says it is open', { announcements: announced, apis: says(false) }, 'open', undefined, /says not captive/],
    [
      'the network says that it has no portal',
      { announcements: [{ source: 'ra', device: 'eth0', uri: 'urn:ietf:params:capport:unrestricted' }], apis: [] },
      'open',
      undefined,
      /no portal here/,
    ],
    [
      'the API does not answer',
      { announcements: announced, apis: [{ uri, answer: { problem: 'no whole answer within 5 s' } }] },
      'unknown',
      undefined,
      /no whole answer/,
    ],
    [
      'an API without TLS is not asked',
      { announcements: [{ source: 'dhcpv4', device: 'eth0', uri: 'http://x.example/' }], apis: [] },
      'unknown',
      undefined,
      /no https URL, not asked/,
    ],
    [
      'the probe is sent elsewhere',
      { announcements: [], apis: [], probe: { kind: 'redirect', location: 'http://10.0.0.1/login' } },
      'captive',
      'http://10.0.0.1/login',
      /sent to http/,
    ],
    [
      'to something that is no page',
      { announcements: [], apis: [], probe: { kind: 'redirect', location: 'file:///etc/passwd' } },
      'captive',
      undefined,
      /no web page/,
    ],
    [
      'the API’s own page goes before that',
      { announcements: announced, apis: says(true, login), probe: { kind: 'redirect', location: 'http://10.0.0.1/' } },
      'captive',
      login,
      /./,
    ],
    [
      'another page in the place of the answer',
      { announcements: [], apis: [], probe: { kind: 'other', what: 'status 200' } },
      'captive',
      undefined,
      /something else/,
    ],
    [
      'the probe’s answer counts more than a portal that says captive',
      { announcements: announced, apis: says(true, login), probe: { kind: 'expected' } },
      'open',
      undefined,
      /the internet is there/,
    ],
    [
      'a failed probe says nothing',
      { announcements: announced, apis: says(true, login), probe: { kind: 'failed', why: 'ETIMEDOUT' } },
      'captive',
      login,
      /the probe failed/,
    ],
    [
      'the probe counts more than a portal that says open',
      { announcements: announced, apis: says(false), probe: { kind: 'other', what: 'x' } },
      'captive',
      undefined,
      /./,
    ],
  ];
  for (const [what, findings, kind, url, trace] of cases)
    test(what, () => {
      const verdict = judgePortal(findings);
      assert.equal(verdict.kind, kind);
      assert.equal(verdict.portalUrl, url);
      assert.match(verdict.trace.join('\n'), trace);
    });

  test('reads the API’s answer by the letter of RFC 8908', () => {
    const read = (value: unknown, type = 'application/captive+json') =>
      readPortalApi(type, new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value)));
    assert.deepEqual(read({ captive: true, 'user-portal-url': login, 'seconds-remaining': 5 }), {
      captive: true,
      userPortalUrl: login,
      secondsRemaining: 5,
    });
    assert.deepEqual(read({ captive: false }, 'Application/Captive+JSON; charset=utf-8'), { captive: false });
    assert.deepEqual(read({ captive: true, 'user-portal-url': 'http://portal.example.org/' }), { captive: true }, 'without TLS');
    for (const bad of ['', '[]', 'null', '{"captive":"yes"}', '{}', '['.repeat(10_000)])
      assert.ok('problem' in read(bad), bad.slice(0, 20));
    assert.ok('problem' in read({ captive: true }, 'text/html'));
    // A key of that name is no prototype.
    assert.deepEqual(read('{"captive":true,"__proto__":{"user-portal-url":"https://evil.example/"}}'), { captive: true });
  });

  test('takes apart what a browser would be given, and nothing else', () => {
    assert.deepEqual(webUrl('HTTP://[2001:DB8::1]:8080?a=b#c'), {
      scheme: 'http:',
      host: '2001:db8::1',
      port: 8080,
      path: '/?a=b',
    });
    assert.deepEqual(webUrl('https://a.example'), { scheme: 'https:', host: 'a.example', port: 443, path: '/' });
    for (const bad of [
      'javascript:alert(1)',
      'https://user@a.example/',
      'https://a.example:0/',
      'https://a.example:99999/',
      'https://a.example/\nX: y',
      'https:///x',
      'file:///etc/passwd',
      '//a.example/',
      `https://a.example/${'x'.repeat(2000)}`,
      '--headless',
      'https://a.example/"onclick',
    ])
      assert.equal(isWebUrl(bad), false, bad);
  });
});
