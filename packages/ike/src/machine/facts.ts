import { addressFromBytes, decodeUtf8, formatAddress, toHex } from '@aovpn/bytes';
import type { Identity } from '../message/payload.ts';
import { suiteName } from '../message/proposal.ts';
import { IdentityType, nameOfIdentityType } from '../registry/identity-type.ts';
import type { IkeFacts } from './contract.ts';
import { formatSelector } from './selector.ts';
import type { IkeSa } from './state.ts';
import { currentOf } from './turn.ts';

/** Facts for people; never keys. */
export function factsOf(sa: IkeSa): IkeFacts {
  const { spiI, spiR, protection, ppk } = currentOf(sa);
  const child =
    sa.children.find(({ stage }) => stage.name === 'active') ?? sa.children.find(({ stage }) => stage.name !== 'lingering');
  return {
    spiI: toHex(spiI),
    spiR: toHex(spiR),
    ikeSuite: protection ? suiteName(protection.suite) : '',
    childSuite: child ? suiteName(child.suite) + (child.esn ? ' / ESN' : '') : '',
    gatewayIdentity: sa.gateway.identity,
    gatewaySubject: sa.gateway.subject,
    authentication: sa.gateway.authentication + (ppk ? '; with PPK' : ''),
    mobike: sa.peer.mobike,
    fragmentation: sa.peer.fragmentation,
    natLocal: sa.peer.natLocal,
    natRemote: sa.peer.natRemote,
    tsi: child?.tsi.map(formatSelector) ?? [],
    tsr: child?.tsr.map(formatSelector) ?? [],
  };
}

/** An identity as people write it; what is not text is hexadecimal behind its type's name. */
export function formatIdentity({ type, data }: Identity): string {
  switch (type) {
    case IdentityType.IPV4_ADDR:
    case IdentityType.IPV6_ADDR:
      return data.length === 4 || data.length === 16 ? formatAddress(addressFromBytes(data)) : raw(type, data);
    case IdentityType.FQDN:
    case IdentityType.RFC822_ADDR: {
      const text = decodeUtf8(data);
      return /^[\u0021-\u007e]{1,255}$/.test(text) ? text : raw(type, data);
    }
    default:
      return raw(type, data);
  }
}

function raw(type: number, data: Uint8Array): string {
  return `${nameOfIdentityType(type)} ${toHex(data.subarray(0, 256))}`;
}
