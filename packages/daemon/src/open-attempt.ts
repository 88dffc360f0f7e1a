import type { DataPlaneOptions } from '@aovpn/esp';
import type { RevocationChecker, TrustQuestion } from '@aovpn/host';
import type { IkeSaConfig } from '@aovpn/ike';
import { parseAddress } from '@aovpn/bytes';
import {
  problem,
  type Candidate as Place,
  type SentCertificate,
  type SentCertificates,
  type SupervisorAction,
} from '@aovpn/supervisor';
import { asciiName } from './ascii-name.ts';
import { chooseDataPlane, type DataPlaneChoice, type DataPlaneNeeds } from './choose-data-plane.ts';
import type { Candidate, Keepsakes } from './candidate-store.ts';
import type { Platform } from './platform-port.ts';
import type { Log } from './log.ts';
import type { KeyExport } from './key-export.ts';
import type { MessageTrace } from './message-trace.ts';
import type { PlanKeeper } from './plan-keeper.ts';
import { problemOfError, ProblemError } from './problem-error.ts';
import type { PromptDesk } from './prompt-desk.ts';
import { passwordUserOf } from './secret-need.ts';
import type { ProfileSettings } from './profile-settings.ts';
import type { TicketStore } from './ticket-store.ts';
import type { TrustMemory } from './trust-memory.ts';
import { Tunnel } from './tunnel.ts';
import type { TunnelReport } from './tunnel-port.ts';
import type { WarmPlanes } from './warm-planes.ts';

export interface AttemptContext {
  readonly platform: Platform;
  readonly plans: PlanKeeper;
  readonly desk: PromptDesk;
  readonly trust: TrustMemory;
  readonly tickets: TicketStore;
  readonly log: Log;
  readonly trace: MessageTrace;
  readonly keyExport: KeyExport;
  /** Of certificates of RADIUS servers. */
  readonly revocation: RevocationChecker;
  readonly device: string;
  /** Other tunnels are there. */
  readonly beside: boolean;
  /** Whether another tunnel's packets are moved by the kernel now. */
  readonly besideKernel: () => boolean;
  readonly planes: WarmPlanes;
  /** `SO_MARK` of our outer packets. */
  readonly mark: number;
}

type Open = Extract<SupervisorAction, { readonly kind: 'open' }>;

/** A candidate with which one can authenticate. */
type Ready = Candidate & Required<Pick<Candidate, 'compiled' | 'credentials' | 'verifier'>>;

/**
 * One attempt: everything that a tunnel needs of the machine and of people, tied together. `latest`: profile and credentials as they are
 * when asked; an IKE SA is authenticated with one version of them, the next in the same tunnel with the version of that time.
 * @throws {ProblemError}
 */
export function makeAttempt(
  { name, candidate: place, more }: Pick<Open, 'name' | 'candidate' | 'more'>,
  latest: () => Candidate | undefined,
  keepsakes: Keepsakes | undefined,
  context: AttemptContext,
  report: (report: TunnelReport) => void,
): Tunnel {
  const first = latest();
  if (!isReady(first) || !keepsakes) throw new ProblemError(problem('internal', 'the credentials are gone'));
  let used = first;
  const { compiled, settings, tunnelKey } = first;
  const { platform, plans, log, trace, tickets } = context;
  const { passwords, sessions } = keepsakes;
  const userName = (): string => used.settings.userName ?? used.credentials.userName ?? '';
  const ticketKey = (): string => `${used.sessionKey} ${userName()}`;
  const choosePlane = (): DataPlaneChoice | undefined =>
    planeFor(first, platform, {
      transport: place.transport,
      path: { family: place.address.family, mtu: platform.dataPlanes.pathMtu(place.address, settings.gatewayPort) },
      besideKernel: context.besideKernel(),
    });
  let dataPlane: DataPlaneChoice | undefined;
  return new Tunnel(
    {
      name,
      config: { ...sentTo(more ? withShortInit(compiled.config) : compiled.config, place), beside: context.beside },
      authentication: compiled.authentication,
      gateway: place.address,
      ports: { udp: settings.gatewayPort, tcp: settings.tcpPort },
      transport: place.transport,
      plane: planeOptions(settings, context),
    },
    {
      crypto: platform.crypto,
      async choosePlane() {
        dataPlane = choosePlane();
        if (!dataPlane) {
          await platform.dataPlanes.kernelSupport();
          dataPlane = choosePlane()!;
        }
        log.info(`data plane: ${dataPlane.kind} (${dataPlane.why})`, name);
      },
      chosenPlane: () => dataPlane,
      openDataPlane: async (options, onEvent) => {
        const open = dataPlane?.kind === 'kernel' ? platform.dataPlanes.kernel : context.planes.taking(name);
        return await open(options, onEvent);
      },
      log,
      mustChangePlane() {
        const now = dataPlane?.kind === 'kernel' ? choosePlane() : undefined;
        return now?.kind === 'userspace' ? now.why : undefined;
      },
      renew() {
        const now = latest();
        if (!isReady(now) || now.tunnelKey !== tunnelKey) return undefined;
        if (now.sessionKey !== used.sessionKey) log.info('the credentials as they are now are used', name);
        used = now;
        return sentTo(now.compiled.config, place);
      },
      async prepare() {
        try {
          await plans.reach(name, [
            { address: place.address, port: place.transport === 'tcp' ? settings.tcpPort : settings.gatewayPort },
          ]);
          await used.credentials.credential?.unlock();
        } catch (error) {
          return problemOfError(error);
        }
        const { auth } = used.compiled.config;
        const user = auth.kind === 'eap' ? passwordUserOf(auth.peer) : undefined;
        return user === undefined ? undefined : await passwords.prepare(user);
      },
      sentCertificates: () => sentCertificates(used),
      sign: async (scheme, data) => {
        const { material, credential } = used.credentials;
        const key = material.machine ?? material.rawKey ?? credential;
        if (!key) throw new Error('there is no key');
        return await key.sign(scheme, data);
      },
      verifyGateway: (question) => used.verifier.verify(question),
      findTicket: () => (settings.sessionResumption === false ? undefined : tickets.find(name, ticketKey())),
      keepTicket: (ticket, lifetimeMs) => (ticket ? tickets.keep(name, ticketKey(), ticket, lifetimeMs) : tickets.forget(name)),
      answerSecret: (question) => passwords.answer(question),
      secretAccepted: () => passwords.succeeded(),
      secretUndecided: (refused) => (refused ? passwords.refused() : passwords.undecided()),
      probeGateway: (address, port, transport) => platform.probeGateway(address, port, transport),
      createTlsEngine: (onServer) =>
        platform.createTlsEngine({
          ...(used.credentials.credential && { credential: used.credentials.credential }),
          roots: used.credentials.radiusAnchors.map(({ raw }) => new Uint8Array(raw)),
          sessions,
          // Another user, or another version of the profile, must not resume what this one began.
          profileVersion: `${tunnelKey} ${userName()}`,
          revocation: { policy: settings.radiusRevocation, checker: context.revocation },
          askTrust: (question) => askTrust(name, tunnelKey, question, context),
          onServer,
        }),
      trace: (record, path) => trace.record(name, record, path),
      keyExport: context.keyExport,
      applyPlan: (facts) => plans.add(name, facts),
      removePlan: () => plans.remove(name),
    },
    report,
  );
}

