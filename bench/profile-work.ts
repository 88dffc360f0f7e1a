import { parseAddress } from '@aovpn/bytes';
import { compilePlan, resolveProfile } from '@aovpn/policy';
import { parseProfile } from '@aovpn/profile';
import { certificateProfile } from '../lab/profile-xml.ts';

/** A profile of about so many octets, of routes and name rules in equal number. */
export function profileOfSize(octets: number): Uint8Array {
  const count = Math.max(1, Math.floor((octets - 900) / 225));
  const routes = Array.from({ length: count }, (_, i) => ({
    address: `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`,
    prefixSize: 32,
  }));
  const names = Object.fromEntries(routes.map((_, i) => [`.department-${i}.corp.example`, ['10.20.0.53']]));
  return new TextEncoder().encode(certificateProfile({ routes, names }));
}

/** Everything from the file to the plan for a machine. @returns milliseconds */
export function parseAndCompile(file: Uint8Array): number {
  const started = performance.now();
  const { profile, diagnostics } = parseProfile(file);
  if (!profile)
    throw new Error(`the profile is not usable: ${diagnostics.find(({ severity }) => severity === 'error')?.message}`);
  const { intent } = resolveProfile('bench', profile);
  const plan = compilePlan({
    tunnels: [
      {
        intent,
        facts: {
          profile: 'bench',
          device: 'aovpn0',
          mtu: 1380,
          addresses: [{ address: parseAddress('10.30.0.10')!, length: 32 }],
          dns: [],
          dnsDomains: [],
          subnets: [],
          remoteSelectors: [],
          gateway: parseAddress('203.0.113.2')!,
        },
      },
    ],
    host: { resolver: 'stub', physicalDns: [parseAddress('198.18.0.53')!], mark: 1 },
  });
  const took = performance.now() - started;
  if (plan.routes.length < intent.routes.length) throw new Error('the plan has not all routes');
  return took;
}
