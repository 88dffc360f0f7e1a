import {
  askBeacon,
  askNetworkForPortal,
  cleanUpFilters,
  createEapCrypto,
  createGatewayVerifier,
  createIkeCrypto,
  createTlsEngine,
  createUpstreamAsker,
  fetchMarked,
  obtainCertificate,
  openFilters,
  openLockdown,
  openNetwork,
  openPortalCell,
  openPacServer,
  probeGateway,
  probeGatewayOverTcp,
  processOwner,
  readUrlPrefix,
  watchClock,
  watchSleep,
} from '@aovpn/host';
import { pacPlace } from '@aovpn/policy';
import { linuxDataPlanes } from './data-planes.ts';
import type { Platform } from './platform-port.ts';
import { outerMark } from './outer-mark.ts';
import { defaultCgroup, type DaemonOptions } from './options.ts';
import type { FilterPlatform } from './traffic-control.ts';

/** This machine. @throws {HostError} AOV-HOST-300 */
export function linuxPlatform(options: Pick<DaemonOptions, 'stateDir' | 'runDir' | 'cgroup'>): Platform {
  const { stateDir, runDir } = options;
  const crypto = { ...createEapCrypto(), ...createIkeCrypto() };
  return {
    crypto,
    network: openNetwork({ stateDirectory: stateDir, runDirectory: runDir }),
    pac: openPacServer(pacPlace),
    filters: linuxFilters(options),
    lockdown: { open: openLockdown },
    asker: createUpstreamAsker(),
    dataPlanes: linuxDataPlanes(),
    createGatewayVerifier: ({ gatewayAnchors }, { revocation, certificateUrls }) =>
      createGatewayVerifier({
        anchors: gatewayAnchors.map(({ raw }) => new Uint8Array(raw)),
        revocation,
        certificateUrls: certificateUrls.map(readUrlPrefix).filter((url) => url !== undefined),
      }),
    askBeacon,
    obtainCertificate,
    probeGateway: async (address, port, transport) =>
      (await (transport === 'tcp' ? probeGatewayOverTcp : probeGateway)(crypto, address, port, outerMark)).answered,
    createTlsEngine,
    wake: { watchClock, watchSleep },
    portal: {
      openCell: () => openPortalCell({ cgroup: options.cgroup, mark: outerMark }),
      ask: askNetworkForPortal,
      fetch: fetchMarked,
      owner: processOwner,
    },
  };
}

/** Another daemon may have cgroups of another name, and what is pinned belongs to the usual one. */
export function linuxFilters({ runDir, cgroup }: Pick<DaemonOptions, 'runDir' | 'cgroup'>): FilterPlatform {
  const place = { cgroupName: cgroup, runDirectory: runDir, ...(cgroup === defaultCgroup ? {} : { pins: false as const }) };
  return {
    open: (onEvent) => openFilters({ onEvent, ...place }),
    cleanUp: () => cleanUpFilters(place),
  };
}
