import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import {
  compilePlan,
  explain,
  formatProxyServer,
  printPac,
  printPlan,
  proxyEnvironment,
  resolveProfile,
  type Plan,
  type ProxyPlan,
} from '../../src/index.ts';
import { parseProxyServer, parseScriptUrl } from '../../src/proxy/proxy-server.ts';
import { proxyOf } from '../../src/proxy/compile-proxy.ts';
import { at, host, live, nameRule, profile } from '../sample.ts';

const native = { at: { line: 10, column: 3 } };
const force = { ...native, routingPolicyType: at('ForceTunnel' as const, 12) };
const split = { ...native, routingPolicyType: at('SplitTunnel' as const, 12) };
const manual = { at: { line: 5, column: 1 }, manualServer: at('http://Proxy.Corp.example:8080', 6) };
const script = { at: { line: 5, column: 1 }, autoConfigUrl: at('http://pac.corp.example/wpad.dat?a=1', 7) };
const planOf = (written: Parameters<typeof profile>[0]): Plan =>
  compilePlan({ tunnels: [live('Corp', profile(written))], host: host() });
const web = (name: string, line: number, server?: string) => ({
  ...nameRule(name, line, ['10.0.0.53']),
  ...(server && { webProxyServers: at(server, line + 3) }),
});
const codes = (plan: Plan): readonly string[] => plan.problems.map(({ code }) => code).filter((code) => code >= 'AOV-POLICY-426');
/** As a browser would run it. */
const browser =
  (proxy: ProxyPlan) =>
  (name: string): string =>
    runInNewContext(`${printPac(proxy)}; FindProxyForURL('http://x/', ${JSON.stringify(name)})`) as string;

