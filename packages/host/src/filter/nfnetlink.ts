import { concat, type IpAddress } from '@aovpn/bytes';
import { NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST } from '../network/rtnetlink-number.ts';
import {
  decodeAttributes,
  decodeMessages,
  encodeMessage,
  readText,
  viewOf,
  type Attribute,
  type NetlinkMessage,
} from '../network/rtnetlink.ts';
import { nested, text } from './nft-expression.ts';
import { littleEndian, openNetlink, setBuffer, SysError, waitReadable } from '../sys/index.ts';

/** What the kernel tells about nftables: <linux/netfilter/nfnetlink.h>, <linux/netfilter/nf_tables.h>. */

const NETLINK_NETFILTER = 12;
const NLMSG_ERROR = 2;
const NFNL_MSG_BATCH_BEGIN = 16;
const NFNL_MSG_BATCH_END = 17;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_DATA_VALUE = 1;
const ENOENT = 2;
const EOPNOTSUPP = 95;
const ETIMEDOUT = 110;
const NFNL_SUBSYS_NFTABLES = 10;
const NFNLGRP_NFTABLES = 7;
const NFT_MSG_GETTABLE = 1;
const NFT_MSG_NEWGEN = 15;
const NFT_MSG_GETGEN = 16;
const NFTA_GEN_ID = 1;
const NFTA_GEN_PROC_PID = 2;
const NFTA_GEN_PROC_NAME = 3;
/** Of every message about a table, or something in it, attribute 1 is the table's name. */
const NFTA_TABLE_NAME = 1;
/** NFT_MSG_*. */
export const kinds = {
  newTable: 0,
  deleteTable: 2,
  newChain: 3,
  newRule: 6,
  newSet: 9,
  newElement: 12,
  deleteElement: 14,
} as const;
/** `struct nfgenmsg`. */
const fixedLength = 4;

/** A transaction of nftables: all its parts come into force together. */
export interface NftTransaction {
  /** The number of the ruleset that it made. */
  readonly generation: number;
  /** Who did it; the process may be gone. */
  readonly pid: number;
  readonly program: string;
  /** What happened in the table asked for, such as `delete rule`; empty: nothing. */
  readonly changes: readonly string[];
}

const messageNames = new Map([
  [0, 'new table'],
  [2, 'delete table'],
  [3, 'new chain'],
  [5, 'delete chain'],
  [6, 'new rule'],
  [8, 'delete rule'],
  [9, 'new set'],
  [11, 'delete set'],
  [12, 'new set element'],
  [14, 'delete set element'],
]);
/** More kinds than these say nothing more to a person. */
const maxChanges = 8;

/** Listens to changes of nftables in this network namespace. */
export interface NftEvents {
  /** Transactions that are complete, in order; `lost`: there were more than could be taken, so anything may have happened. */
  read(): { readonly transactions: readonly NftTransaction[]; readonly lost: boolean };
  watch(callback: () => void): void;
  close(): void;
}

/** @param table such as `aovpn`, whose changes are named. @throws {SysError} */
export function openNftEvents(table: string): NftEvents {
  const socket = openNetlink(NETLINK_NETFILTER, 1 << (NFNLGRP_NFTABLES - 1));
  // A large set comes as one message for each few elements; what does not fit is lost, and told as lost.
  setBuffer(socket.fd, 'receive', 4 * 1024 * 1024);
  let changes: string[] = [];
  return {
    read: () => {
      const transactions: NftTransaction[] = [];
      let lost = false;
      for (;;) {
        let datagram: Uint8Array | undefined;
        try {
          datagram = socket.receive();
        } catch (error) {
          if (!(error instanceof SysError)) throw error;
          lost = true;
          changes = [];
          continue;
        }
        if (!datagram) return { transactions, lost };
        for (const message of decodeMessages(datagram)) {
          const kind = message.type & 0xff;
          if (message.type >> 8 !== NFNL_SUBSYS_NFTABLES || message.body.length < fixedLength) continue;
          const attributes = decodeAttributes(message.body, fixedLength);
          if (kind === NFT_MSG_NEWGEN) {
            transactions.push({ ...readGeneration(attributes), changes });
            changes = [];
          } else if (readText(attributes.get(NFTA_TABLE_NAME)) === table) {
            const name = messageNames.get(kind) ?? `change ${kind}`;
            if (!changes.includes(name) && changes.length < maxChanges) changes.push(name);
          }
        }
      }
    },
    watch: (callback) => socket.watch(callback).unref(),
    close: () => socket.close(),
  };
}

/** Whether there is a table, such as `inet aovpn`; without a process for it. @throws {SysError} */
export function hasTable(table: string): boolean {
  const [family = '', name = ''] = table.split(' ');
  const number = familyNumber(family);
  const attribute = [NFTA_TABLE_NAME, new TextEncoder().encode(`${name}\0`)] as const;
  const answer = ask(NFT_MSG_GETTABLE, Uint8Array.of(number, 0, 0, 0), [attribute]);
  if (answer.type !== NLMSG_ERROR) return true;
  const code = -viewOf(answer.body).getInt32(0, littleEndian);
  if (code === ENOENT) return false;
  throw new SysError('nfnetlink NFT_MSG_GETTABLE', code);
}

