import { encodeUtf8, parseAddress, type IpAddress } from '@aovpn/bytes';
import type { IkeSaConfig, Path } from '../src/machine/contract.ts';
import type { TrafficSelector } from '../src/message/payload.ts';
import { createTestKey } from './key.ts';

/** The names, addresses and keys that exchange scripts share. */
export const clientKey = createTestKey();
export const gatewayKey = createTestKey();
export const gatewayName = 'vpn.example.com';
export const user = 'alice';
export const password = 'correct horse';

export function address(text: string): IpAddress {
  const parsed = parseAddress(text);
  if (!parsed) throw new Error(`no address: ${text}`);
  return parsed;
}

export function selector(from: string, to: string, more: Partial<TrafficSelector> = {}): TrafficSelector {
  return { protocol: 0, fromPort: 0, toPort: 65535, from: address(from), to: address(to), ...more };
}

export const everything: readonly TrafficSelector[] = [selector('0.0.0.0', '255.255.255.255')];

export const path: Path = { local: address('198.51.100.7'), localPort: 40000, remote: address('203.0.113.1'), remotePort: 4500 };
export const otherPath: Path = { ...path, local: address('192.0.2.99'), localPort: 41000 };

/** AES-GCM-16-256, SHA2-256, X25519 first and ECP256 second. */
export const ikeProposals: IkeSaConfig['ikeProposals'] = [
  { encr: [{ id: 20, keyBits: 256 }], integ: [], prf: [5], ke: [31, 19] },
];
export const childProposals: IkeSaConfig['childProposals'] = [{ encr: [{ id: 20, keyBits: 256 }], integ: [], ke: [31] }];

export const certificateConfig: IkeSaConfig = {
  ikeProposals,
  childProposals,
  auth: {
    kind: 'certificate',
    schemes: ['ecdsa-sha256'],
    certificates: [clientKey.spki],
    identity: { type: 2, data: encodeUtf8('client.example.com') },
  },
  certificateAuthorities: [new Uint8Array(20).fill(7)],
  gatewayNames: [gatewayName],
  request: { v4: true, v6: false },
  trafficSelectors: { tsi: everything, tsr: everything },
  fragmentation: true,
  fragmentSize: 1280,
  mobike: true,
  redirect: true,
  forceUdpEncapsulation: true,
  retransmit: { firstMs: 1000, factor: 2, tries: 3 },
  dpdMs: 30_000,
  ikeRekeyMs: 4 * 3600_000,
  childRekeyMs: 3600_000,
  childRekeyBytes: 0,
  eapWaitMs: 60_000,
};

export const sharedKey: Uint8Array = encodeUtf8('a long and random secret of two ends');
/** A PPK that both ends have. */
export const sharedPpk = { identity: encodeUtf8('\u0002laptops'), key: encodeUtf8('thirty-two octets of true random') };
export const sharedKeyConfig: IkeSaConfig = {
  ...certificateConfig,
  auth: { kind: 'shared-key', key: sharedKey, identity: { type: 2, data: encodeUtf8('client.example.com') } },
};

export const eapConfig: IkeSaConfig = {
  ...certificateConfig,
  auth: { kind: 'eap', peer: { identity: user, method: { kind: 'mschapv2', userName: user } } },
};

/** ML-KEM-768 beside X25519, and the same without it behind (RFC 9370). */
export const hybridConfig: IkeSaConfig = {
  ...certificateConfig,
  ikeProposals: [{ ...ikeProposals[0]!, additionalKe: [[36]] }, ...ikeProposals],
  childProposals: [{ ...childProposals[0]!, additionalKe: [[36]] }, ...childProposals],
};
