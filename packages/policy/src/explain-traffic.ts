import { formatAddress, sameAddress, type IpAddress } from '@aovpn/bytes';
import { emptyCatalogue, type AppCatalogue } from './app/app-catalogue.ts';
import { appNameOf } from './app/app-name.ts';
import { matchesExecutable } from './app/executable.ts';
import type { PlanExplanation, PlanExplanationStep } from './explain.ts';
import type { Because } from './facts.ts';
import {
  decidePacket,
  misfitsOf,
  type Misfit,
  type Packet,
  type PacketDecision,
  type SocketOwner,
  type Verdict,
} from './filter/decide-packet.ts';
import { describeAddresses, describeAccess, describeRule, protocolName } from './filter/describe-rule.ts';
import { impliedNumber } from './filter/name-server-rule.ts';
import { formatNumberRanges } from './filter/number-ranges.ts';
import type { Endpoint, Flow } from './flow-text.ts';
import { heldBack } from './lockdown/held-back.ts';
import type { AppPlan, FilterPlan, FilterRule, Plan } from './plan.ts';
import { lookUpRoute } from './route-lookup.ts';

/** What is known about the program behind a question. */
export interface ProgramFacts extends SocketOwner {
  readonly pid?: number;
  /** Path of its executable. */
  readonly exe?: string;
}

/** The same shape as the explanation of an address, so that it can be shown the same way; the last step is the outcome. */
export interface TrafficExplanation extends PlanExplanation {
  readonly verdict: Verdict;
  /** What would turn the verdict round, most likely first. */
  readonly changes: readonly PlanExplanationStep[];
}

/** Rules that are listed one by one before the rest is only counted. */
const listed = 24;
const changesShown = 5;
/** RFC 6335: what a client takes when it does not care; stands in where a question has no local port. */
const ephemeralPort = 49152;

const anywhere: Readonly<Record<4 | 6, IpAddress>> = {
  4: { family: 4, bytes: new Uint8Array(4) },
  6: { family: 6, bytes: new Uint8Array(16) },
};

/**
 * What happens to a connection: which way it goes, each filter in order, and what would change the outcome.
 * @param program who sends or receives; absent: a program of an ordinary user that no profile names
 */
export function explainFlow(plan: Plan, flow: Flow, program?: ProgramFacts): TrafficExplanation {
  const socket = program ?? { uid: 1000, gid: 1000 };
  const inbound = ownTunnel(plan, flow.destination.address);
  const steps: PlanExplanationStep[] = [whoStep(plan, program)];
  const target = describeFlow(flow);
  if (flow.protocol === undefined) steps.push({ text: 'no protocol was given: TCP is assumed' });
  const protocol = flow.protocol ?? 6;
  if (inbound && flow.source) {
    steps.push({
      text: `${formatAddress(flow.destination.address)} is our address in ${inbound.device}: the packet comes in there`,
    });
    const packet = packetOf(inbound.device, 'in', protocol, flow.destination, flow.source, socket);
    return conclude(plan, target, packet, steps, { path: 'tunnel', connection: inbound.profile, device: inbound.device });
  }
  const way = outward(plan, flow, socket, steps);
  if ('unreachable' in way) {
    const outcome: PlanExplanationStep = { ...way.unreachable, text: `refused: ${way.unreachable.text}` };
    return explanation(target, 'refuse', 'unreachable', {}, [...steps, outcome], []);
  }
  const local = flow.source ?? { address: way.source ?? anywhere[flow.destination.address.family] };
  const packet = packetOf(way.device ?? '', 'out', protocol, local, flow.destination, socket);
  return conclude(plan, target, packet, steps, way);
}

/**
 * What an app may do, tunnel by tunnel. Undefined when no profile in force names it.
 * @param name its key, title, an executable, a desktop, flatpak or snap id; with a catalogue also what profiles call it
 */
