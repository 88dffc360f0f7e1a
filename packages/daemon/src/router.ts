import { lookup } from 'node:dns/promises';
import { domainToASCII } from 'node:url';
import {
  requestPermissions,
  type DaemonEvent,
  type DaemonStatus,
  type ErrorAnswer,
  type Permission,
  type Requests,
} from '@aovpn/api';
import { parseAddress, type IpAddress } from '@aovpn/bytes';
import type { ControlAnswer, ControlHandling, ControlRequest, LineSink, Peer } from '@aovpn/host';
import { parseProfile } from '@aovpn/profile';
import type { AccessDesk } from './access-desk.ts';
import { DaemonError, type DaemonErrorCode } from './daemon-error.ts';
import type { Daemon } from './daemon.ts';
import { doctorReport } from './doctor.ts';
import { explainQuestion } from './explain-question.ts';
import { diffProfile } from './plan-diff.ts';
import { removeProfile, storeProfile } from './put-profile.ts';
import {
  readAnnounceSession,
  readDiffProfile,
  readEnrolmentSecret,
  readOpenPortal,
  readPromptAnswer,
  readPutProfile,
} from './request-schema.ts';
import { findUser } from './sign-ins.ts';
import { appsReport, planText, whichApp } from './traffic-report.ts';

type RequestName = keyof typeof requestPermissions;

const withBody: ReadonlySet<RequestName> = new Set([
  'PUT /v1/profiles/:name',
  'POST /v1/prompts/:id',
  'POST /v1/diff',
  'POST /v1/portal/open',
  'POST /v1/enrolments/:name/enrol',
  'POST /v1/session/open',
  'POST /v1/session/close',
]);
/** How much of a question is read: a line of ss or conntrack is shorter. */
const maxQuestion = 1000;

/** How long `explain` waits for the system's resolver, milliseconds. */
const lookupPatience = 5_000;

/** The answer to each request of the contract, for whoever may ask it. */
export function createRouter(daemon: Daemon, desk: AccessDesk): (request: ControlRequest) => Promise<ControlHandling> {
  return async (request) => {
    const matching = match(request);
    if (!matching) return told(failure(404, 'AOV-DAEMON-511'), daemon);
    const found = meant(daemon, matching, request.peer.uid);
    const { peer, interactive, gone } = request;
    const permission = requestPermissions[found.name];
    const connection = connectionOf(daemon, found, request);
    const verdict = await desk.decide({ permission, peer, connection, interactive, gone });
    if (verdict.kind === 'no') {
      daemon.log.warn(`user ${peer.uid} (process ${peer.pid}) was refused ${found.name}`);
      return told(failure(403, verdict.couldAsk ? 'AOV-DAEMON-554' : refusals[permission]), daemon);
    }
    const scope = verdict.kind === 'own' ? scopeOf(daemon, desk, peer) : everything;
    return async (body) => {
      try {
        return await answer(daemon, found.name, found.parameter, request, body, scope);
      } catch (error) {
        const known = answerOfError(error);
        if (!known) throw error;
        return told(known, daemon);
      }
    };
  };
}

/** A name of a profile may be one's own without its prefix. */
function meant(daemon: Daemon, { name, parameter }: FoundRequest, uid: number): FoundRequest {
  return { name, parameter: isOfConnection(name) ? daemon.store.meant(parameter, uid) : parameter };
}

/** Whether its path names a profile or connection. */
function isOfConnection(name: RequestName): boolean {
  return name.includes('/:name') && !name.includes('/enrolments/');
}

const refusals: { readonly [P in Permission]: DaemonErrorCode } = {
  look: 'AOV-DAEMON-510',
  'look-deep': 'AOV-DAEMON-510',
  'look-prompts': 'AOV-DAEMON-510',
  'look-portal': 'AOV-DAEMON-510',
  watch: 'AOV-DAEMON-510',
  control: 'AOV-DAEMON-510',
  configure: 'AOV-DAEMON-510',
  lockdown: 'AOV-DAEMON-510',
  session: 'AOV-DAEMON-510',
  keys: 'AOV-DAEMON-510',
  answer: 'AOV-DAEMON-519',
  portal: 'AOV-DAEMON-553',
};

