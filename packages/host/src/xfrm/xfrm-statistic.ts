import { libc } from '../sys/index.ts';

/** What the kernel's IPsec dropped in one network namespace, for whatever tunnel (`/proc/net/xfrm_stat`). */
export interface XfrmStatistics {
  readonly noState: number;
  readonly noPolicy: number;
  /** Lengths, padding, headers and ICVs that do not fit; what each SA says of its ICVs is part of it. */
  readonly protocol: number;
}

const nothing: XfrmStatistics = { noState: 0, noPolicy: 0, protocol: 0 };

/** @param fd of the open file; −1 where the kernel has none (CONFIG_XFRM_STATISTICS) */
export function readXfrmStatistics(fd: number): XfrmStatistics {
  if (fd < 0) return nothing;
  const octets = new Uint8Array(4096);
  const length = libc.pread(fd, libc.addressOf(octets), octets.length, 0);
  if (length <= 0) return nothing;
  const values = new Map(
    new TextDecoder()
      .decode(octets.subarray(0, length))
      .split('\n')
      .map((line) => line.split(/\s+/))
      .map(([name, value]) => [name, Number(value)] as const),
  );
  const sum = (...names: readonly string[]): number => names.reduce((total, name) => total + (values.get(name) ?? 0), 0);
  return {
    noState: sum('XfrmInNoStates'),
    noPolicy: sum('XfrmInNoPols', 'XfrmInTmplMismatch', 'XfrmInPolBlock'),
    protocol: sum('XfrmInError', 'XfrmInBufferError', 'XfrmInHdrError', 'XfrmInStateProtoError', 'XfrmInStateModeError'),
  };
}
