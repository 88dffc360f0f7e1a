import { Reader, Writer } from '@aovpn/bytes';
import type { ChildProposalConfig, IkeProposalConfig } from '../machine/contract.ts';
import { nameOfProtocol, ProtocolId } from '../registry/protocol.ts';
import { encrRow, nameOfTransform } from '../registry/transform-lookup.ts';
import { encrRows, Esn, Integ, integRows, isAdditionalKe, Ke, keRows, prfRows, TransformType } from '../registry/transform.ts';
import type { Proposal, Transform } from './payload.ts';
import type { ChildSuite, IkeSuite } from './suite.ts';

/** Why no agreement came about, for the trace. */
export interface Problem {
  readonly problem: string;
}

export interface AcceptedIke extends IkeSuite {
  /** The peer's SPI: empty in IKE_SA_INIT, 8 octets in a rekey. */
  readonly spi: Uint8Array;
}

export interface AcceptedChild {
  readonly suite: ChildSuite;
  /** 0: no key exchange. */
  readonly ke: number;
  /** Those that follow it in IKE_FOLLOWUP_KE exchanges (RFC 9370 §2.2.4). */
  readonly additionalKe: readonly number[];
  readonly esn: boolean;
  /** The peer's SPI, which our packets will carry. */
  readonly spi: number;
}

/** The suite alone. */
export function ikeSuiteOf({ encr, keyBits, prf, integ, ke, additionalKe }: IkeSuite): IkeSuite {
  return { encr, keyBits, prf, integ, ke, ...(additionalKe && { additionalKe }) };
}

/** @param spi our SPI when the IKE SA is a rekeyed one; none in IKE_SA_INIT */
export function buildIkeProposals(configs: readonly IkeProposalConfig[], spi: Uint8Array = new Uint8Array(0)): Proposal[] {
  return configs.map((config, i) => ({ number: i + 1, protocol: ProtocolId.IKE, spi, transforms: ikeTransforms(config) }));
}

/**
 * @param spi our inbound SPI
 * @param withKe false inside IKE_AUTH, where a CHILD_SA never has a key exchange of its own (RFC 7296 §1.2)
 * @param ikeGroup the IKE SA's own group, for `ke: 'ike'`
 */
export function buildChildProposals(
  configs: readonly ChildProposalConfig[],
  spi: number,
  withKe: boolean,
  ikeGroup?: number,
): Proposal[] {
  const lists = configs.map((config) => childTransforms(config, withKe ? childGroups(config, ikeGroup) : []));
  // What differs in key exchanges alone is the same where there is none.
  const distinct = lists.filter((list, i) => !lists.slice(0, i).some((other) => sameTransforms(list, other)));
  return distinct.map((transforms, i) => ({
    number: i + 1,
    protocol: ProtocolId.ESP,
    spi: new Writer(4).u32(spi).finish(),
    transforms,
  }));
}

/**
 * What the responder chose from our offer: exactly one proposal, by its number, and in it exactly one transform of each type that we
 * offered, each of them as we offered it (RFC 7296 §2.7, §3.3.6).
 * @param chosen the answer's SA payload (all its proposals, or the one)
 */
export function acceptIkeProposal(offered: readonly Proposal[], chosen: Proposal | readonly Proposal[]): AcceptedIke | Problem {
  const match = matchOffer(offered, chosen);
  if ('problem' in match) return match;
  const { proposal, offer } = match;
  if (proposal.spi.length !== offer.spi.length) return { problem: 'SPI of another length than the exchange needs' };
  if (proposal.spi.length > 0 && proposal.spi.every((octet) => octet === 0)) return { problem: 'SPI 0' };
  return readIke(proposal);
}

export function acceptChildProposal(
  offered: readonly Proposal[],
  chosen: Proposal | readonly Proposal[],
): AcceptedChild | Problem {
  const match = matchOffer(offered, chosen);
  return 'problem' in match ? match : readChild(match.proposal);
}

/**
 * As responder of a rekey: the first of our configurations that the peer offers, with our preferences inside of it.
 * `reply` is the proposal to send back; its SPI is still to be filled in.
 * @param sentGroup group of the peer's KE payload: preferred where our configuration allows it, since it saves a round trip
 */