/** What a request names, whether there is such a thing or not. */
interface FoundRequest {
  readonly name: RequestName;
  readonly parameter: string;
}

/** Which connection a request is about; undefined: more than one, or the machine. */
function connectionOf(daemon: Daemon, { name, parameter }: FoundRequest, { query }: ControlRequest): string | undefined {
  if (name === 'POST /v1/prompts/:id') return daemon.prompts.list().find(({ id }) => id === parameter)?.connection;
  if (isOfConnection(name)) return parameter;
  // Of any other request it changes nothing, so it must not change who may ask it either.
  return takesConnection.has(name) ? query.get('connection') : undefined;
}

const takesConnection: ReadonlySet<RequestName> = new Set([
  'GET /v1/doctor',
  'GET /v1/certificates',
  'GET /v1/logs',
  'GET /v1/trace',
  'GET /v1/secrets',
]);

/** What somebody sees of a list. */
interface Scope {
  readonly all: boolean;
  of(connection: string): boolean;
  /** Whose questions. */
  prompts(connection: string): boolean;
}

const everything: Scope = { all: true, of: () => true, prompts: () => true };

function scopeOf(daemon: Daemon, desk: AccessDesk, peer: Peer): Scope {
  const of = (connection: string): boolean => desk.access({ permission: 'look', peer, connection }) !== 'no';
  return { all: false, of, prompts: (connection) => daemon.wishes.mayAnswer(peer.uid) || of(connection) };
}

function match({ method, segments }: ControlRequest): FoundRequest | undefined {
  for (const name of Object.keys(requestPermissions) as RequestName[]) {
    const [wantedMethod, pattern] = name.split(' ') as [string, string];
    const wanted = pattern.slice(1).split('/');
    if (wantedMethod !== method || wanted.length !== segments.length) continue;
    if (!wanted.every((part, i) => part.startsWith(':') || part === segments[i])) continue;
    return { name, parameter: segments[wanted.findIndex((part) => part.startsWith(':'))] ?? '' };
  }
  return undefined;
}