export function explainApp(plan: Plan, name: string, catalogue: AppCatalogue = emptyCatalogue): TrafficExplanation | undefined {
  const wanted = name.trim();
  const lower = wanted.toLowerCase();
  const type = /[\\/:%]/.test(wanted) ? 'FilePath' : 'PackageFamilyName';
  const known = catalogue.find(appNameOf({ id: wanted, type }))?.key;
  const app = plan.apps.find(
    ({ key, title, executables, desktop, flatpak, snap }) =>
      key === known ||
      [key, title, ...desktop, ...flatpak, ...snap].some((one) => one.toLowerCase() === lower) ||
      executables.some((pattern) => matchesExecutable(pattern, wanted)),
  );
  return app && explainKnownApp(plan, app, [], app.title);
}

/** What a process may do. */
export function explainProgram(plan: Plan, program: ProgramFacts): TrafficExplanation {
  const app = plan.apps.find(({ key }) => key === program.app);
  const title = program.pid === undefined ? (program.exe ?? 'this program') : `pid ${program.pid}`;
  const steps = [whoStep(plan, program)];
  if (app) return explainKnownApp(plan, app, steps, title);
  const rules = plan.filters.flatMap((filter) =>
    filter.rules.filter((rule) => mayUse(rule, program)).map((rule) => ({ filter, rule })),
  );
  return summariseRights(plan, title, steps, rules);
}

function explainKnownApp(plan: Plan, app: AppPlan, before: readonly PlanExplanationStep[], target: string): TrafficExplanation {
  const steps: PlanExplanationStep[] = [...before, stepOf(`${app.title} is app ${app.key}`, app.because)];
  if (app.perAppVpn) steps.push({ text: `per-app VPN: its start brings up ${app.triggers.join(', ')}, and filters let it in` });
  else if (app.triggers.length > 0) steps.push({ text: `its start brings up ${app.triggers.join(', ')}` });
  const owner: SocketOwner = { uid: 1000, gid: 1000, app: app.key };
  const rules = plan.filters.flatMap((filter) =>
    filter.rules.filter((rule) => mayUse(rule, owner)).map((rule) => ({ filter, rule })),
  );
  return summariseRights(plan, target, steps, rules, app);
}

function summariseRights(
  plan: Plan,
  target: string,
  steps: PlanExplanationStep[],
  rules: readonly { readonly filter: FilterPlan; readonly rule: FilterRule }[],
  app?: AppPlan,
): TrafficExplanation {
  if (app?.force) {
    const where =
      app.force.device === undefined ? 'its tunnel is down: nothing leaves' : `all its traffic goes into ${app.force.device}`;
    steps.push(stepOf(`ForceTunnel: ${where}`, routeBecause(plan, app) ?? app.because));
  }
  for (const { filter, rule } of rules.slice(0, listed))
    steps.push(stepOf(`${filter.device} lets through ${describeRule(rule)} (${nameOfRule(rule)})`, rule.because));
  if (rules.length > listed) steps.push({ text: `and ${rules.length - listed} filters more` });
  const open = plan.tunnels.filter(({ device }) => plan.filters.every((filter) => filter.device !== device));
  for (const { device } of open) steps.push({ text: `${device} has no filters: everything may use it` });
  const devices = [...new Set([...rules.map(({ filter }) => filter.device), ...open.map(({ device }) => device)])];
  const verdict: Verdict = devices.length > 0 ? 'accept' : 'refuse';
  const text = devices.length > 0 ? `accepted: it may use ${devices.join(', ')}` : 'refused: no tunnel lets it in';
  const tunnel = plan.tunnels.find(({ device }) => device === (app?.force?.device ?? devices[0]));
  const where = tunnel ? { connection: tunnel.profile, device: tunnel.device } : {};
  const path = app?.force && app.force.device === undefined ? 'unreachable' : tunnel ? 'tunnel' : 'physical';
  return explanation(target, verdict, path, where, [...steps, { text }], []);
}

