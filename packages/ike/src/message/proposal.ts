import type { ChildProposalConfig, IkeProposalConfig } from '../machine/contract.ts';
import type { Proposal } from './payload.ts';
import type { ChildSuite, IkeSuite } from './suite.ts';

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
  readonly esn: boolean;
  /** The peer's SPI, which our packets will carry. */
  readonly spi: number;
}

export function buildIkeProposals(configs: readonly IkeProposalConfig[], spi?: Uint8Array): Proposal[] {
  throw new Error(`not filled in yet ${configs} ${spi}`);
}

/** `withKe`: false inside IKE_AUTH. `ikeGroup`: the IKE SA's own group, for `ke: 'ike'`. `spi`: our inbound SPI. */
export function buildChildProposals(
  configs: readonly ChildProposalConfig[],
  spi: number,
  withKe: boolean,
  ikeGroup?: number,
): Proposal[] {
  throw new Error(`not filled in yet ${configs} ${spi} ${withKe} ${ikeGroup}`);
}

/** `chosen`: the answer's SA payload (its proposals, or the one). */
export function acceptIkeProposal(offered: readonly Proposal[], chosen: Proposal | readonly Proposal[]): AcceptedIke | Problem {
  throw new Error(`not filled in yet ${offered} ${chosen}`);
}

export function acceptChildProposal(
  offered: readonly Proposal[],
  chosen: Proposal | readonly Proposal[],
): AcceptedChild | Problem {
  throw new Error(`not filled in yet ${offered} ${chosen}`);
}

/** As responder. `reply` is the proposal to send back, with the SPI still to be filled in. `sentGroup`: group of the peer's KE payload. */
export function selectIkeProposal(
  configs: readonly IkeProposalConfig[],
  offered: readonly Proposal[],
  sentGroup?: number,
): (AcceptedIke & { readonly reply: Proposal }) | Problem {
  throw new Error(`not filled in yet ${configs} ${offered} ${sentGroup}`);
}

export function selectChildProposal(
  configs: readonly ChildProposalConfig[],
  offered: readonly Proposal[],
  options?: { readonly ikeGroup?: number | undefined; readonly sentGroup?: number | undefined },
): (AcceptedChild & { readonly reply: Proposal }) | Problem {
  throw new Error(`not filled in yet ${configs} ${offered} ${options}`);
}

/** Such as `AES-GCM-16-256 / PRF-HMAC-SHA2-256 / X25519`, or for a CHILD_SA `AES-CBC-256 / HMAC-SHA2-256-128`. */
export function suiteName(suite: ChildSuite & { readonly prf?: number; readonly ke?: number }): string {
  throw new Error(`not filled in yet ${suite}`);
}
