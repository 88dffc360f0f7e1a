import { solvePuzzle } from '@aovpn/host';
import type { DataPlane } from '@aovpn/esp';
import type { IkeAction, IkeEvent } from '@aovpn/ike';
import type { Run } from './ike-sas.ts';
import { messageOf } from './problem-error.ts';
import type { TunnelPorts } from './tunnel-port.ts';

/** What an IKE machine wants to know: it goes on with the answer. */
export type IkeQuestion = Extract<
  IkeAction,
  { readonly kind: 'sign' | 'solve-puzzle' | 'verify-gateway' | 'eap' | 'ask-traffic' }
>;

export interface QuestionContext {
  readonly name: string;
  readonly ports: Pick<TunnelPorts, 'crypto' | 'log' | 'sign' | 'verifyGateway'>;
  readonly plane: DataPlane | undefined;
  /** Nobody wants any answer any more. */
  readonly isOver: () => boolean;
}

/** Asks keys, trust, the RADIUS side or the data plane. Undefined: there is nothing to go on with. @throws {HostError} */
export async function askHost(
  question: IkeQuestion,
  { driver, eap }: Run,
  { name, ports, plane, isOver }: QuestionContext,
): Promise<IkeEvent | undefined> {
  switch (question.kind) {
    case 'sign': {
      const { request, scheme, data } = question;
      try {
        return { kind: 'signed', request, signature: await ports.sign(scheme, data) };
      } catch (error) {
        return { kind: 'signed', request, signature: undefined, problem: messageOf(error) };
      }
    }
    case 'solve-puzzle': {
      const { request, puzzle, text } = question;
      const isWanted = (): boolean => !isOver() && driver.isRunning;
      return { kind: 'puzzle-solved', request, solution: await solvePuzzle(ports.crypto, puzzle, text, isWanted) };
    }
    case 'verify-gateway': {
      const verdict = await ports.verifyGateway(question);
      for (const line of verdict.trace) ports.log.debug(`gateway certificate: ${line}`, name);
      return { kind: 'gateway-verdict', request: question.request, verdict };
    }
    case 'eap': {
      const event = await eap.handle(question.action);
      return event && { kind: 'eap', event };
    }
    case 'ask-traffic': {
      const { lastInboundAt, children } = await plane!.stats();
      return { kind: 'traffic', lastInboundAt, children };
    }
  }
}
