import assert from 'node:assert/strict';
import process from 'node:process';
import { suite, test } from 'node:test';
import { parseAddress } from '@aovpn/bytes';
import { assumeHost, assumeTunnel, compilePlan, emptyCatalogue, resolveProfile } from '@aovpn/policy';
import { parseProfile } from '@aovpn/profile';
import { explainQuestion } from '../src/explain-question.ts';

const text = `<VPNProfile>
<TrafficFilter><App><Id>/usr/bin/mail</Id></App></TrafficFilter>
<TrafficFilter><Protocol>6</Protocol><RemotePortRanges>443</RemotePortRanges></TrafficFilter>
<NativeProfile><Servers>vpn.example</Servers><RoutingPolicyType>SplitTunnel</RoutingPolicyType><NativeProtocolType>IKEv2</NativeProtocolType><Authentication><MachineMethod>Certificate</MachineMethod></Authentication></NativeProfile>
<Route><Address>10.1.0.0</Address><PrefixSize>16</PrefixSize></Route></VPNProfile>`;

suite('questions', () => {
  const { intent } = resolveProfile('corp', parseProfile(new Uint8Array(Buffer.from(text))).profile!);
  const plan = compilePlan({ tunnels: [assumeTunnel(intent, 'aov-corp')], host: assumeHost() });
  const key = plan.apps[0]!.key;
  const daemon = {
    plans: { plan },
    traffic: { appOf: (pid: number) => (pid === process.pid ? key : undefined) },
    apps: { catalogue: emptyCatalogue },
    platform: { network: { encryptedResolvers: () => resolvers } },
  } as never;
  const failure = {
    code: 'AOV-HOST-343',
    side: 'gateway',
    what: 'its certificate does not name dns.corp.example',
    cure: 'Mend it.',
  };
  const server = { name: 'dns.corp.example', address: parseAddress('10.1.0.53')!, port: 853 };
  const resolvers = [{ server, state: 'failing', failure }];
  const look = (name: string) => Promise.resolve(name === 'intranet.example' ? [parseAddress('10.1.2.3')!] : []);
  const ask = (target: string, asker = {}) => explainQuestion(daemon, target, asker, look);

  test('a connection is judged by filters, with whose it is and without', async () => {
    assert.equal((await ask('10.1.2.3:443/tcp')).verdict, 'accept');
    assert.equal((await ask('10.1.2.3:80/tcp')).verdict, 'refuse');
    assert.equal((await ask('10.1.2.3:80/tcp', { app: key })).verdict, 'accept');
    assert.equal((await ask('10.1.2.3:80/tcp', { pid: String(process.pid) })).verdict, 'accept');
    assert.equal(
      (await ask(`tcp ESTAB 0 0 192.0.2.10:4000 10.1.2.3:80 users:(("mail",pid=${process.pid},fd=3))`)).verdict,
      'accept',
    );
    assert.equal((await ask('intranet.example', { app: key })).verdict, 'accept');
  });

  test('an address or a name alone says that there are filters, with their line', async () => {
    for (const target of ['10.1.2.3', 'intranet.example']) {
      const { addresses, verdict } = await ask(target);
      assert.equal(verdict, undefined);
      assert.ok(addresses[0]?.steps.some(({ text: step, line }) => /aov-corp has filters/.test(step) && line === 2));
    }
    assert.doesNotMatch(JSON.stringify(await ask('198.51.100.200')), /has filters/);
  });

  test('what is wrong with the encrypted resolver that is asked', async () => {
    const { tunnels, encryptedDns } = {
      tunnels: [assumeTunnel(intent, 'aov-corp')],
      encryptedDns: {
        use: 'strict' as const,
        resolvers: [{ name: server.name, addresses: [server.address], protocols: ['dot'] }],
      },
    };
    const own = compilePlan({
      tunnels: tunnels.map((one) => ({ ...one, facts: { ...one.facts, dnsDomains: ['corp.example'], encryptedDns } })),
      host: assumeHost(),
    });
    const asked = { plans: { plan: own }, platform: { network: { encryptedResolvers: () => resolvers } } } as never;
    const texts = async (name: string) =>
      (await explainQuestion(asked, name, {}, look)).dns?.steps.map(({ text: step }) => step).join('\n') ?? '';
    assert.match(await texts('web.corp.example'), /does not name dns\.corp\.example \[AOV-HOST-343\]; Mend it\./);
    assert.doesNotMatch(await texts('www.example.org'), /AOV-HOST-343/);
  });

  test('an app by its path, a process by its number; what is not there is said', async () => {
    assert.match(JSON.stringify((await ask('/usr/bin/mail')).addresses), /accepted: it may use aov-corp/);
    assert.match(JSON.stringify((await ask(`pid:${process.pid}`)).addresses), new RegExp(key));
    for (const [target, asker] of [
      ['app:nothing', {}],
      ['pid:0', {}],
      ['pid:../1', {}],
      ['10.1.2.3', { pid: '999999999' }],
      ['10.1.2.3', { app: 'nothing' }],
    ] as const)
      await assert.rejects(ask(target, asker), /AOV-DAEMON-513/, target);
  });
});
