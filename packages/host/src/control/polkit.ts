import { existsSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { connectBus, type DbusConnection } from '../dbus/connection.ts';
import type { DbusValue } from '../dbus/marshal.ts';
import type { MethodCall } from '../dbus/message.ts';
import { systemBusSocket } from '../dbus/system-bus.ts';
import type { Peer } from './peer.ts';

export interface PolkitQuestion {
  /** Such as `org.aovpn.control`. */
  readonly action: string;
  readonly peer: Peer;
  /** Whether a person may be asked for a password. */
  readonly interactive: boolean;
  /** Whoever asked is gone. */
  readonly gone: AbortSignal;
}

/** `asks`: it would have to ask a person, and cannot or may not. `absent`: nobody could be asked, which is a no as well. */
export type PolkitVerdict = { readonly kind: 'yes' | 'no' | 'asks' } | { readonly kind: 'absent'; readonly why: string };

export interface Polkit {
  /** Whether it makes sense to ask: our actions are installed, and there is a bus. */
  isThere(): boolean;
  ask(question: PolkitQuestion): Promise<PolkitVerdict>;
}

/** Where our actions stand when they are installed. */
const policyFile = '/usr/share/polkit-1/actions/org.aovpn.policy';
/** For a person to find a password, milliseconds. */
const interactiveMs = 120_000;
const quietMs = 5_000;
/** polkit's reference, CheckAuthorizationFlags. */
const AllowUserInteraction = 1;

/**
 * polkit (org.freedesktop.PolicyKit1.Authority) about the very process that connected: its number together with its start time and the user that the kernel
 * named when it connected. A number alone may by then be somebody else's (CVE-2011-1485, CVE-2013-4288, CVE-2018-1116).
 */
export function openPolkit(options: { readonly policyFile?: string; readonly busPath?: string } = {}): Polkit {
  const bus = (): string | undefined => options.busPath ?? systemBusSocket();
  return {
    isThere: () => existsSync(options.policyFile ?? policyFile) && bus() !== undefined,
    ask: async (question) => {
      const path = bus();
      if (path === undefined) return { kind: 'absent', why: 'there is no system bus' };
      try {
        return await askAuthority(path, question);
      } catch (error) {
        return { kind: 'absent', why: (error as Error).message };
      }
    },
  };
}

async function askAuthority(path: string, { action, peer, interactive, gone }: PolkitQuestion): Promise<PolkitVerdict> {
  if (!peer.process) return { kind: 'absent', why: 'the process that asked has ended' };
  const cancellation = randomUUID();
  const subject: DbusValue = [
    'unix-process',
    [
      ['pid', { signature: 'u', value: peer.pid }],
      ['start-time', { signature: 't', value: peer.process.startTime }],
      ['uid', { signature: 'i', value: peer.uid }],
    ],
  ];
  const connection = await connectBus(path);
  const cancel = (): void => void cancelQuestion(connection, cancellation);
  gone.addEventListener('abort', cancel, { once: true });
  try {
    if (gone.aborted) return { kind: 'absent', why: 'whoever asked is gone' };
    const [answer] = await connection.call(
      authority('CheckAuthorization', '(sa{sv})sa{ss}us', [
        subject,
        action,
        [],
        interactive ? AllowUserInteraction : 0,
        cancellation,
      ]),
      interactive ? interactiveMs : quietMs,
    );
    const [isAuthorized, isChallenge] = answer as readonly DbusValue[];
    // Whoever was judged must still be there: nobody else inherits the answer.
    if (isAuthorized === true) return { kind: peer.process.isAlive() ? 'yes' : 'no' };
    return { kind: isChallenge === true ? 'asks' : 'no' };
  } catch (error) {
    cancel();
    throw error;
  } finally {
    gone.removeEventListener('abort', cancel);
    // A cancellation that is on its way goes out first.
    setImmediate(() => connection.close());
  }
}

function cancelQuestion(connection: DbusConnection, cancellation: string): Promise<unknown> {
  return connection.call(authority('CancelCheckAuthorization', 's', [cancellation])).catch(() => {});
}

function authority(member: string, signature: string, body: readonly DbusValue[]): MethodCall {
  const destination = 'org.freedesktop.PolicyKit1';
  return {
    destination,
    path: '/org/freedesktop/PolicyKit1/Authority',
    interface: `${destination}.Authority`,
    member,
    signature,
    body,
  };
}
