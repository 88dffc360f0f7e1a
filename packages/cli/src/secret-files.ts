import { closeSync, constants, mkdirSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import type { DaemonEvent } from '@aovpn/api';
import { CommandError, ExitCode } from './command.ts';
import { pcapHeader, pcapPacket } from './pcap.ts';
import { espTableLine, ikeTableLine } from './wireshark-keys.ts';

export interface SecretFiles {
  /** What was written; undefined for what Wireshark has no word for. */
  write(event: DaemonEvent): string | undefined;
  close(): void;
}

/**
 * A capture and two tables of Wireshark (`ikev2_decryption_table`, `esp_sa`), readable by their owner only from their first octet on. Files that
 * are there are not touched: they may be somebody else's, or a link.
 */
export function openSecretFiles(pcap: string | undefined, keys: string | undefined): SecretFiles {
  const opened: number[] = [];
  const open = (file: string): number => {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    try {
      opened.push(openSync(file, flags, 0o600));
    } catch (error) {
      for (const descriptor of opened) closeSync(descriptor);
      throw new CommandError(
        ExitCode.failed,
        `${file} cannot be made: ${(error as Error).message}`,
        'Name files that are not there yet.',
      );
    }
    return opened.at(-1)!;
  };
  if (keys !== undefined) mkdirSync(keys, { recursive: true, mode: 0o700 });
  const capture = pcap === undefined ? undefined : open(pcap);
  const ike = keys === undefined ? undefined : open(path.join(keys, 'ikev2_decryption_table'));
  const esp = keys === undefined ? undefined : open(path.join(keys, 'esp_sa'));
  if (capture !== undefined) writeSync(capture, pcapHeader());
  const put = (file: number | undefined, line: string | undefined): boolean => {
    if (line === undefined) return false;
    if (file !== undefined) writeSync(file, line);
    return true;
  };
  return {
    write(event) {
      if (event.kind === 'datagram') {
        if (capture !== undefined) writeSync(capture, pcapPacket(event));
        return `${event.direction === 'out' ? '-->' : '<--'} ${event.message.length / 2} octets`;
      }
      if (event.kind === 'ike-keys')
        return put(ike, ikeTableLine(event)) ? `keys of IKE SA ${event.spiI} ${event.spiR}` : undefined;
      if (event.kind !== 'esp-keys' || !put(esp, espTableLine(event))) return undefined;
      return `key of ESP SA 0x${event.spi.toString(16)} ${event.source} > ${event.destination}`;
    },
    close() {
      for (const descriptor of opened) closeSync(descriptor);
    },
  };
}
