import { eapType } from './packet.ts';

const codes: Readonly<Record<number, string>> = { 1: 'Request', 2: 'Response', 3: 'Success', 4: 'Failure' };

/** Names of EAP methods (IANA "EAP Method Types"), for traces; only some are spoken. */
const methods: Readonly<Record<number, string>> = {
  1: 'Identity',
  2: 'Notification',
  3: 'Nak',
  4: 'MD5-Challenge',
  5: 'OTP',
  6: 'GTC',
  13: 'EAP-TLS',
  18: 'EAP-SIM',
  21: 'EAP-TTLS',
  23: 'EAP-AKA',
  25: 'PEAP',
  26: 'EAP-MSCHAPv2',
  33: 'EAP-TLV',
  43: 'EAP-FAST',
  50: "EAP-AKA'",
  52: 'EAP-PWD',
  55: 'TEAP',
};

const mschapv2Codes: Readonly<Record<number, string>> = {
  1: 'Challenge',
  2: 'Response',
  3: 'Success',
  4: 'Failure',
  7: 'Change-Password',
};

const tlsMethods: ReadonlySet<number> = new Set([eapType.tls, 21, eapType.peap, 43, 55]);

/**
 * An EAP packet for a trace: code, identifier, method and what kind of step of it this is, never what is in it. Identities, challenges, responses,
 * codes and whatever a TLS tunnel carries are octets of which only the number is told.
 */
export function describeEapPacket(packet: Uint8Array): string {
  const [code = 0, identifier = 0] = packet;
  const name = codes[code] ?? `code ${code}`;
  if (packet.length < 5) return `${name} ${identifier}`;
  const type = packet[4]!;
  if (type === eapType.expanded && packet.length >= 12) {
    const vendor = (packet[5]! << 16) | (packet[6]! << 8) | packet[7]!;
    const inner = packet[11]!;
    return `${name} ${identifier} expanded, vendor ${vendor}, ${vendor === 0 ? methodName(inner) : `type ${inner}`}`;
  }
  return `${name} ${identifier} ${methodName(type)}${describeStep(type, packet)}`;
}

function methodName(type: number): string {
  return methods[type] ?? `type ${type}`;
}

function describeStep(type: number, packet: Uint8Array): string {
  const length = packet.length - 5;
  if (type === eapType.nak) return ` wants ${[...packet.subarray(5, 13)].map(methodName).join(', ')}`;
  if (type === eapType.mschapv2) return ` ${mschapv2Codes[packet[5] ?? 0] ?? 'unknown step'}`;
  if (!tlsMethods.has(type) || length < 1) return length > 0 ? ` (${length} octets)` : '';
  const flags = packet[5]!;
  const parts = [
    ...((flags & 0x20) === 0 ? [] : ['start']),
    ...((flags & 0x40) === 0 ? [] : ['more fragments']),
    ...(type === eapType.tls ? [] : [`version ${flags & 0x07}`]),
  ];
  const data = packet.length - 6 - ((flags & 0x80) === 0 ? 0 : 4);
  parts.push(data > 0 ? `${data} octets of TLS` : (flags & 0x20) === 0 ? 'acknowledgement' : 'no data');
  return `: ${parts.join(', ')}`;
}