/** Whether some packet of this owner could fit. */
function mayUse(rule: FilterRule, owner: SocketOwner): boolean {
  if (!rule.owner) return true;
  const probe = packetOf('', rule.direction, rule.protocol ?? 6, { address: anywhere[4] }, { address: anywhere[4] }, owner);
  return !misfitsOf(rule, probe).some((misfit) => misfit === 'app' || misfit === 'system' || misfit === 'claims');
}

interface Way {
  readonly path: 'tunnel' | 'physical';
  readonly connection?: string;
  /** Absent: whatever device the machine itself chooses. */
  readonly device?: string;
  readonly source?: IpAddress;
}

/** Where the packet leaves; adds the steps that say why. */
function outward(
  plan: Plan,
  flow: Flow,
  socket: SocketOwner,
  steps: PlanExplanationStep[],
): Way | { readonly unreachable: PlanExplanationStep } {
  const app = plan.apps.find(({ key }) => key === socket.app);
  const verdict = lookUpRoute(plan, flow.destination.address, app?.force?.mark ?? 0, socket.uid);
  if (verdict.rule?.mark !== undefined && app?.force)
    steps.push(
      stepOf(`rule ${verdict.rule.priority}: sockets of ${app.key} look into table ${app.force.table}`, verdict.rule.because),
    );
  else if (verdict.rule?.users)
    steps.push(stepOf(`rule ${verdict.rule.priority}: uid ${socket.uid} looks into a table of its own`, verdict.rule.because));
  const { route } = verdict;
  const text = formatAddress(flow.destination.address);
  if (route?.kind === 'unreachable')
    return { unreachable: stepOf(`${text} is unreachable: ${route.because.why}`, route.because) };
  if (route?.kind === 'tunnel') {
    steps.push(stepOf(`${text} goes into ${route.device}: ${route.because.why}`, route.because));
    const connection = plan.tunnels.find(({ device }) => device === route.device)?.profile ?? route.because.profile;
    return { path: 'tunnel', connection, device: route.device!, ...(route.source ? { source: route.source } : {}) };
  }
  if (route) steps.push(stepOf(`${text} stays outside the tunnels: ${route.because.why}`, route.because));
  else steps.push({ text: `no tunnel route for ${text}: the machine’s own routing decides` });
  const refused = heldBack(plan, flow.destination.address);
  return refused ? { unreachable: stepOf(refused.why, refused) } : { path: 'physical' };
}

function conclude(plan: Plan, target: string, packet: Packet, steps: PlanExplanationStep[], way: Way): TrafficExplanation {
  const decision = decidePacket(plan, packet);
  const { filter } = decision;
  if (filter) {
    steps.push(stepOf(`${filter.device} has filters: what none of them allows is refused`, filter.because));
    listRules(filter, packet, decision, steps);
  } else if (way.path === 'tunnel') steps.push({ text: `${packet.device} has no filters` });
  const changes = decision.verdict === 'refuse' ? whatWouldAllow(decision, packet) : whatWouldRefuse(decision, packet);
  steps.push(outcome(decision, packet));
  const path = decision.verdict === 'refuse' ? 'unreachable' : way.path;
  const where =
    way.connection === undefined
      ? {}
      : { connection: way.connection, ...(way.device === undefined ? {} : { device: way.device }) };
  return explanation(target, decision.verdict, path, where, steps, changes);
}

function listRules(filter: FilterPlan, packet: Packet, { rule }: PacketDecision, steps: PlanExplanationStep[]): void {
  const considered = rule ? filter.rules.slice(0, filter.rules.indexOf(rule)) : filter.rules;
  for (const one of considered.slice(0, listed)) {
    const why = misfitsOf(one, packet).map((misfit) => describeMisfit(misfit, one, packet));
    steps.push(stepOf(`${nameOfRule(one)} (${describeRule(one)}) does not fit: ${why.join('; ')}`, one.because));
  }
  if (considered.length > listed) steps.push({ text: `nor do ${considered.length - listed} filters more` });
  const dead = filter.unusable.filter(({ number }) => !rule || number < rule.number);
  for (const { because } of dead.slice(0, listed)) steps.push(stepOf(`${because.why}: it can never fit`, because));
  if (rule) steps.push(stepOf(`${nameOfRule(rule)} (${describeRule(rule)}) fits`, rule.because));
}

