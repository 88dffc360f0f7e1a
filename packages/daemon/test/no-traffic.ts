import type { DataPlaneStats } from '@aovpn/esp';

/** Of a data plane that has carried nothing. */
export const noTraffic: DataPlaneStats = {
  bytesIn: 0,
  bytesOut: 0,
  packetsIn: 0,
  packetsOut: 0,
  lastInboundAt: undefined,
  dropped: { replay: 0, authentication: 0, malformed: 0, unknownSpi: 0, policy: 0, noSa: 0, tooBig: 0 },
  children: [],
};
