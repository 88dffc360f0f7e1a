import path from 'node:path';
import { loadCredential, loadRawKey, readPublicKeys, readSecretFile, type Credential, type RawKey } from '@aovpn/host';
import type { SharedSecrets } from '@aovpn/supervisor';
import type { CredentialPaths } from './credentials.ts';
import type { ProfileSettings } from './profile-settings.ts';
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
  /** Where that lies. */
  readonly machineFile?: string;
}

type KeySettings = Pick<
  ProfileSettings,
  'sharedKeyFile' | 'ppkFile' | 'gatewayKey' | 'machineCertificate' | 'machineKey' | 'rawKey'
>;

/** The files of it, as written. */
export function keyMaterialFiles(settings: KeySettings): readonly string[] {
  const { sharedKeyFile, ppkFile, gatewayKey, machineCertificate, machineKey } = settings;
  return [sharedKeyFile, ppkFile, gatewayKey, machineCertificate, machineKey].filter((file) => file !== undefined);
}

/** Whether a key without a certificate stands in for the certificate of the machine. */
export function goesWithoutCertificate({ sharedKeyFile, rawKey }: ProfileSettings): boolean {
  return sharedKeyFile !== undefined || rawKey === true;
}

/** @throws {HostError} what is wrong with a file, and what to do about it */
export async function loadKeyMaterial(settings: KeySettings, { key }: CredentialPaths, configDir: string): Promise<KeyMaterial> {
  const { sharedKeyFile, ppkFile, gatewayKey, machineCertificate, machineKey } = settings;
  const named = (written: string): string => path.resolve(configDir, written);
  if (settings.rawKey === true && key === undefined)
    throw hostError('AOV-HOST-111', 'raw-key is set, and there is no key file (key, or NAME.key beside the profile)');
  const [sharedKey, ppk, gatewayKeys, rawKey, machine] = await Promise.all([
    sharedKeyFile === undefined ? undefined : readKeyOctets(named(sharedKeyFile)),
    ppkFile === undefined ? undefined : readKeyOctets(named(ppkFile)),
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
    ...(machine && { machine, machineFile: named(machineCertificate!) }),
  };
}

/** The octets of a key: as they stand there, or in hexadecimal behind `0x` (RFC 7296 §2.15), as other IKE daemons have it. */
async function readKeyOctets(file: string): Promise<Uint8Array> {
  const secret = await readSecretFile(file);
  const octets = decodeHexKey(secret);
  if (octets !== secret) secret.fill(0);
  return octets;
}

/** What `0x` and an even number of hexadecimal digits stand for; anything else is the key itself. */
export function decodeHexKey(secret: Uint8Array): Uint8Array {
  const isHex = secret.length > 2 && secret.length % 2 === 0 && secret[0] === 0x30 && (secret[1]! | 0x20) === 0x78;
  if (!isHex) return secret;
  const octets = new Uint8Array(secret.length / 2 - 1);
  for (let i = 0; i < octets.length; i++) {
    const [high, low] = [digit(secret[2 * i + 2]!), digit(secret[2 * i + 3]!)];
    if (high === undefined || low === undefined) return secret;
    octets[i] = high * 16 + low;
  }
  return octets;
}

function digit(character: number): number | undefined {
  if (character >= 0x30 && character <= 0x39) return character - 0x30;
  const letter = character | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : undefined;
}

async function readGatewayKeys(file: string): Promise<readonly Uint8Array[]> {
  const text = await readTrustedFile(file);
  if (text === undefined) throw hostError('AOV-HOST-100', `${file} does not exist`);
  return readPublicKeys(text, file);
}
