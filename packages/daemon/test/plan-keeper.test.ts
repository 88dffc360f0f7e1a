import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddress, parseAddress, parsePrefix } from '@aovpn/bytes';
import type { Network, NetworkFacts } from '@aovpn/host';
import { resolveProfile, type Intent, type Plan } from '@aovpn/policy';
import { parseProfile } from '@aovpn/profile';
import type { LockdownControl } from '../src/lockdown-control.ts';
import { Log } from '../src/log.ts';
import { PlanKeeper } from '../src/plan-keeper.ts';
import type { TrafficControl } from '../src/traffic-control.ts';
import type { TunnelNetwork } from '../src/tunnel-port.ts';

const xml = `<VPNProfile><NativeProfile><Servers>vpn.corp.example</Servers><NativeProtocolType>IKEv2</NativeProtocolType>
<RoutingPolicyType>SplitTunnel</RoutingPolicyType><Authentication><MachineMethod>Certificate</MachineMethod></Authentication></NativeProfile>
<DomainNameInformation><DomainName>.corp.example</DomainName><DnsServers>10.0.0.53</DnsServers></DomainNameInformation></VPNProfile>`;

/** The machine as it is asked about, and what is applied to it; only what differs counts here. */
function keeper(): { readonly plans: PlanKeeper; readonly applied: Plan[]; servers: string; asked: number } {
  const parsed = parseProfile(new TextEncoder().encode(xml));
  assert.ok(parsed.profile);
  const intent: Intent = resolveProfile('corp', parsed.profile).intent;
  const applied: Plan[] = [];
  const made = { applied, servers: '192.0.2.53', asked: 0 } as unknown as ReturnType<typeof keeper>;
  const network = {
    expectPlan: () => {},
    networkFacts: () => {
      made.asked++;
      const facts: NetworkFacts = {
        defaultRoutes: [],
        addresses: [],
        localSubnets: [],
        ownSubnets: [],
        running: [],
        sources: {},
        resolver: { owner: 'stub', trace: [], servers: [parseAddress(made.servers)!], search: [], linkDomains: [] } as never,
        suffixes: [],
      };
      return Promise.resolve(facts);
    },
    applyPlan: (plan: Plan) => {
      applied.push(plan);
      return Promise.resolve({ changes: [], now: plan, resolver: { done: [] } });
    },
  } as unknown as Network;
  const plans = new PlanKeeper({
    network,
    mark: 7,
    intents: () => new Map([['corp', intent]]),
    traffic: {
      apply: (_before: Plan, _next: Plan, routes: { apply(): Promise<void> }) => routes.apply(),
    } as unknown as TrafficControl,
    lockdown: {
      apply: () => Promise.resolve(),
      facts: { endpoints: new Map(), unlocked: new Set(), questions: [] },
    } as unknown as LockdownControl,
    isBrought: () => false,
    facts: () => Promise.resolve({ apps: new Map(), identities: new Map(), released: new Set(), readiness: new Map() } as never),
    onApplied: () => {},
    names: () => [],
    encryptedDns: () => Promise.resolve(undefined),
    log: new Log({ level: 'error', format: 'text', journal: false, write: () => {}, clock: () => 0 }),
  });
  return Object.assign(made, { plans });
}

const tunnel = {
  device: 'aov0',
  mtu: 1400,
  gateway: parseAddress('203.0.113.1')!,
  kernelEsp: false,
  configuration: {
    addresses: [parsePrefix('10.9.0.1/32')!],
    dns: [],
    dnsDomains: [],
    dnssecAnchors: [],
    encryptedDns: [],
    subnets: [],
    other: [],
  },
  selectors: [],
  facts: {},
} as unknown as TunnelNetwork;

/** The machine's own name servers, as the last plan has them. */
const servers = (applied: readonly Plan[]): readonly string[] => applied.at(-1)!.dns.physical.map(formatAddress);

suite('the plan of a tunnel that was expected', () => {
  test('is made from what was read then: nobody waits for the machine to be asked again', async () => {
    const made = keeper();
    made.plans.expect();
    made.servers = '192.0.2.99';
    await made.plans.add('corp', tunnel);
    assert.deepEqual(servers(made.applied), ['192.0.2.53']);
    assert.equal(made.asked, 1);
  });

  test('is made from what is true now where anything has changed meanwhile', async () => {
    const made = keeper();
    made.plans.expect();
    made.servers = '192.0.2.99';
    await made.plans.refresh();
    await made.plans.add('corp', tunnel);
    assert.deepEqual(servers(made.applied), ['192.0.2.99']);
  });

  test('what was read serves one plan', async () => {
    const made = keeper();
    made.plans.expect();
    await made.plans.add('corp', tunnel);
    await made.plans.refresh();
    assert.equal(made.asked, 2);
  });
});