function outcome({ verdict, reason, rule, app }: PacketDecision, packet: Packet): PlanExplanationStep {
  switch (reason) {
    case 'unfiltered':
      return { text: 'accepted: no filter applies' };
    case 'answer':
      return { text: 'accepted: it belongs to a connection that was allowed' };
    case 'filter':
      return stepOf(`accepted: ${nameOfRule(rule!)} allows it`, rule!.because);
    case 'nothing-fits':
      return { text: `refused: no filter of ${packet.device} fits` };
    case 'forced-elsewhere':
      return stepOf(
        `${verdict === 'refuse' ? 'refused' : 'accepted'}: ${app!.key} may leave through its tunnel only`,
        app!.because,
      );
  }
}

function whatWouldAllow({ filter, app }: PacketDecision, packet: Packet): readonly PlanExplanationStep[] {
  if (app) return [stepOf('it would pass inside the tunnel, or without ForceTunnel', app.because)];
  const near: PlanExplanationStep[] = [];
  for (const rule of filter?.rules ?? []) {
    const misfits = misfitsOf(rule, packet);
    if (misfits.length !== 1) continue;
    near.push(stepOf(`${nameOfRule(rule)} would allow it if ${wouldNeed(misfits[0]!, rule)}`, rule.because));
    if (near.length === changesShown) break;
  }
  const ports = packet.remotePort === undefined || packet.direction === 'in' ? '' : ` with RemotePortRanges ${packet.remotePort}`;
  const inward = packet.direction === 'in' ? ' with Direction Inbound' : '';
  return [...near, { text: `another TrafficFilter with Protocol ${packet.protocol}${ports}${inward} would allow it` }];
}

function whatWouldRefuse({ filter, rule }: PacketDecision, packet: Packet): readonly PlanExplanationStep[] {
  if (!filter || !rule) return [];
  const others = filter.rules.filter((other) => other !== rule && misfitsOf(other, packet).length === 0);
  const also =
    others.length === 0
      ? ''
      : `, and the ${others.length === 1 ? `${nameOfRule(others[0]!)} that fits` : `${others.length} others that fit`}`;
  return [stepOf(`without ${nameOfRule(rule)}${also} it would be refused`, rule.because)];
}

function describeMisfit(misfit: Misfit, rule: FilterRule, packet: Packet): string {
  switch (misfit) {
    case 'direction':
      return `it is about what ${rule.direction === 'in' ? 'comes in' : 'goes out'}`;
    case 'app':
      return packet.socket?.app === undefined ? 'the program is no app of a profile' : `the program is ${packet.socket.app}`;
    case 'system':
      return 'the program is neither the kernel nor a system service';
    case 'claims':
      return packet.direction === 'in'
        ? 'users are not known for what comes in'
        : `uid ${packet.socket?.uid} gid ${packet.socket?.gid} is not allowed`;
    case 'protocol':
      return `the protocol is ${protocolName(packet.protocol)}`;
    case 'local-port':
      return `the local port is ${packet.localPort ?? 'none'}`;
    case 'remote-port':
      return `the remote port is ${packet.remotePort ?? 'none'}`;
    case 'local':
      return `the local address is ${formatAddress(packet.local)}`;
    case 'remote':
      return `the remote address is ${formatAddress(packet.remote)}`;
  }
}

