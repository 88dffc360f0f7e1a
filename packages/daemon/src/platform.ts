import {
  createEapCrypto,
  createGatewayVerifier,
  createIkeCrypto,
  createTlsEngine,
  createUpstreamAsker,
  openNetwork,
  openUserspaceDataPlane,
} from '@aovpn/host';
import type { Platform } from './daemon.ts';

/** This machine. @throws {HostError} AOV-HOST-300 */
export function linuxPlatform(stateDir: string): Platform {
  return {
    crypto: { ...createEapCrypto(), ...createIkeCrypto() },
    network: openNetwork({ stateDirectory: stateDir }),
    asker: createUpstreamAsker(),
    openDataPlane: openUserspaceDataPlane,
    createGatewayVerifier: ({ gatewayAnchors }, revocation) =>
      createGatewayVerifier({ anchors: gatewayAnchors.map(({ raw }) => new Uint8Array(raw)), revocation }),
    createTlsEngine: ({ credential, radiusAnchors }) =>
      createTlsEngine({ ...(credential && { credential }), roots: radiusAnchors.map(({ raw }) => new Uint8Array(raw)) }),
  };
}