/** Addresses that go into a set of single addresses, or out of it. */
export interface ElementChange {
  /** Such as `inet aovpn`. */
  readonly table: string;
  readonly set: string;
  readonly op: 'add' | 'remove';
  readonly addresses: readonly IpAddress[];
}

/** One transaction, in a fraction of the time that a process needs. @throws {SysError} and then nothing has changed */
export function changeElements(changes: readonly ElementChange[]): void {
  const wanted = changes.filter(({ addresses }) => addresses.length > 0);
  if (wanted.length === 0) return;
  commit(
    wanted.map(({ table, set, op, addresses }): NftMessage => {
      const [family = '', name = ''] = table.split(' ');
      const elements = addresses.map(({ bytes }) => nested(1, nested(NFTA_SET_ELEM_KEY, [NFTA_DATA_VALUE, bytes])));
      return {
        kind: op === 'add' ? kinds.newElement : kinds.deleteElement,
        flags: op === 'add' ? NLM_F_CREATE : 0,
        family: familyNumber(family),
        attributes: [[1, text(name)], [2, text(set)], nested(3, ...elements)],
      };
    }),
  );
}

/** A part of a transaction: `struct nlmsghdr` and `struct nfgenmsg` as far as they differ, and what follows. */
export interface NftMessage {
  /** One of {@link kinds}. */
  readonly kind: number;
  /** NLM_F_*, without those of every request. */
  readonly flags: number;
  readonly family: number;
  readonly attributes: readonly Attribute[];
}

/** One transaction (NFNL_MSG_BATCH_BEGIN to END). @param messages at least one. @throws {SysError} and then nothing has changed */
export function commit(messages: readonly NftMessage[]): void {
  // struct nfgenmsg: the subsystem of a batch stands in network byte order.
  const edge = (type: number, sequence: number): Uint8Array =>
    encodeMessage(type, NLM_F_REQUEST, sequence, Uint8Array.of(0, 0, 0, NFNL_SUBSYS_NFTABLES), []);
  const last = messages.length;
  const encoded = messages.map(({ kind, flags, family, attributes }, i) =>
    encodeMessage(
      (NFNL_SUBSYS_NFTABLES << 8) | kind,
      // What the kernel says of the last one comes behind what it had to say of all others.
      NLM_F_REQUEST | flags | (i + 1 === last ? NLM_F_ACK : 0),
      i + 1,
      Uint8Array.of(family, 0, 0, 0),
      attributes,
    ),
  );
  const socket = openNetlink(NETLINK_NETFILTER, 0);
  try {
    socket.send(concat(edge(NFNL_MSG_BATCH_BEGIN, 0), ...encoded, edge(NFNL_MSG_BATCH_END, last + 1)));
    for (;;) {
      const datagram = socket.receive();
      if (!datagram) {
        if (!waitReadable(socket.fd, 5000)) throw new SysError('nfnetlink batch', ETIMEDOUT);
        continue;
      }
      for (const { type, sequence, body } of decodeMessages(datagram)) {
        if (type !== NLMSG_ERROR) continue;
        const code = -viewOf(body).getInt32(0, littleEndian);
        if (code !== 0) throw new SysError('nfnetlink batch', code);
        if (sequence === last) return;
      }
    }
  } finally {
    socket.close();
  }
}

export function familyNumber(family: string): number {
  const number = { ip: 2, inet: 1, arp: 3, ip6: 10 }[family];
  if (number === undefined) throw new TypeError(`not a family: ${family}`);
  return number;
}

/** The number of the ruleset in force; every transaction makes it one more. @throws {SysError} */
export function rulesetGeneration(): number {
  const answer = ask(NFT_MSG_GETGEN, new Uint8Array(fixedLength), []);
  if (answer.type !== ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWGEN)) throw new SysError('nfnetlink NFT_MSG_GETGEN', EOPNOTSUPP);
  return generationOf(answer);
}

/** The first message of the answer, which may be an error. @throws {SysError} */
function ask(kind: number, fixed: Uint8Array, attributes: readonly Attribute[]): NetlinkMessage {
  const socket = openNetlink(NETLINK_NETFILTER, 0);
  try {
    socket.send(encodeMessage((NFNL_SUBSYS_NFTABLES << 8) | kind, NLM_F_REQUEST, 1, fixed, attributes));
    for (;;) {
      const datagram = socket.receive();
      if (!datagram) {
        if (!waitReadable(socket.fd, 5000)) throw new SysError(`nfnetlink ${kind}`, ETIMEDOUT);
        continue;
      }
      const answer = decodeMessages(datagram).find(({ sequence }) => sequence === 1);
      if (answer) return answer;
    }
  } finally {
    socket.close();
  }
}

function generationOf({ body }: NetlinkMessage): number {
  return readGeneration(decodeAttributes(body, fixedLength)).generation;
}

function readGeneration(attributes: ReadonlyMap<number, Uint8Array>): Omit<NftTransaction, 'changes'> {
  return {
    generation: bigEndian(attributes.get(NFTA_GEN_ID)),
    pid: bigEndian(attributes.get(NFTA_GEN_PROC_PID)),
    program: readText(attributes.get(NFTA_GEN_PROC_NAME)) ?? '',
  };
}

/** Numbers of nftables are in network byte order. */
function bigEndian(octets: Uint8Array | undefined): number {
  return octets && octets.length >= 4 ? new DataView(octets.buffer, octets.byteOffset, 4).getUint32(0) : 0;
}