async function answer(
  daemon: Daemon,
  name: RequestName,
  parameter: string,
  { query, peer }: ControlRequest,
  body: unknown,
  scope: Scope,
): Promise<ControlAnswer> {
  if (body !== undefined && !withBody.has(name)) throw new DaemonError('AOV-DAEMON-513', 'this request has no body');
  const ok = <R extends keyof Requests>(_request: R, value: Requests[R]['answer']): ControlAnswer => ({
    status: 200,
    body: value,
  });
  switch (name) {
    case 'GET /v1/status':
      return ok(name, cutDown(await daemon.overview.status(), scope));
    case 'GET /v1/profiles':
      return ok(
        name,
        daemon.overview.profiles().filter((profile) => scope.of(profile.name)),
      );
    case 'GET /v1/profiles/:name': {
      const profile = daemon.store.status(parameter);
      if (!profile) throw new DaemonError('AOV-DAEMON-512', parameter);
      const stored = daemon.store.get(parameter);
      const text = stored ? parseProfile(stored.bytes, { toAscii: domainToASCII }).text : '';
      return ok(name, { profile, xml: peer.uid === 0 ? text : withoutSecrets(text) });
    }
    case 'PUT /v1/profiles/:name':
      return ok(name, await storeProfile(daemon, parameter, readPutProfile(body)));
    case 'DELETE /v1/profiles/:name':
      if (!daemon.store.has(parameter)) throw new DaemonError('AOV-DAEMON-512', parameter);
      await removeProfile(daemon, parameter);
      return ok(name, { removed: parameter });
    case 'POST /v1/connections/:name/up': {
      if (!daemon.hasConnection(parameter)) throw new DaemonError('AOV-DAEMON-512', parameter);
      daemon.wishes.up(parameter);
      const connection = await daemon.overview.connection(parameter);
      if (!connection) throw new DaemonError('AOV-DAEMON-512', parameter);
      return ok(name, connection);
    }
    case 'POST /v1/connections/:name/down':
      if (!daemon.hasConnection(parameter)) throw new DaemonError('AOV-DAEMON-512', parameter);
      daemon.wishes.down(parameter, peer.uid);
      return ok(name, { accepted: true });
    case 'POST /v1/connections/:name/rekey':
      daemon.wishes.rekey(parameter);
      return ok(name, { accepted: true });
    case 'POST /v1/lockdown/:name/release':
    case 'POST /v1/lockdown/:name/engage':
      if (!daemon.store.has(parameter)) throw new DaemonError('AOV-DAEMON-512', parameter);
      await daemon.wishes.setLockdown(parameter, name.endsWith('release'), `user ${peer.uid} (process ${peer.pid})`);
      return ok(name, { accepted: true });
    case 'GET /v1/explain': {
      const target = query.get('target');
      if (target === undefined || target === '' || target.length > maxQuestion)
        throw new DaemonError('AOV-DAEMON-513', 'explain needs ?target=');
      const user = query.get('user');
      const asker = { app: query.get('app'), pid: query.get('pid'), user: user === undefined ? undefined : await numberOf(user) };
      return ok(name, await explainQuestion(daemon, target, asker, addressesOf));
    }
    case 'GET /v1/plan':
      return ok(name, planText(daemon.plans.plan));
    case 'POST /v1/diff':
      return ok(name, await diffProfile(daemon, readDiffProfile(body)));
    case 'GET /v1/apps':
      return ok(name, await appsReport(daemon.plans.plan, daemon.traffic, daemon.apps));
    case 'GET /v1/apps/which': {
      const pid = query.get('pid') ?? '';
      const found = /^[1-9]\d{0,8}$/.test(pid) ? whichApp(Number(pid), daemon.plans.plan, daemon.traffic) : undefined;
      if (!found) throw new DaemonError('AOV-DAEMON-513', `there is no process ${JSON.stringify(pid.slice(0, 20))}`);
      return ok(name, found);
    }
    case 'GET /v1/doctor': {
      const connection = query.get('connection');
      if (connection !== undefined && !daemon.store.has(connection)) throw new DaemonError('AOV-DAEMON-512', connection);
      return ok(name, await doctorReport(daemon, connection));
    }
    case 'GET /v1/certificates':
      return ok(name, await daemon.overview.certificateReport(query.get('connection') ?? theOnlyOne(daemon)));
    case 'GET /v1/enrolments':
      return ok(name, daemon.enrolments.status());
    case 'POST /v1/enrolments/:name/enrol':
      return ok(name, await daemon.enrolments.enrol(parameter, readEnrolmentSecret(body)));
    case 'POST /v1/enrolments/:name/renew':
      return ok(name, await daemon.enrolments.renew(parameter));
    case 'GET /v1/portal':
      if (query.get('look') === '1') await daemon.portal.look();
      return ok(name, daemon.portal.status());
    case 'POST /v1/portal/open':
      return ok(name, await daemon.portal.open(peer, readOpenPortal(body)));
    case 'POST /v1/portal/close':
      await daemon.portal.close(`user ${peer.uid}`);
      return ok(name, { accepted: true });
    case 'POST /v1/session/open':
    case 'POST /v1/session/close':
      await daemon.users.announceSession(name.endsWith('open'), readAnnounceSession(body).user, peer.uid);
      return ok(name, { accepted: true });
    case 'GET /v1/prompts':
      return ok(
        name,
        daemon.prompts.list().filter((prompt) => scope.prompts(prompt.connection)),
      );
    case 'POST /v1/prompts/:id':
      daemon.prompts.answer(parameter, readPromptAnswer(body), peer.uid);
      return ok(name, { accepted: true });
    case 'GET /v1/events': {
      // Whoever may answer and says so counts as somebody who is there.
      const everything = peer.uid === 0 || daemon.wishes.mayAnswer(peer.uid);
      const watches = query.get('prompts') === '1' && (everything || daemon.store.owns(peer.uid));
      const attend = watches ? () => daemon.attendance.watch(everything ? undefined : peer.uid) : undefined;
      return { stream: (sink) => streamEvents(daemon, sink, attend, scope) };
    }
    case 'GET /v1/logs':
      return { stream: (sink) => streamLines(daemon.log, sink, query) };
    case 'GET /v1/secrets': {
      const begin = daemon.tunnels.exportKeys(query.get('connection'), peer);
      return {
        stream: (sink) =>
          begin((secret) => {
            sink.write(secret);
          }),
      };
    }
    case 'GET /v1/trace':
      return { stream: (sink) => streamLines(daemon.trace, sink, query) };
  }
}