suite('proxies', () => {
  test('a server as Windows reads it', () => {
    const read = (text: string): string | undefined => {
      const server = parseProxyServer(text);
      return server && formatProxyServer(server);
    };
    assert.equal(read('proxy.corp.example:8080'), 'proxy.corp.example:8080');
    assert.equal(read('http://PROXY.corp.example/'), 'proxy.corp.example:80');
    assert.equal(read('10.0.0.1:3128'), '10.0.0.1:3128');
    assert.equal(read('[fd00::1]:3128'), '[fd00::1]:3128');
    assert.equal(read('fd00::1'), '[fd00::1]:80');
    for (const bad of [
      '',
      'a b',
      'x:0',
      'x:65536',
      'x:y',
      '[proxy]:80',
      '300.1.1.1:80',
      "x'y",
      'x;y',
      'x$(y)',
      'socks5://x:1',
      'a\nb:1',
      'x:80:80',
    ])
      assert.equal(read(bad), undefined, bad);
  });

  test('a script may be anywhere, but nothing else', () => {
    assert.equal(parseScriptUrl(' https://pac.example/x '), 'https://pac.example/x');
    for (const bad of [
      'file:///etc/passwd',
      'javascript:1',
      "http://x/'",
      'http://x/\ny',
      'http://x/"',
      'http://x/\\',
      `http://x/${'a'.repeat(3000)}`,
    ])
      assert.equal(parseScriptUrl(bad), undefined, bad);
  });

  test('counts under force tunnel only; the manual one goes before the script', () => {
    assert.deepEqual(planOf({ nativeProfile: force, proxy: { ...manual, ...script } }).proxy?.otherwise, {
      host: 'proxy.corp.example',
      port: 8080,
    });
    assert.equal(planOf({ nativeProfile: force, proxy: script }).proxy?.autoConfigUrl, 'http://pac.corp.example/wpad.dat?a=1');
    const divided = planOf({ nativeProfile: split, proxy: manual });
    assert.equal(divided.proxy, undefined);
    assert.deepEqual(codes(divided), ['AOV-POLICY-426']);
    assert.equal(
      compilePlan({
        tunnels: [],
        idle: [resolveProfile('Corp', profile({ nativeProfile: force, proxy: manual })).intent],
        host: host(),
      }).proxy,
      undefined,
      'only while the tunnel is up',
    );
  });

  test('what cannot be used is an error and no proxy', () => {
    const { intent } = resolveProfile(
      'Corp',
      profile({
        nativeProfile: force,
        proxy: { at: { line: 5, column: 1 }, manualServer: at('http://[x', 6), autoConfigUrl: at('file:///x', 7) },
      }),
    );
    assert.deepEqual(intent.proxy, {});
    assert.deepEqual(
      intent.filterProblems.map(({ code, at: { line } }) => [code, line]),
      [
        ['AOV-POLICY-428', 6],
        ['AOV-POLICY-428', 7],
      ],
    );
  });

  test('web proxies of name rules become a script, under split tunnel too; exemptions from them do as everything else does', () => {
    const written = {
      nativeProfile: split,
      domainNameInformation: [
        web('.corp.example', 20, 'p.corp.example:8080'),
        web('direct.corp.example', 30),
        web('one.example', 40, '10.0.0.9'),
      ],
    };
    const plan = planOf(written);
    const ask = browser(plan.proxy!);
    assert.equal(ask('a.b.corp.example'), 'PROXY p.corp.example:8080');
    assert.equal(ask('CORP.example.'), 'PROXY p.corp.example:8080');
    assert.equal(ask('direct.corp.example'), 'DIRECT');
    assert.equal(ask('one.example'), 'PROXY 10.0.0.9:80');
    assert.equal(ask('sub.one.example'), 'DIRECT');
    assert.equal(ask('notcorp.example'), 'DIRECT');
    assert.equal(ask('__proto__'), 'DIRECT');
    assert.equal(ask('localhost'), 'DIRECT');
    assert.match(printPlan(plan), /proxy \.corp\.example p\.corp\.example:8080 .*line 23: WebProxyServers/);
    const forced = planOf({ ...written, nativeProfile: force, proxy: manual });
    assert.equal(browser(forced.proxy!)('elsewhere.example'), 'PROXY proxy.corp.example:8080');
    assert.equal(browser(forced.proxy!)('direct.corp.example'), 'PROXY proxy.corp.example:8080');
    assert.match(explain(forced, 'a.corp.example').summary, /a\.corp\.example/);
    assert.ok(
      explain(forced, 'a.corp.example').dns!.steps.some(
        ({ text }) => text === 'web pages of it: through proxy p.corp.example:8080',
      ),
    );
  });

  test('a script elsewhere decides alone', () => {
    const plan = planOf({ nativeProfile: force, proxy: script, domainNameInformation: [web('.corp.example', 20, 'p:1')] });
    assert.deepEqual(plan.proxy?.rules, []);
    assert.deepEqual(codes(plan), ['AOV-POLICY-427']);
  });

  test('variables say what goes for everything else', () => {
    const { proxy } = planOf({ nativeProfile: force, proxy: manual });
    const variables = proxyEnvironment(proxy!);
    assert.equal(variables['https_proxy'], 'http://proxy.corp.example:8080');
    assert.equal(variables['no_proxy'], 'localhost,127.0.0.0/8,::1');
    assert.equal(variables['HTTP_PROXY'], undefined);
  });

  test('the script says what the plan says, for any rules and names', () => {
    const label = fc.constantFrom('a', 'b', 'corp', 'x');
    const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
    const rule = fc.record({
      name: fc.oneof(
        name,
        name.map((one) => `.${one}`),
        fc.constant('.'),
      ),
      server: fc.option(fc.constantFrom({ host: 'p', port: 1 }, { host: 'fd00::1', port: 2 }), { nil: undefined }),
    });
    const because = { profile: 'Corp', why: 'test' };
    fc.assert(
      fc.property(
        fc.uniqueArray(rule, { maxLength: 8, selector: ({ name: one }) => one }),
        fc.boolean(),
        name,
        (rules, whole, asked) => {
          const proxy: ProxyPlan = {
            rules: rules.map(({ name: one, server }) => ({ name: one, because, ...(server && { server }) })),
            because,
            ...(whole && { otherwise: { host: 'q', port: 3 } }),
          };
          const said = proxyOf({ proxy }, asked);
          assert.equal(browser(proxy)(asked), said === 'direct' ? 'DIRECT' : `PROXY ${formatProxyServer(said as never)}`);
        },
      ),
      { numRuns: 200 },
    );
  });
});