export function selectIkeProposal(
  configs: readonly IkeProposalConfig[],
  offered: readonly Proposal[],
  sentGroup?: number,
): (AcceptedIke & { readonly reply: Proposal }) | Problem {
  for (const config of configs) {
    const wanted = ikeTransforms({ ...config, ke: preferring(config.ke, sentGroup) });
    for (const offer of offered) {
      if (offer.protocol !== ProtocolId.IKE || offer.spi.length !== 8 || offer.spi.every((octet) => octet === 0)) continue;
      const reply = intersect(offer, wanted);
      const suite = reply && readIke(reply);
      if (suite && !('problem' in suite) && hasWanted(config, suite.additionalKe)) return { ...suite, spi: offer.spi, reply };
    }
  }
  return { problem: 'none of the proposals is one of ours' };
}

/**
 * As responder of a new or rekeyed CHILD_SA. Where our configuration asks for no key exchange, one that the peer insists on is still
 * done, with the IKE SA's group or another that is not weak: that only adds secrecy.
 * @param ikeGroup the IKE SA's own group
 * @param sentGroup group of the peer's KE payload, if it sent one
 */
export function selectChildProposal(
  configs: readonly ChildProposalConfig[],
  offered: readonly Proposal[],
  options: { readonly ikeGroup?: number | undefined; readonly sentGroup?: number | undefined } = {},
): (AcceptedChild & { readonly reply: Proposal }) | Problem {
  const { ikeGroup, sentGroup } = options;
  for (const config of configs) {
    const own = childGroups(config, ikeGroup);
    const harmless = keRows.filter((row) => !row.weak || row.id === ikeGroup).map((row) => row.id);
    const groups = preferring(own.length > 0 ? own : [Ke.NONE, ...preferring(harmless, ikeGroup)], sentGroup);
    const wanted = childTransforms(config, groups);
    for (const offer of offered) {
      if (offer.protocol !== ProtocolId.ESP) continue;
      const reply = intersect(offer, wanted);
      const child = reply && readChild(reply);
      // A configuration with groups of its own means perfect forward secrecy, which a peer cannot leave out.
      if (!child || 'problem' in child || (own.length > 0 && child.ke === Ke.NONE)) continue;
      if (own.length === 0 || hasWanted(config, child.additionalKe)) return { ...child, reply };
    }
  }
  return { problem: 'none of the proposals is one of ours' };
}

/** Such as `AES-GCM-16-256 / PRF-HMAC-SHA2-256 / X25519`, or for a CHILD_SA `AES-CBC-256 / HMAC-SHA2-256-128`. */
export function suiteName(
  suite: ChildSuite & { readonly prf?: number; readonly ke?: number; readonly additionalKe?: readonly number[] },
): string {
  const encr = encrRow(suite.encr);
  const parts = [encr.fixedKey ? encr.name : `${encr.name}-${suite.keyBits}`];
  if (!encr.aead) parts.push(nameOfTransform(TransformType.INTEG, suite.integ));
  if (suite.prf) parts.push(nameOfTransform(TransformType.PRF, suite.prf));
  if (suite.ke) parts.push(nameOfTransform(TransformType.KE, suite.ke));
  const additional = suite.additionalKe ?? [];
  return parts.join(' / ') + additional.map((id) => ` + ${nameOfTransform(TransformType.ADDKE1, id)}`).join('');
}

function ikeTransforms(config: IkeProposalConfig): Transform[] {
  return [
    ...cipherTransforms(config),
    ...config.prf.map((id) => ({ type: TransformType.PRF, id })),
    ...config.ke.map((id) => ({ type: TransformType.KE, id })),
    ...additionalTransforms(config),
  ];
}

function additionalTransforms({ additionalKe = [] }: Pick<IkeProposalConfig, 'additionalKe'>): Transform[] {
  return additionalKe.flatMap((ids, i) => ids.map((id) => ({ type: TransformType.ADDKE1 + i, id })));
}

/** Whether as many additional key exchanges were agreed upon as the configuration demands. */
function hasWanted({ additionalKe = [] }: Pick<IkeProposalConfig, 'additionalKe'>, agreed: readonly number[] = []): boolean {
  return agreed.length >= additionalKe.length;
}

/** Extended sequence numbers first, and without for gateways that do not know them: both of our data planes do either. */
function childTransforms(config: ChildProposalConfig, groups: readonly number[]): Transform[] {
  return [
    ...cipherTransforms(config),
    ...groups.map((id) => ({ type: TransformType.KE, id })),
    ...(groups.length > 0 ? additionalTransforms(config) : []),
    ...(config.esn === false ? [Esn.NONE] : [Esn.YES, Esn.NONE]).map((id) => ({ type: TransformType.ESN, id })),
  ];
}

