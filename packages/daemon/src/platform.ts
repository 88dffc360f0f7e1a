import {
  createEapCrypto,
  createGatewayVerifier,
  createIkeCrypto,
  createTlsEngine,
  createUpstreamAsker,
  openNetwork,
  openUserspaceDataPlane,
  probeGateway,
} from '@aovpn/host';
import type { Platform } from './daemon.ts';

/** This machine. @throws {HostError} AOV-HOST-300 */
export function linuxPlatform(stateDir: string): Platform {
  const crypto = { ...createEapCrypto(), ...createIkeCrypto() };
  return {
    crypto,
    network: openNetwork({ stateDirectory: stateDir }),
    asker: createUpstreamAsker(),
    openDataPlane: openUserspaceDataPlane,
    createGatewayVerifier: ({ gatewayAnchors }, revocation) =>
      createGatewayVerifier({ anchors: gatewayAnchors.map(({ raw }) => new Uint8Array(raw)), revocation }),
    probeGateway: async (address, port) => (await probeGateway(crypto, address, port)).answered,
    createTlsEngine,
  };
}
