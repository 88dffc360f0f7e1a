import type { Payload } from '../message/payload.ts';
import { errorNotify } from '../registry/error.ts';
import { findChild, postponeRekey, removeChild, replaceChild, setStage, useChild } from './child.ts';
import { lastCallMs, sleptMs, standbyMs } from './choice.ts';
import { closeWith } from './delete.ts';
import { factsOf } from './facts.ts';
import { announcePath } from './mobike.ts';
import { childRenewed } from './move-proof.ts';
import { refreshKeys } from './resume.ts';
import type { AfterInstall, ChildSa } from './state.ts';
import { emit, findAssociation, info, update, want, type Turn } from './turn.ts';
import { sendResponse } from './window.ts';

/** The host has installed a pair, or could not. */
export function processInstalled(turn: Turn, spiIn: number, problem: string | undefined): void {
  const child = findChild(turn, spiIn);
  if (child?.stage.name !== 'installing') return;
  const { after } = child.stage;
  if (problem !== undefined) return processProblem(turn, child, after, problem);
  switch (after.kind) {
    case 'establish':
      setStage(turn, spiIn, { name: 'active' });
      if (turn.sa.phase.name !== 'child-await-install') return;
      update(turn, { phase: { name: 'open' } });
      emit(turn, { kind: 'established', configuration: turn.sa.configuration, facts: factsOf(turn.sa) });
      if (turn.sa.pathStale) announcePath(turn);
      refreshKeys(turn);
      return;
    case 'replace':
      setStage(turn, spiIn, { name: 'active' });
      childRenewed(turn);
      if (findChild(turn, after.old)?.stage.name === 'replaced') replaceChild(turn, after.old!);
      emit(turn, { kind: 'rekeyed', what: 'child', facts: factsOf(turn.sa) });
      return;
    case 'answer':
      setStage(turn, spiIn, { name: 'standby', replaces: after.replaces, until: turn.now + standbyMs });
      answer(turn, after, after.payloads);
      settleStandby(turn, spiIn);
      return;
  }
}

/** The one that a standby pair replaces is gone: unless another pair sends, this one does. */
export function settleStandby(turn: Turn, spiIn: number): void {
  const child = findChild(turn, spiIn);
  if (child?.stage.name !== 'standby') return;
  const { replaces } = child.stage;
  const old = findChild(turn, replaces)?.stage.name;
  const othersSend = turn.sa.children.some((other) => other.spiIn !== replaces && isSending(other));
  if (old === 'active' || old === 'replaced' || old === 'installing' || othersSend) return;
  promote(turn, spiIn);
}

/** The peer has not deleted what its rekey replaced: we bring it to an end. */
export function processStandbyDeadline(turn: Turn, child: ChildSa): void {
  if (child.stage.name !== 'standby') return;
  const { replaces, until, lastCall } = child.stage;
  if (!lastCall || turn.now > until + sleptMs)
    return setStage(turn, child.spiIn, { name: 'standby', replaces, until: turn.now + lastCallMs, lastCall: true });
  const othersSend = turn.sa.children.some((other) => other.spiIn !== replaces && isSending(other));
  if (othersSend) return replaceChild(turn, child.spiIn);
  promote(turn, child.spiIn);
  if (findChild(turn, replaces)?.stage.name === 'active') replaceChild(turn, replaces);
}

/** In use for what leaves: pairs of our own making send from the moment in which they are installed. */
function isSending({ stage }: ChildSa): boolean {
  return stage.name === 'active' || (stage.name === 'installing' && stage.after.kind !== 'answer');
}

function promote(turn: Turn, spiIn: number): void {
  useChild(turn, spiIn);
  childRenewed(turn);
  emit(turn, { kind: 'rekeyed', what: 'child', facts: factsOf(turn.sa) });
}

function processProblem(turn: Turn, child: ChildSa, after: AfterInstall, problem: string): void {
  info(turn, `the host could not install a CHILD_SA: ${problem}`);
  switch (after.kind) {
    case 'establish':
      return closeWith(turn, { kind: 'failed', failure: { kind: 'install', problem } });
    case 'replace': {
      // The peer has it, so it is deleted there; the old one stays in use.
      setStage(turn, child.spiIn, { name: 'replaced' });
      want(turn, { kind: 'delete-child', spiIn: child.spiIn });
      const old = findChild(turn, after.old);
      if (old?.stage.name === 'replaced') setStage(turn, old.spiIn, { name: 'active' });
      if (!old || old.stage.name === 'lingering' || !postponeRekey(turn, old.spiIn, true)) {
        closeWith(turn, { kind: 'failed', failure: { kind: 'install', problem } });
      }
      return;
    }
    case 'answer':
      removeChild(turn, child.spiIn);
      answer(turn, after, [errorNotify({ kind: 'TEMPORARY_FAILURE' })]);
      return;
  }
}

function answer(turn: Turn, after: AfterInstall & { readonly kind: 'answer' }, payloads: readonly Payload[]): void {
  if (findAssociation(turn, after.association)?.answering !== after.messageId) return;
  sendResponse(turn, after.association, after.exchange, after.messageId, payloads);
}