/** @throws {RangeError} for a configuration that mixes AEAD and other ciphers, or has no integrity algorithm where one is needed */
function cipherTransforms(config: Pick<ChildProposalConfig, 'encr' | 'integ'>): Transform[] {
  const aead = config.encr.map(({ id }) => encrRow(id).aead);
  if (aead.some((each) => each !== aead[0])) throw new RangeError('a proposal cannot mix AEAD and other ciphers');
  if (aead.length === 0 || aead[0] !== (config.integ.length === 0))
    throw new RangeError('ciphers and integrity do not go together');
  return [
    ...config.encr.map(({ id, keyBits }) => ({ type: TransformType.ENCR, id, ...(!encrRow(id).fixedKey && { keyBits }) })),
    ...config.integ.map((id) => ({ type: TransformType.INTEG, id })),
  ];
}

function childGroups(config: ChildProposalConfig, ikeGroup: number | undefined): readonly number[] {
  if (config.ke !== 'ike') return config.ke;
  return ikeGroup === undefined ? [] : [ikeGroup];
}

function matchOffer(
  offered: readonly Proposal[],
  chosen: Proposal | readonly Proposal[],
): { readonly proposal: Proposal; readonly offer: Proposal } | Problem {
  const proposals = 'number' in chosen ? [chosen] : chosen;
  const [proposal] = proposals;
  if (!proposal || proposals.length !== 1) return { problem: `${proposals.length} proposals in an answer` };
  const offer = offered.find((candidate) => candidate.number === proposal.number && candidate.protocol === proposal.protocol);
  if (!offer) return { problem: `proposal ${proposal.number} for ${nameOfProtocol(proposal.protocol)} was not offered` };
  const stranger = proposal.transforms.find(
    (transform) => !offer.transforms.some((candidate) => sameTransform(candidate, transform)),
  );
  if (stranger) return { problem: `${transformName(stranger)} was not offered` };
  const missing = offer.transforms.find(({ type }) => !proposal.transforms.some((candidate) => candidate.type === type));
  if (missing && !isOptional(missing, offer)) return { problem: `no transform of type ${missing.type} in the answer` };
  return { proposal, offer };
}

/** A type that was offered also as "none" may be left out, and so may "no extended sequence numbers" by lenient responders. */
function isOptional(transform: Transform, offer: Proposal): boolean {
  return offer.transforms.some(({ type, id }) => type === transform.type && id === 0);
}

/** What of an offer we want: one transform for each of its types, by our order; undefined when a type has none. */
function intersect(offer: Proposal, wanted: readonly Transform[]): Proposal | undefined {
  const types = [...new Set(offer.transforms.map(({ type }) => type))];
  const transforms: Transform[] = [];
  for (const type of types) {
    const choice = wanted.find(
      (want) => want.type === type && offer.transforms.some((candidate) => sameTransform(candidate, want)),
    );
    if (choice) transforms.push(choice);
    else if (!offer.transforms.some((candidate) => candidate.type === type && candidate.id === 0)) return undefined;
    // RFC 9370 §2.2.1: that an additional key exchange is left out is said; INTEG may be NONE beside an AEAD (RFC 7296 §3.3.3).
    else if (isAdditionalKe(type)) transforms.push({ type, id: Ke.NONE });
    else if (type !== TransformType.INTEG) return undefined;
  }
  return { number: offer.number, protocol: offer.protocol, spi: offer.spi, transforms };
}

function readIke(proposal: Proposal): AcceptedIke | Problem {
  const cipher = readCipher(proposal);
  if ('problem' in cipher) return cipher;
  const prf = only(proposal, TransformType.PRF);
  const ke = only(proposal, TransformType.KE);
  // An answer without a key exchange method must not get anywhere near the key derivation.
  if (!prf || prf === 'several' || !prfRows.some((row) => row.id === prf.id)) return { problem: 'not exactly one PRF' };
  if (!ke || ke === 'several' || !keRows.some((row) => row.id === ke.id))
    return { problem: 'not exactly one key exchange method' };
  if (proposal.transforms.some(({ type }) => type > TransformType.KE && !isAdditionalKe(type)))
    return { problem: 'a transform that no IKE SA has' };
  const additionalKe = readAdditionalKe(proposal, ke.id);
  if ('problem' in additionalKe) return additionalKe;
  return { ...cipher, prf: prf.id, ke: ke.id, ...(additionalKe.length > 0 && { additionalKe }), spi: proposal.spi };
}

