import type { IpAddress } from '@aovpn/bytes';
import type { Transport } from '@aovpn/esp';
import type {
  BeaconQuestion,
  BeaconResult,
  CertificateObtained,
  CertificateWanted,
  GatewayVerifier,
  Network,
  PacServer,
  TlsEngine,
  TlsEngineOptions,
  UpstreamAsker,
} from '@aovpn/host';
import type { MachineCrypto } from '@aovpn/ike';
import type { DataPlanes } from './choose-data-plane.ts';
import type { LoadedCredentials } from './credentials.ts';
import type { LockdownPlatform } from './lockdown-control.ts';
import type { ProfileSettings } from './profile-settings.ts';
import type { PortalPlatform } from './portal-control.ts';
import type { FilterPlatform } from './traffic-control.ts';
import type { WakePlatform } from './wake-watch.ts';

/** Of a profile, for the gateway's certificate. */
export type VerifierSettings = Pick<ProfileSettings, 'revocation' | 'certificateUrls'>;

/** What the daemon needs of the machine; the real one is made in `platform.ts`. */
export interface Platform {
  readonly crypto: MachineCrypto;
  readonly network: Network;
  /** Serves the proxy script. */
  readonly pac: PacServer;
  readonly filters: FilterPlatform;
  readonly lockdown: LockdownPlatform;
  readonly portal: PortalPlatform;
  readonly wake: WakePlatform;
  readonly asker: UpstreamAsker;
  readonly dataPlanes: DataPlanes;
  createGatewayVerifier(credentials: LoadedCredentials, settings: VerifierSettings): GatewayVerifier;
  createTlsEngine(options: TlsEngineOptions): TlsEngine;
  probeGateway(address: IpAddress, port: number, transport: Transport): Promise<boolean>;
  askBeacon(question: BeaconQuestion): Promise<BeaconResult>;
  obtainCertificate(wanted: CertificateWanted): Promise<CertificateObtained>;
}
