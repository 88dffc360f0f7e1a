import type { IkeSaConfig } from '../src/machine/contract.ts';
import { formerMs, lastCallMs, retryMs, standbyMs } from '../src/machine/choice.ts';
import type { Weather } from './simulated-network.ts';
import { certificateConfig, eapConfig, hybridConfig, sharedPpk } from './world.ts';

/** Who is at the other end: the testkit's responder, which was written apart from the machine, or the machine itself as its equal. */
export type Opposite = 'responder' | 'machine';

/** What one simulated life is like; all of it follows from the seed. */
export interface Circumstances {
  readonly opposite: Opposite;
  readonly config: IkeSaConfig;
  readonly weather: Weather;
  /** Milliseconds until everybody comes to rest. */
  readonly lifeMs: number;
  /** Chances a second. */
  readonly rekeys: number;
  readonly collisions: number;
  readonly deletes: number;
  readonly moves: number;
  readonly outages: number;
  readonly jumps: number;
  /** Chance that the life ends with somebody saying goodbye. */
  readonly goodbye: number;
  readonly complications: Complications;
}

/** What else may happen. It has dice of its own, so that a life from before it was thought of can be lived again without it. */
export interface Complications {
  /** Datagrams reach the client only where it is. */
  readonly roams: boolean;
  /** The responder goes on as soon as it has a new IKE SA, while the Delete of the old one is out. */
  readonly eager: boolean;
  /** Deletes and goodbyes meet rekeys. */
  readonly crossed: boolean;
  /** The life begins with a ticket (RFC 5723). */
  readonly resumes: boolean;
  /** Tickets are granted, and for so long, seconds. 0: none. */
  readonly ticketSeconds: number;
  /** The responder wants a new authentication within so many seconds (RFC 4478). 0: never. */
  readonly authSeconds: number;
}

export const uncomplicated: Complications = {
  roams: false,
  eager: false,
  crossed: false,
  resumes: false,
  ticketSeconds: 0,
  authSeconds: 0,
};

/** Packets under one key: from `soft` on new keys are wanted, after `hard` none leaves. */
export const packetLimit = { soft: 500, hard: 1000 } as const;

const retransmit = { firstMs: 500, factor: 1.5, tries: 5 } as const;

/** `more`: the dice of the complications; without them there are none. */
export function drawCircumstances(next: () => number, more?: () => number): Circumstances {
  const pick = <T>(...choices: readonly T[]): T => choices[Math.floor(next() * choices.length)]!;
  const opposite = pick<Opposite>('responder', 'machine');
  const base = next() < 0.7 ? certificateConfig : opposite === 'responder' ? eapConfig : hybridConfig;
  const life = drawLife(next, opposite, base);
  // Follows from what is drawn already, so that the other lives stay what they were.
  const early = opposite === 'responder' && life.weather.delayMs === 300;
  const before = early ? { ...life, config: { ...life.config, ppk: { ...sharedPpk, required: true } } } : life;
  return more ? complicate(before, more) : before;
}

function complicate(drawn: Circumstances, next: () => number): Circumstances {
  const toss = (): boolean => next() < 0.5;
  const [roams, eager, crossed, hybrid, resumes] = [toss(), toss(), toss(), toss(), toss()];
  const ticketSeconds = toss() ? 20 : 3600;
  const authSeconds = next() < 0.3 ? 20 : 0;
  const life = next() < 0.02 ? lengthen(drawn) : drawn;
  const { opposite, config } = life;
  if (opposite === 'machine') return { ...life, complications: { ...uncomplicated, crossed } };
  const { ikeProposals, childProposals } = hybrid ? hybridConfig : config;
  return {
    ...life,
    moves: roams ? 0.1 : life.moves,
    config: { ...config, ikeProposals, childProposals, ...(resumes && { askTicket: true }) },
    complications: { roams, eager, crossed, resumes, ticketSeconds: resumes ? ticketSeconds : 0, authSeconds },
  };
}

/** Long enough for a key to outlive its bound, and mostly left alone: its own timers are what keeps that from happening. */
function lengthen(life: Circumstances): Circumstances {
  const config = { ...life.config, childRekeyMs: 15_000, ikeRekeyMs: 25_000 };
  return { ...life, config, lifeMs: 2 * (lifetimeBound(config, config.ikeRekeyMs) + formerMs), rekeys: 0, collisions: 0.01 };
}

function drawLife(next: () => number, opposite: Opposite, base: IkeSaConfig): Circumstances {
  const pick = <T>(...choices: readonly T[]): T => choices[Math.floor(next() * choices.length)]!;
  return {
    opposite,
    config: {
      ...base,
      retransmit,
      fragmentSize: pick(400, 1232),
      dpdMs: 10_000,
      childRekeyMs: pick(15_000, 60_000, 600_000),
      ikeRekeyMs: pick(25_000, 90_000, 900_000),
      childRekeyBytes: pick(0, 0, 400_000),
    },
    weather: { loss: pick(0, 0.05, 0.15, 0.3), repetition: pick(0, 0.1, 0.4), delayMs: pick(20, 300, 1200) },
    lifeMs: pick(10_000, 20_000, 50_000),
    rekeys: pick(0, 0.1, 0.4),
    collisions: pick(0, 0.1, 0.3),
    deletes: pick(0, 0, 0.02),
    moves: pick(0, 0.05),
    outages: pick(0, 0, 0.03),
    jumps: pick(0, 0, 0.03),
    goodbye: pick(0, 0, 0.5),
    complications: uncomplicated,
  };
}

/** Milliseconds until an unanswered request ends the SA. */
export function retransmissionLimit({ retransmit: { firstMs, factor, tries } }: IkeSaConfig): number {
  return (firstMs * (factor ** (tries + 1) - 1)) / (factor - 1);
}

/**
 * Milliseconds for which a key with that lifetime can be in use at most: the lifetime and the quarter more that a peer may put a rekey off for, a last retry,
 * another request that is out, the rekey itself, and what the peer may take to delete the old one.
 */
export function lifetimeBound(config: IkeSaConfig, lifetimeMs = config.childRekeyMs): number {
  return lifetimeMs * 1.25 + 1.5 * retryMs + 2 * retransmissionLimit(config) + standbyMs + lastCallMs;
}
