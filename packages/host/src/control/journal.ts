import { fstatSync } from 'node:fs';
import process from 'node:process';
import { constant, libc } from '../sys/index.ts';
import { unixAddress } from './unix-address.ts';

/** Fields of one entry (systemd.journal-fields(7)): names of capitals, digits and `_`. */
export type JournalFields = Readonly<Record<string, string>>;

export interface Journal {
  /** False: it was not taken, and whoever logs should say it elsewhere. Never waits. */
  send(fields: JournalFields): boolean;
}

/** Where journald listens (systemd-journald.service(8)). */
const nativeSocket = '/run/systemd/journal/socket';

/**
 * Whether a descriptor, standard error as a rule, is what the service manager connected to the journal: systemd.exec(5), `JOURNAL_STREAM`. A variable alone
 * may have been inherited by a program whose output goes elsewhere.
 */
export function isJournalStream(fd = 2, stream = process.env['JOURNAL_STREAM']): boolean {
  if (stream === undefined) return false;
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

/** The journal's own protocol (systemd.io, "Native Journal Protocol"): one datagram an entry, over a socket that stays open. */
export function openJournal(socketPath = nativeSocket): Journal {
  const address = unixAddress(socketPath);
  let fd = -1;
  return {
    send(fields) {
      if (!address) return false;
      if (fd < 0) fd = libc.socket(constant.AF_UNIX, constant.SOCK_DGRAM | constant.SOCK_NONBLOCK | constant.SOCK_CLOEXEC, 0);
      if (fd < 0) return false;
      const data = encodeEntry(fields);
      return libc.sendto(fd, libc.addressOf(data), data.length, 0, libc.addressOf(address), address.length) === data.length;
    },
  };
}

/** `NAME=value`, or where the value has lines of its own: the name, 64 bits of length, the value. */
export function encodeEntry(fields: JournalFields): Buffer {
  const parts: Buffer[] = [];
  for (const [name, value] of Object.entries(fields)) {
    const octets = Buffer.from(value);
    if (!value.includes('\n')) parts.push(Buffer.from(`${name}=`), octets, Buffer.from('\n'));
    else {
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(octets.length));
      parts.push(Buffer.from(`${name}\n`), length, octets, Buffer.from('\n'));
    }
  }
  return Buffer.concat(parts);
}
