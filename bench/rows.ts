import { stubAdded, stubAddedP99, stubRate, stubRules } from './b10-stub.ts';
import { nameTrigger } from './b11-name-trigger.ts';
import { filterLoad, filterThroughput } from './b12-filters.ts';
import { lockdownLoad, lockdownThroughput } from './b12-lockdown.ts';
import { unwatchedExec, watchedExec } from './b13-exec.ts';
import { largeProfile } from './b14-large-profile.ts';
import { smallProfile } from './b14-profile.ts';
import { memory } from './b15-memory.ts';
import { wakeUpsRow } from './b15-wake-ups.ts';
import { coldStart } from './b16-cold-start.ts';
import { kernelPlane } from './b17-kernel-plane.ts';
import { userspaceEsp } from './b1-userspace-esp.ts';
import { plainLink } from './b2-plain-link.ts';
import { cost } from './b3-cost.ts';
import { loss } from './b4-loss.ts';
import { smallPackets } from './b4-small-packets.ts';
import { eapHandshakes, peapConversation } from './b5-eap.ts';
import { handshake, usable } from './b5-handshake.ts';
import { coldConnect } from './b6-cold-connect.ts';
import { roaming } from './b7-roaming.ts';
import { rekey } from './b8-rekey.ts';
import { healing } from './b9-healing.ts';
import type { Row } from './row.ts';

/** In the order of the table. */
export const rows: readonly Row[] = [
  userspaceEsp,
  plainLink,
  cost,
  smallPackets,
  loss,
  handshake,
  usable,
  ...eapHandshakes,
  peapConversation,
  coldConnect,
  roaming,
  rekey,
  healing,
  stubAdded,
  stubAddedP99,
  stubRules,
  stubRate,
  nameTrigger,
  filterLoad,
  filterThroughput,
  lockdownLoad,
  lockdownThroughput,
  watchedExec,
  unwatchedExec,
  smallProfile,
  largeProfile,
  memory,
  wakeUpsRow,
  coldStart,
  kernelPlane,
];
