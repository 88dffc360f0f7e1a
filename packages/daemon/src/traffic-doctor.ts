import type { DoctorCheck } from '@aovpn/api';
import { readFilterSupport, type FilterSupport } from '@aovpn/host';
import type { Plan } from '@aovpn/policy';
import type { AppStore } from './app-store.ts';
import type { TrafficControl } from './traffic-control.ts';

/** Whether this machine can do what filters and apps need, and whether they are in force. What no profile needs is no failure. */
export async function checkTraffic(
  {
    plans,
    traffic,
    apps,
  }: { readonly plans: { readonly plan: Plan }; readonly traffic: TrafficControl; readonly apps: AppStore },
  support: () => Promise<readonly FilterSupport[]> = readFilterSupport,
): Promise<readonly DoctorCheck[]> {
  const { plan } = plans;
  const { state, problem, execWatch } = traffic.state;
  const forced = plan.apps.some(({ force }) => force);
  const needed: { readonly [K in FilterSupport['name']]: boolean } = {
    nft: plan.filters.length > 0 || forced,
    'cgroup v2': plan.apps.length > 0,
    'exec watch': plan.apps.length > 0,
    'socket marks': forced,
  };
  const checks = (await support()).map(({ name, works, found, cure }): DoctorCheck => ({
    name,
    verdict: works ? 'ok' : needed[name] || state === 'failed' ? 'failed' : 'warning',
    found: works ? found : `${found}${needed[name] ? '' : '; no profile in force needs it'}`,
    ...(cure !== undefined && { cure }),
  }));
  if (state === 'failed' && problem)
    checks.push({ name: 'filters', verdict: 'failed', found: `${problem.what} [${problem.code}]`, cure: problem.cure });
  else if (state === 'in-force') {
    const rules = plan.filters.reduce((sum, { rules: own }) => sum + own.length, 0);
    checks.push({
      name: 'filters',
      verdict: 'ok',
      found: `${rules} filters on ${plan.filters.length} tunnels, ${plan.apps.length} apps`,
    });
  }
  if (execWatch.state === 'stopped' || execWatch.state === 'unavailable')
    checks.push({
      name: 'starts of apps',
      verdict: 'failed',
      found: `not seen: ${execWatch.why ?? execWatch.state}`,
      cure: 'Such apps are refused on tunnels with filters meanwhile; look into the log of the daemon.',
    });
  for (const { source, where, what } of apps.faults)
    checks.push({
      name: 'apps.d',
      verdict: 'warning',
      found: `${source}: ${where}: ${what}`,
      cure: 'Correct the entry; it does not count.',
    });
  return checks;
}
