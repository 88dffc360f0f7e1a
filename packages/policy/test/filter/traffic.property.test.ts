import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatAddress, type IpAddress } from '@aovpn/bytes';
import type { Profile, TrafficFilter } from '@aovpn/profile';
import fc from 'fast-check';
import { decidePacket, explainFlow, printPlan, printRuleset, type Packet, type Plan } from '../../src/index.ts';
import { anyFilteredProfile, anyPacket, planOfTraffic, trafficWorld } from '../../testkit/traffic.ts';

const anyCase = anyFilteredProfile.chain((profile) => {
  const plan = planOfTraffic(profile);
  return fc.record({
    profile: fc.constant(profile),
    plan: fc.constant(plan),
    packets: fc.array(anyPacket(plan), { minLength: 1, maxLength: 20 }),
  });
});

/** The words of the documentation and nothing else: some filter all of whose fields hold. */
function allowed(profile: Profile, packet: Packet): boolean {
  return profile.trafficFilters.some((filter) => fits(filter, packet));
}

function fits(filter: TrafficFilter, packet: Packet): boolean {
  if ((filter.direction?.value === 'Inbound') !== (packet.direction === 'in')) return false;
  if (filter.protocol && filter.protocol.value !== packet.protocol) return false;
  const port = (ranges: TrafficFilter['localPortRanges'], value: number | undefined): boolean =>
    !ranges || ranges.value.some(({ from, to }) => value !== undefined && from <= value && value <= to);
  if (!port(filter.localPortRanges, packet.localPort) || !port(filter.remotePortRanges, packet.remotePort)) return false;
  const inside = (ranges: TrafficFilter['localAddressRanges'], value: IpAddress): boolean =>
    !ranges || ranges.value.some((text) => contains(text, formatAddress(value)));
  if (!inside(filter.localAddressRanges, packet.local) || !inside(filter.remoteAddressRanges, packet.remote)) return false;
  return appFits(filter, packet) && claimsFit(filter, packet);
}

function appFits({ app }: TrafficFilter, { socket, direction }: Packet): boolean {
  const key = socket?.app;
  switch (app?.value.id) {
    case undefined:
      return true;
    case 'SYSTEM':
      return socket === undefined || (key === undefined && direction === 'out' && socket.uid === 0);
    case trafficWorld.apps[0].id:
      // Its own executable as a path is the app as well.
      return key === 'alpha' || key?.startsWith('x-alpha-') === true;
    case trafficWorld.apps[1].id:
      return key === 'beta';
    case '/usr/bin/alpha':
      return key?.startsWith('x-alpha-') === true;
    default:
      return false;
  }
}

function claimsFit({ app, claims }: TrafficFilter, { socket, direction }: Packet): boolean {
  if (!claims) return true;
  if (!socket || direction === 'in' || app?.value.type === 'System') return false;
  const { uid, gid } = socket;
  const text = claims.value;
  if (text.includes('(D;;CC;;;S-1-5-21-1-1-1-1001)')) return uid !== 1001;
  if (text.includes(';;;SY)')) return gid === 1500 || uid === 0;
  return text.includes('1001') ? uid === 1001 : gid === 1500;
}

/** By whole numbers written out, not by the code under test. */
function contains(range: string, address: string): boolean {
  const v6 = address.includes(':');
  if (range.includes(':') !== v6) return false;
  const number = (text: string): bigint => {
    if (!v6) return text.split('.').reduce((value, part) => value * 256n + BigInt(part), 0n);
    const [head = '', tail = ''] = text.split('::');
    const left = head.split(':').filter((part) => part !== '');
    const right = tail.split(':').filter((part) => part !== '');
    const zeros = text.includes('::') ? Array.from({ length: 8 - left.length - right.length }, () => '0') : [];
    return [...left, ...zeros, ...right].reduce((value, part) => value * 65536n + BigInt(`0x${part}`), 0n);
  };
  const value = number(address);
  if (range.includes('-') && !range.includes('/')) {
    const [from, to] = range.split('-');
    return number(from!) <= value && value <= number(to!);
  }
  const [network, length] = range.split('/');
  const width = v6 ? 128 : 32;
  const shift = BigInt(width - Number(length ?? width));
  return number(network!) >> shift === value >> shift;
}

suite('random filters, random packets', () => {
  test('the model is OR of ANDs over the profile as written', () => {
    let accepted = 0;
    let refused = 0;
    fc.assert(
      fc.property(anyCase, ({ profile, plan, packets }) => {
        for (const packet of packets) {
          const { verdict } = decidePacket(plan, packet);
          assert.equal(verdict, allowed(profile, packet) ? 'accept' : 'refuse', describe(plan, packet));
          if (verdict === 'accept') accepted++;
          else refused++;
        }
      }),
      { numRuns: 400 },
    );
    assert.ok(accepted > 500 && refused > 500, `both happen: ${accepted} accepted, ${refused} refused`);
  });

  test('answers and related errors always pass, forwarded packets only by filters without owner', () => {
    fc.assert(
      fc.property(anyCase, ({ plan, packets }) => {
        for (const packet of packets) {
          for (const state of ['reply', 'related'] as const)
            assert.equal(decidePacket(plan, { ...packet, state }).verdict, 'accept');
          const { verdict, rule } = decidePacket(plan, { ...packet, forwarded: true });
          if (verdict === 'accept') assert.equal(rule?.owner, undefined);
        }
      }),
      { numRuns: 50 },
    );
  });

  test('the last line of explain is what the model says', () => {
    fc.assert(
      fc.property(anyCase, ({ plan, packets }) => {
        for (const { protocol, local, remote, localPort, remotePort, socket, direction } of packets) {
          // Explain answers for programs; the kernel itself cannot be asked for.
          if (!socket) continue;
          const end = (address: IpAddress, port: number | undefined) => ({ address, ...(port === undefined ? {} : { port }) });
          const [source, destination] =
            direction === 'out'
              ? [end(local, localPort), end(remote, remotePort)]
              : [end(remote, remotePort), end(local, localPort)];
          const told = explainFlow(plan, { protocol, source, destination }, socket);
          const packet: Packet = {
            device: trafficWorld.device,
            direction,
            state: 'original',
            protocol,
            local,
            remote,
            socket,
            ...(localPort === undefined ? {} : { localPort, remotePort: remotePort! }),
          };
          const decision = decidePacket(plan, packet);
          assert.equal(told.verdict, decision.verdict);
          const last = told.addresses[0]!.steps.at(-1)!;
          assert.ok(last.text.startsWith(decision.verdict === 'accept' ? 'accepted' : 'refused'), last.text);
          if (decision.rule) assert.equal(last.line, decision.rule.because.at?.line);
          assert.ok(told.changes.length > 0);
        }
      }),
      { numRuns: 100 },
    );
  });

  test('plan and ruleset are the same for the same facts', () => {
    fc.assert(
      fc.property(anyFilteredProfile, (profile) => {
        const [a, b] = [planOfTraffic(profile), planOfTraffic(profile)];
        assert.equal(printPlan(a), printPlan(b));
        const facts = { appCgroups: new Map(a.apps.map(({ key }) => [key, [{ path: `aovpn/${key}`, level: 2 }]])) };
        assert.equal(printRuleset(a, facts), printRuleset(b, facts));
      }),
      { numRuns: 50 },
    );
  });
});

function describe(plan: Plan, packet: Packet): string {
  return `${printPlan(plan)}${JSON.stringify({ ...packet, local: formatAddress(packet.local), remote: formatAddress(packet.remote) })}`;
}