function wouldNeed(misfit: Misfit, { direction, owner, protocol, localPorts, remotePorts, local, remote }: FilterRule): string {
  switch (misfit) {
    case 'direction':
      return direction === 'in' ? 'it came in' : 'it went out';
    case 'app':
      return `the program were ${owner!.apps!.join(' or ')}`;
    case 'system':
      return 'the kernel or a system service sent it';
    case 'claims':
      return `the user were ${describeAccess(owner!.access!)}`;
    case 'protocol':
      return `the protocol were ${protocolName(protocol!)}`;
    case 'local-port':
      return `the local port were ${formatNumberRanges(localPorts!.slice(0, changesShown))}`;
    case 'remote-port':
      return `the remote port were ${formatNumberRanges(remotePorts!.slice(0, changesShown))}`;
    case 'local':
      return `the local address were in ${describeAddresses(local!.slice(0, changesShown))}`;
    case 'remote':
      return `the remote address were in ${describeAddresses(remote!.slice(0, changesShown))}`;
  }
}

function nameOfRule({ number }: FilterRule): string {
  return number === impliedNumber ? 'the implied rule' : `filter ${number}`;
}

function whoStep(plan: Plan, program: ProgramFacts | undefined): PlanExplanationStep {
  if (!program) return { text: 'an ordinary program is assumed that no profile names; ask for an app or a pid for others' };
  const app = plan.apps.find(({ key }) => key === program.app);
  const name = [program.pid === undefined ? '' : `pid ${program.pid}`, program.exe ?? '', `uid ${program.uid}`]
    .filter((text) => text !== '')
    .join(' ');
  if (app) return stepOf(`${name} is app ${app.key}`, app.because);
  return { text: `${name} is no app of a profile${program.app === undefined ? '' : ` (its cgroup says ${program.app})`}` };
}

function packetOf(
  device: string,
  direction: 'out' | 'in',
  protocol: number,
  local: Endpoint,
  remote: Endpoint,
  socket: SocketOwner,
): Packet {
  const ports = protocol === 6 || protocol === 17;
  const localPort = local.port ?? (direction === 'out' ? ephemeralPort : undefined);
  const remotePort = remote.port ?? (direction === 'in' ? ephemeralPort : undefined);
  return {
    device,
    direction,
    state: 'original',
    protocol,
    local: local.address,
    remote: remote.address,
    ...(ports && localPort !== undefined ? { localPort } : {}),
    ...(ports && remotePort !== undefined ? { remotePort } : {}),
    socket,
  };
}

function ownTunnel(plan: Plan, address: IpAddress): Plan['tunnels'][number] | undefined {
  return plan.tunnels.find(({ addresses }) => addresses.some((own) => sameAddress(own.address, address)));
}

function routeBecause(plan: Plan, { force }: AppPlan): Because | undefined {
  return plan.rules.find(({ mark }) => mark !== undefined && mark === force?.mark)?.because;
}

function describeFlow({ protocol, source, destination }: Flow): string {
  const text = ({ address, port }: Endpoint): string => {
    const shown = formatAddress(address);
    if (port === undefined) return shown;
    return address.family === 6 ? `[${shown}]:${port}` : `${shown}:${port}`;
  };
  return [
    ...(protocol === undefined ? [] : [protocolName(protocol)]),
    ...(source ? [text(source), '>'] : []),
    text(destination),
  ].join(' ');
}

function explanation(
  target: string,
  verdict: Verdict,
  path: 'tunnel' | 'physical' | 'unreachable',
  where: { readonly connection?: string; readonly device?: string },
  steps: readonly PlanExplanationStep[],
  changes: readonly PlanExplanationStep[],
): TrafficExplanation {
  const last = steps.at(-1)!;
  return {
    target,
    verdict,
    addresses: [{ address: target, path, ...where, steps }],
    summary: `${target}: ${last.text}`,
    changes,
  };
}

function stepOf(text: string, because: Because): PlanExplanationStep {
  return {
    text,
    ...(because.profile === '' ? {} : { profile: because.profile }),
    ...(because.at ? { line: because.at.line } : {}),
  };
}