async function numberOf(user: string): Promise<number> {
  const number = /^\d{1,10}$/.test(user) ? Number(user) : (await findUser(user))?.uid;
  if (number === undefined) throw new DaemonError('AOV-DAEMON-513', `there is no user ${JSON.stringify(user.slice(0, 80))}`);
  return number;
}

/** What is now, then every change. */
function streamEvents(daemon: Daemon, sink: LineSink, attend: (() => () => void) | undefined, scope: Scope): () => void {
  const tell = (event: DaemonEvent): void => {
    if (isInScope(event, scope)) sink.write(event);
  };
  const stop = daemon.subscribe(tell);
  const leave = attend?.();
  for (const profile of daemon.overview.profiles()) tell({ kind: 'profile', profile });
  if (daemon.portal.status().state !== 'none') tell({ kind: 'portal', portal: daemon.portal.status() });
  for (const prompt of daemon.prompts.list()) tell({ kind: 'prompt', prompt });
  daemon.overview.connections().then(
    (connections) => {
      for (const connection of connections) tell({ kind: 'status', connection });
    },
    () => sink.end(),
  );
  return () => {
    stop();
    leave?.();
  };
}

function isInScope(event: DaemonEvent, scope: Scope): boolean {
  switch (event.kind) {
    case 'status':
      return scope.of(event.connection.name);
    case 'profile':
      return scope.of(event.profile.name);
    case 'removed':
      return scope.of(event.name);
    case 'prompt':
      return scope.prompts(event.prompt.connection);
    case 'prompt-over':
      return scope.prompts(event.connection);
    case 'portal':
      return true;
    case 'log':
    case 'message':
    case 'datagram':
    case 'ike-keys':
    case 'esp-keys':
      return scope.all;
  }
}

/** Whose connections are others' sees neither them nor what apps of theirs there are. LockDown and the portal are everybody's. */
function cutDown(status: DaemonStatus, scope: Scope): DaemonStatus {
  if (scope.all) return status;
  const { traffic: _, enrolments, ...rest } = status;
  const own = enrolments
    ?.map((enrolment) => ({ ...enrolment, connections: enrolment.connections.filter((name) => scope.of(name)) }))
    .filter(({ connections }) => connections.length > 0);
  return {
    ...rest,
    ...(own && own.length > 0 && { enrolments: own }),
    connections: status.connections.filter(({ name }) => scope.of(name)),
    profiles: status.profiles.filter(({ name }) => scope.of(name)),
  };
}

function theOnlyOne(daemon: Daemon): string {
  const names = daemon.store.names();
  if (names.length === 1) return names[0]!;
  throw new DaemonError('AOV-DAEMON-513', `?connection= is missing, and there are ${names.length} connections`);
}

