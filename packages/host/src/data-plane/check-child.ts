import { espTransform, type ChildSaInstall, type EspSa, type EspTransform } from '@aovpn/esp';
import { dataPlaneError } from './data-plane-error.ts';

/** What no plane can install. @throws {HostError} AOV-HOST-207, AOV-HOST-208 */
export function checkChild(
  { suite }: Pick<ChildSaInstall, 'suite'>,
  inbound: EspSa,
  outbound: EspSa,
  isInstalled: (spiIn: number) => boolean,
): EspTransform {
  const transform = espTransform(suite);
  if (!transform) throw dataPlaneError('badSuite', `ESP suite ${suite.encr}/${suite.keyBits}/${suite.integ}`);
  for (const { spi, encryptionKey, integrityKey } of [inbound, outbound]) {
    // RFC 4303 §2.1: 1 to 255 are reserved, and 0 would read as a non-ESP marker.
    if (!Number.isInteger(spi) || spi < 256 || spi > 0xffffffff) throw dataPlaneError('badSpi', `SPI ${spiText(spi)}`);
    const fits =
      encryptionKey.length === transform.keyLength + transform.saltLength && integrityKey.length === transform.integrityKeyLength;
    if (!fits)
      throw dataPlaneError('badSuite', `keys of ${encryptionKey.length} and ${integrityKey.length} octets for ${transform.name}`);
  }
  if (isInstalled(inbound.spi)) throw dataPlaneError('badSpi', `inbound SPI ${spiText(inbound.spi)} is installed already`);
  return transform;
}

export function spiText(spi: number): string {
  return spi.toString(16).padStart(8, '0');
}
