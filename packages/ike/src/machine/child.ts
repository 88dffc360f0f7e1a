import { wipe } from '@aovpn/bytes';
import { deriveChildKeys, type ChildKeyInput } from '../crypto/keymat.ts';
import type { TrafficSelector } from '../message/payload.ts';
import type { AcceptedChild } from '../message/proposal.ts';
import { lifetimeGrace, lingerMs, rekeyJitter, refusalLimit, retryMs } from './choice.ts';
import type { AfterInstall, Association, ChildSa, ChildStage } from './state.ts';
import { emit, fraction, unwant, update, want, type Turn } from './turn.ts';

/** The CHILD_SAs as a set: their SPIs, stages, installation and removal. Which exchange changes them is other files' matter. */

export function findChild(turn: Turn, spiIn: number | undefined): ChildSa | undefined {
  return turn.sa.children.find((child) => child.spiIn === spiIn);
}

export function updateChild(turn: Turn, spiIn: number, change: Partial<ChildSa>): void {
  update(turn, { children: turn.sa.children.map((child) => (child.spiIn === spiIn ? { ...child, ...change } : child)) });
}

export function setStage(turn: Turn, spiIn: number, stage: ChildStage): void {
  updateChild(turn, spiIn, { stage });
}

/** An inbound SPI that is not in use; 0–255 are reserved (RFC 4303 §2.1). */
export function newSpi(turn: Turn): number {
  for (;;) {
    const [a, b, c, d] = turn.crypto.random(4);
    const spi = a! * 0x100_0000 + ((b! << 16) | (c! << 8) | d!);
    if (spi > 255 && !findChild(turn, spi)) return spi;
  }
}

/** When something made now is due for a rekey. */
export function rekeyTime(turn: Turn, intervalMs: number): number {
  return intervalMs > 0 ? turn.now + Math.round(intervalMs * (1 - rekeyJitter * fraction(turn))) : Infinity;
}

/** When something made now has been in use for too long, whatever its peer says. */
export function expiryTime(turn: Turn, intervalMs: number): number {
  return intervalMs > 0 ? turn.now + Math.round(intervalMs * (1 + lifetimeGrace)) : Infinity;
}

/** When to try again what was refused for now. */
export function retryTime(turn: Turn): number {
  return turn.now + Math.round(retryMs * (1 + fraction(turn) / 2));
}

export interface NewChild {
  readonly spiIn: number;
  readonly accepted: AcceptedChild;
  readonly tsi: readonly TrafficSelector[];
  readonly tsr: readonly TrafficSelector[];
  /** Whether the exchange that made it was begun by us. */
  readonly ours: boolean;
  readonly keyInput: ChildKeyInput;
  readonly sendNow: boolean;
  readonly after: AfterInstall;
}

/** Derives the keys of a negotiated CHILD_SA and hands them to the host. The shared secret, if any, is overwritten. */
export function installChild(turn: Turn, association: Association, child: NewChild): void {
  const { protection } = association;
  if (!protection) throw new Error('a CHILD_SA without an IKE SA');
  const { accepted, spiIn, tsi, tsr } = child;
  const { suite } = accepted;
  const keys = deriveChildKeys(turn.crypto, protection.suite.prf, protection.skD, suite, child.keyInput);
  wipe(child.keyInput.sharedSecret, ...(child.keyInput.additionalSecrets ?? []));
  const [inbound, outbound] = child.ours ? [keys.responder, keys.initiator] : [keys.initiator, keys.responder];
  update(turn, {
    children: [
      ...turn.sa.children,
      {
        spiIn,
        spiOut: accepted.spi,
        suite,
        esn: accepted.esn,
        tsi,
        tsr,
        stage: { name: 'installing', after: child.after },
        rekeyAt: rekeyTime(turn, turn.sa.config.childRekeyMs),
        expiresAt: expiryTime(turn, turn.sa.config.childRekeyMs),
        refusals: 0,
      },
    ],
  });
  emit(turn, {
    kind: 'install-child',
    child: {
      suite: { encr: suite.encr, keyBits: suite.keyBits, integ: suite.integ },
      inbound: { spi: spiIn, ...keysOf(inbound) },
      outbound: { spi: accepted.spi, ...keysOf(outbound) },
      tsi,
      tsr,
      esn: accepted.esn,
      sendNow: child.sendNow,
    },
  });
}

/** A CHILD_SA that exists at the peer only and is to be deleted there at once. */
export function addUnwantedChild(turn: Turn, spiIn: number, spiOut: number): void {
  const suite = { encr: 0, keyBits: 0, integ: 0 };
  const stage: ChildStage = { name: 'replaced' };
  const child: ChildSa = {
    spiIn,
    spiOut,
    suite,
    esn: false,
    tsi: [],
    tsr: [],
    stage,
    rekeyAt: Infinity,
    expiresAt: Infinity,
    refusals: 0,
  };
  update(turn, { children: [...turn.sa.children, child] });
  want(turn, { kind: 'delete-child', spiIn });
}

/** It sends no more, and IKE is to delete it. */
export function replaceChild(turn: Turn, spiIn: number): void {
  if (!findChild(turn, spiIn)) return;
  setStage(turn, spiIn, { name: 'replaced' });
  forgetWishes(turn, spiIn);
  want(turn, { kind: 'delete-child', spiIn });
}

/** Both sides agree that it is gone; packets in flight are still received for a while. */
export function lingerChild(turn: Turn, spiIn: number): void {
  if (findChild(turn, spiIn)?.stage.name === 'lingering') return;
  forgetWishes(turn, spiIn);
  setStage(turn, spiIn, { name: 'lingering', until: turn.now + lingerMs });
}

export function removeChild(turn: Turn, spiIn: number): void {
  if (!findChild(turn, spiIn)) return;
  forgetWishes(turn, spiIn);
  update(turn, { children: turn.sa.children.filter((child) => child.spiIn !== spiIn) });
  emit(turn, { kind: 'remove-child', spiIn });
}

/** The pair that sends from now on; a rekey that the peer made is complete. */
export function useChild(turn: Turn, spiIn: number): void {
  setStage(turn, spiIn, { name: 'active' });
  emit(turn, { kind: 'use-child', spiIn });
}

/** A refusal of a rekey, for good or for now: again later, unless this was the last time. Returns whether there will be another try. */
export function postponeRekey(turn: Turn, spiIn: number, refused: boolean): boolean {
  const child = findChild(turn, spiIn);
  if (!child) return true;
  const refusals = child.refusals + (refused ? 1 : 0);
  updateChild(turn, spiIn, { rekeyAt: retryTime(turn), refusals });
  return refusals < refusalLimit && turn.now < child.expiresAt;
}

/** Whether some CHILD_SA is, or will be, there to carry traffic. */
export function hasLivingChild(turn: Turn): boolean {
  return turn.sa.children.some(({ stage }) => stage.name === 'active' || stage.name === 'standby' || stage.name === 'installing');
}

function forgetWishes(turn: Turn, spiIn: number): void {
  unwant(turn, (wish) => 'spiIn' in wish && wish.spiIn === spiIn);
}

function keysOf(keys: { readonly encryptionKey: Uint8Array; readonly integrityKey: Uint8Array }): {
  encryptionKey: Uint8Array;
  integrityKey: Uint8Array;
} {
  return { encryptionKey: keys.encryptionKey, integrityKey: keys.integrityKey };
}