function readChild(proposal: Proposal): AcceptedChild | Problem {
  const cipher = readCipher(proposal);
  if ('problem' in cipher) return cipher;
  const ke = only(proposal, TransformType.KE);
  const esn = only(proposal, TransformType.ESN);
  if (ke === 'several' || esn === 'several') return { problem: 'several transforms of one type' };
  if (proposal.transforms.some(({ type }) => type === TransformType.PRF || (type > TransformType.ESN && !isAdditionalKe(type)))) {
    return { problem: 'a transform that no CHILD_SA has' };
  }
  if (ke && ke.id !== Ke.NONE && !keRows.some((row) => row.id === ke.id)) return { problem: `no key exchange method ${ke.id}` };
  if (proposal.spi.length !== 4) return { problem: 'SPI of another length than 4 octets' };
  const spi = new Reader(proposal.spi, 'SPI').u32();
  // RFC 4303 §2.1: 1 to 255 are reserved, 0 never is on the wire.
  if (spi < 256) return { problem: `reserved SPI ${spi}` };
  const additionalKe = readAdditionalKe(proposal, ke?.id ?? Ke.NONE);
  if ('problem' in additionalKe) return additionalKe;
  return { suite: cipher, ke: ke?.id ?? Ke.NONE, additionalKe, esn: esn?.id === Esn.YES, spi };
}

/** The additional methods in the order of their types; none comes twice, and none without a first (RFC 9370 §2.2.1). */
function readAdditionalKe(proposal: Proposal, first: number): readonly number[] | Problem {
  const chosen = proposal.transforms.filter(({ type }) => isAdditionalKe(type)).toSorted((a, b) => a.type - b.type);
  if (chosen.some(({ type }, i) => chosen[i + 1]?.type === type)) return { problem: 'several transforms of one type' };
  const methods = chosen.map(({ id }) => id).filter((id) => id !== Ke.NONE);
  const stranger = methods.find((id) => !keRows.some((row) => row.id === id));
  if (stranger !== undefined) return { problem: `no key exchange method ${stranger}` };
  if (methods.length > 0 && first === Ke.NONE) return { problem: 'additional key exchanges without a first' };
  if (new Set([first, ...methods]).size <= methods.length) return { problem: 'one key exchange method twice' };
  return methods;
}

function readCipher(proposal: Proposal): ChildSuite | Problem {
  const encr = only(proposal, TransformType.ENCR);
  const integ = only(proposal, TransformType.INTEG);
  if (!encr || encr === 'several' || integ === 'several') return { problem: 'not exactly one cipher' };
  const row = encrRows.find((candidate) => candidate.id === encr.id);
  const keyBits = row?.fixedKey ? row.keyBits[0] : encr.keyBits;
  if (!row || keyBits === undefined || !row.keyBits.includes(keyBits)) return { problem: `unusable ${transformName(encr)}` };
  const integId = integ?.id ?? Integ.NONE;
  if (row.aead ? integId !== Integ.NONE : !integRows.some((candidate) => candidate.id === integId)) {
    return { problem: `${transformName(encr)} with integrity ${integId}` };
  }
  return { encr: encr.id, keyBits, integ: integId };
}

function only(proposal: Proposal, type: number): Transform | undefined | 'several' {
  const found = proposal.transforms.filter((transform) => transform.type === type);
  return found.length > 1 ? 'several' : found[0];
}

function sameTransform(a: Transform, b: Transform): boolean {
  return a.type === b.type && a.id === b.id && a.keyBits === b.keyBits && !a.foreignAttribute && !b.foreignAttribute;
}

function sameTransforms(a: readonly Transform[], b: readonly Transform[]): boolean {
  return a.length === b.length && a.every((transform, i) => sameTransform(transform, b[i]!));
}

function preferring(ids: readonly number[], wanted: number | undefined): readonly number[] {
  return wanted !== undefined && ids.includes(wanted) ? [wanted, ...ids.filter((id) => id !== wanted)] : ids;
}

function transformName({ type, id, keyBits }: Transform): string {
  return nameOfTransform(type, id) + (keyBits === undefined ? '' : `-${keyBits}`);
}