/** What is remembered, and with `follow=1` whatever comes. */
function streamLines<Line extends { readonly at: string; readonly connection?: string }>(
  source: { recent(connection?: string): readonly Line[]; follow(follower: (line: Line) => void): () => void },
  sink: LineSink,
  query: ReadonlyMap<string, string>,
): () => void {
  const connection = query.get('connection');
  const since = query.get('since') ?? '';
  const lines = /^\d{1,6}$/.test(query.get('lines') ?? '') ? Number(query.get('lines')) : Infinity;
  const remembered = source.recent(connection).filter(({ at }) => at >= since);
  for (const line of remembered.slice(Math.max(0, remembered.length - lines))) sink.write(line);
  if (query.get('follow') !== '1') {
    sink.end();
    return () => {};
  }
  return source.follow((line) => {
    if (connection === undefined || line.connection === connection) sink.write(line);
  });
}

/** As any program of this machine would find them. */
async function addressesOf(target: string): Promise<readonly IpAddress[]> {
  if (parseAddress(target)) return [];
  const { promise: late, resolve } = Promise.withResolvers<readonly { readonly address: string }[]>();
  const timer = setTimeout(() => resolve([]), lookupPatience);
  try {
    const found = await Promise.race([lookup(target, { all: true }).catch(() => []), late]);
    return found.map(({ address }) => parseAddress(address)).filter((address) => address !== undefined);
  } finally {
    clearTimeout(timer);
  }
}

/** L2tpPsk is the only secret that ProfileXML has a place for; CDATA sections and comments are inside of it as well. */
export function withoutSecrets(xml: string): string {
  return xml.replaceAll(/<L2tpPsk\b(?:\s*\/>|[^]*?(?:<\/L2tpPsk\s*>|$))/gi, '<L2tpPsk>(hidden)</L2tpPsk>');
}

function answerOfError(error: unknown): ControlAnswer | undefined {
  if (error instanceof DaemonError) {
    const status =
      {
        'AOV-DAEMON-512': 404,
        'AOV-DAEMON-520': 409,
        'AOV-DAEMON-570': 404,
        'AOV-DAEMON-571': 409,
        'AOV-DAEMON-573': 409,
        'AOV-DAEMON-515': 422,
        'AOV-DAEMON-516': 507,
        'AOV-DAEMON-540': 409,
        'AOV-DAEMON-541': 409,
        'AOV-DAEMON-543': 409,
        'AOV-DAEMON-550': 409,
        'AOV-DAEMON-521': 403,
        'AOV-DAEMON-562': 409,
        'AOV-DAEMON-564': 403,
      }[error.code as string] ?? 400;
    const { diagnostics } = error as { readonly diagnostics?: ErrorAnswer['error']['diagnostics'] };
    const body: ErrorAnswer = {
      error: { code: error.code, message: error.what, cure: error.cure, ...(diagnostics && { diagnostics }) },
    };
    return { status, body };
  }
  if (error instanceof Error && 'code' in error && 'what' in error && 'cure' in error) {
    const { code, what, cure } = error as unknown as { readonly code: string; readonly what: string; readonly cure: string };
    return { status: 500, body: { error: { code, message: what, cure } } satisfies ErrorAnswer };
  }
  return undefined;
}

/** Every error says whether LockDown holds back all traffic: it may be the cause of what the person came for. */
function told(answer: ControlAnswer, { overview: { blocked } }: Pick<Daemon, 'overview'>): ControlAnswer {
  if (blocked === undefined || !('body' in answer)) return answer;
  const { error } = answer.body as ErrorAnswer;
  return { ...answer, body: { error: { ...error, blocked } } satisfies ErrorAnswer };
}

function failure(status: number, code: DaemonErrorCode): ControlAnswer {
  const { what, cure } = new DaemonError(code);
  return { status, body: { error: { code, message: what, cure } } satisfies ErrorAnswer };
}
