import path from 'node:path';
import { loadCredential, loadRawKey, readPublicKeys, readSecretFile, type Credential, type RawKey } from '@aovpn/host';
import type { SharedSecrets } from '@aovpn/supervisor';
import type { CredentialPaths } from './credentials.ts';
import type { ProfileSettings } from './settings.ts';
import { hostError, readTrustedFile } from './trusted-file.ts';

/** Keys that the settings name and ProfileXML has no word for. */
export interface KeyMaterial {
  readonly secrets: SharedSecrets;
  /** SubjectPublicKeyInfo of keys that the gateway may have. */
  readonly gatewayKeys?: readonly Uint8Array[];
  /** Our key without a certificate. */
  readonly rawKey?: RawKey;
  /** The machine's certificate, beside what the user authenticates with. */
  readonly machine?: Credential;
}

/** The files of it, as written. */
export function keyMaterialFiles(settings: ProfileSettings): readonly string[] {
  const { sharedKeyFile, ppkFile, gatewayKey, machineCertificate, machineKey } = settings;
  return [sharedKeyFile, ppkFile, gatewayKey, machineCertificate, machineKey].filter((file) => file !== undefined);
}

/** Whether a key without a certificate stands in for the certificate of the machine. */
export function goesWithoutCertificate({ sharedKeyFile, rawKey }: ProfileSettings): boolean {
  return sharedKeyFile !== undefined || rawKey === true;
}

/** @throws {HostError} what is wrong with a file, and what to do about it */
export async function loadKeyMaterial(
  settings: ProfileSettings,
  { key }: CredentialPaths,
  configDir: string,
): Promise<KeyMaterial> {
  const { sharedKeyFile, ppkFile, gatewayKey, machineCertificate, machineKey } = settings;
  const named = (written: string): string => path.resolve(configDir, written);
  if (settings.rawKey === true && key === undefined)
    throw hostError('AOV-HOST-111', 'raw-key is set, and there is no key file (key, or NAME.key beside the profile)');
  const [sharedKey, ppk, gatewayKeys, rawKey, machine] = await Promise.all([
    sharedKeyFile === undefined ? undefined : readSecretFile(named(sharedKeyFile)),
    ppkFile === undefined ? undefined : readSecretFile(named(ppkFile)),
    gatewayKey === undefined ? undefined : readGatewayKeys(named(gatewayKey)),
    settings.rawKey === true ? loadRawKey(key!) : undefined,
    machineCertificate === undefined
      ? undefined
      : loadCredential({
          certificate: named(machineCertificate),
          ...(machineKey !== undefined && { key: named(machineKey) }),
        }),
  ]);
  return {
    secrets: { ...(sharedKey && { sharedKey }), ...(ppk && { ppk }) },
    ...(gatewayKeys && { gatewayKeys }),
    ...(rawKey && { rawKey }),
    ...(machine && { machine }),
  };
}

async function readGatewayKeys(file: string): Promise<readonly Uint8Array[]> {
  const text = await readTrustedFile(file);
  if (text === undefined) throw hostError('AOV-HOST-100', `${file} does not exist`);
  return readPublicKeys(text, file);
}
