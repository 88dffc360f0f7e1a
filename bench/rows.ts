import { userspaceEsp } from './b1-userspace-esp.ts';
import { plainLink } from './b2-plain-link.ts';
import { loss } from './b4-loss.ts';
import { smallPackets } from './b4-small-packets.ts';
import type { Row } from './row.ts';

export const rows: readonly Row[] = [userspaceEsp, plainLink, smallPackets, loss];
