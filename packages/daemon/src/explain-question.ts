import type { Explanation } from '@aovpn/api';
import { formatAddress, parseAddress, type IpAddress } from '@aovpn/bytes';
import { explain, explainApp, explainFlow, explainProgram, parseFlow, planOfUser, type ProgramFacts } from '@aovpn/policy';
import { asciiName } from './ascii-name.ts';
import { DaemonError } from './daemon-error.ts';
import type { Daemon } from './daemon.ts';
import { programOf } from './traffic-report.ts';

/** Whose traffic it is, as far as the question says. */
export interface Asker {
  readonly app?: string | undefined;
  readonly pid?: string | undefined;
  /** Number of a user. */
  readonly user?: number | undefined;
}

/**
 * The answer to `aovpn explain`: a name, an address, a connection in any usual form, `app:NAME` or `pid:NUMBER`.
 * @param look asks the system's resolver about a name
 * @throws {DaemonError} AOV-DAEMON-513 when the question names what is not there
 */
export async function explainQuestion(
  daemon: Pick<Daemon, 'plans' | 'traffic' | 'apps' | 'platform'>,
  written: string,
  asker: Asker,
  look: (name: string) => Promise<readonly IpAddress[]>,
): Promise<Explanation> {
  const target = asciiName(written) || written;
  const { plan: whole } = daemon.plans;
  const plan = asker.user === undefined ? whole : planOfUser(whole, asker.user);
  // Asking for a name that brings a tunnel up would bring it up.
  const { dns } = explain(plan, target);
  const mayLook = (name: string): Promise<readonly IpAddress[]> =>
    dns?.waits || dns?.refused !== undefined ? Promise.resolve([]) : look(name);
  if (target.startsWith('pid:')) return explainProgram(plan, processOf(daemon, target.slice(4)));
  if (target.startsWith('app:')) return explainKnown(daemon, target.slice(4));
  const flow = parseFlow(target);
  const owner = ownerOf(daemon, asker, flow?.pid);
  if (flow) return explainFlow(plan, flow, owner);
  const address = parseAddress(target);
  if (owner) {
    // Whose it is decides: of a name, what its first address comes to.
    const to = address ?? (await mayLook(target))[0];
    if (to) return explainFlow(plan, { destination: { address: to } }, owner);
  }
  if (!address && /[\\/%]/.test(target)) return explainKnown(daemon, target);
  const answer = explain(plan, target, address ? [] : await mayLook(target));
  return answer.dns
    ? { ...answer, dns: { ...answer.dns, steps: [...answer.dns.steps, ...failing(daemon, answer.dns.servers)] } }
    : answer;
}

/** What is wrong now with encrypted resolvers among those that are asked. */
function failing({ platform }: Pick<Daemon, 'platform'>, servers: readonly string[]): { readonly text: string }[] {
  return platform.network.encryptedResolvers().flatMap(({ server, failure }) => {
    const place = formatAddress(server.address);
    return failure && servers.includes(place)
      ? [{ text: `${server.name} (${place}) gives no answer now: ${failure.what} [${failure.code}]; ${failure.cure}` }]
      : [];
  });
}

function explainKnown({ plans, apps }: Pick<Daemon, 'plans' | 'apps'>, name: string): Explanation {
  const found = explainApp(plans.plan, name, apps.catalogue);
  if (!found)
    throw new DaemonError(
      'AOV-DAEMON-513',
      `no profile in force names an app ${JSON.stringify(name.slice(0, 80))} (aovpn app list)`,
    );
  return found;
}

function ownerOf(
  daemon: Pick<Daemon, 'plans' | 'traffic'>,
  { app, pid }: Asker,
  pasted: number | undefined,
): ProgramFacts | undefined {
  if (app !== undefined) {
    const known = daemon.plans.plan.apps.find(({ key, title }) => key === app || title.toLowerCase() === app.toLowerCase());
    if (!known)
      throw new DaemonError(
        'AOV-DAEMON-513',
        `no profile in force names an app ${JSON.stringify(app.slice(0, 80))} (aovpn app list)`,
      );
    return { uid: 1000, gid: 1000, app: known.key };
  }
  if (pid !== undefined) return processOf(daemon, pid);
  // A process of a pasted line may have ended meanwhile.
  return pasted === undefined ? undefined : programOf(pasted, daemon.traffic);
}

function processOf({ traffic }: Pick<Daemon, 'traffic'>, text: string): ProgramFacts {
  const program = /^\d{1,9}$/.test(text) ? programOf(Number(text), traffic) : undefined;
  if (!program) throw new DaemonError('AOV-DAEMON-513', `there is no process ${JSON.stringify(text.slice(0, 20))}`);
  return program;
}