export function isReady(candidate: Candidate | undefined): candidate is Ready {
  return candidate?.compiled !== undefined && candidate.credentials !== undefined && candidate.verifier !== undefined;
}

/** The certificates that this candidate authenticates with, as the files and tokens had them when they were read. */
function sentCertificates({ choice, credentials: { facts, material } }: Ready): SentCertificates {
  const chosen = choice?.outcome.kind === 'chosen' ? choice.outcome.candidate : undefined;
  const isForIke = choice?.wish.purpose === 'ike';
  const { machine } = material;
  const ofMachine: SentCertificate | undefined = machine && {
    subject: machine.subject,
    ...(facts.machine?.commonName !== undefined && { commonName: facts.machine.commonName }),
    userPrincipalNames: machine.names.upn,
    source: `file ${material.machineFile}`,
    notBefore: machine.notBefore.getTime(),
    notAfter: machine.notAfter.getTime(),
  };
  const ike = ofMachine ?? (isForIke ? chosen : undefined);
  return { ...(ike && { ike }), ...(chosen && !isForIke && { eap: chosen }) };
}

/** Who moves the packets; undefined: what the kernel can has to be found out first. */
export function planeFor(
  { compiled, settings }: Pick<Ready, 'compiled' | 'settings'>,
  { dataPlanes }: Pick<Platform, 'dataPlanes'>,
  needs: Omit<DataPlaneNeeds, 'proposals'>,
): DataPlaneChoice | undefined {
  const proposals = compiled.config.childProposals;
  return chooseDataPlane(settings.dataPlane, { ...needs, proposals }, () => dataPlanes.knownKernelSupport());
}

export function planeOptions(
  { mtu, keepaliveSeconds, copyDscp }: ProfileSettings,
  { device, mark }: Pick<AttemptContext, 'device' | 'mark'>,
): DataPlaneOptions {
  return { device, mtu, mark, keepaliveSeconds, copyDscp };
}

/** Once a person has said yes, that certificate is known for this version of the profile. */
async function askTrust(
  connection: string,
  profile: string,
  { subject, issuer, names, sha256, failure }: TrustQuestion,
  { trust, desk }: AttemptContext,
): Promise<boolean> {
  if (await trust.has(connection, profile, sha256)) return true;
  const reply = await desk.ask({
    connection,
    kind: 'trust',
    text: `Is this the RADIUS server of "${connection}"`,
    server: { subject, issuer, names, sha256, why: failure.detail },
  });
  if (reply.kind !== 'accepted') return false;
  await trust.add(connection, profile, sha256);
  return true;
}

/** A gateway has sent us there. Its word for the new one's name counts only if it had proven its own. */
export function sentTo(config: IkeSaConfig, { server, via }: Place): IkeSaConfig {
  if (!via) return config;
  const address = parseAddress(via.server);
  const redirectedFrom = address
    ? ({ kind: 'address', address } as const)
    : ({ kind: 'name', name: asciiName(via.server) } as const);
  return { ...config, redirectedFrom, gatewayNames: via.proven ? [...config.gatewayNames, server] : config.gatewayNames };
}

/** With other places to try, a silent one gets about three seconds. */
function withShortInit(config: IkeSaConfig): IkeSaConfig {
  return { ...config, retransmit: { ...config.retransmit, initTries: 2 } };
}
