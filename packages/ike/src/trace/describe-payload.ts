import { addressFromBytes, decodeUtf8, formatAddress, toHex } from '@aovpn/bytes';
import { describeEapPacket } from '@aovpn/eap';
import { nameOfAuthMethod } from '../registry/auth-method.ts';
import { configAttributeRows } from '../registry/config-attribute.ts';
import { IdentityType, nameOfIdentityType } from '../registry/identity-type.ts';
import { nameOfNotify, NotifyType } from '../registry/notify.ts';
import { nameOfProtocol } from '../registry/protocol.ts';
import { Esn, TransformType } from '../registry/transform.ts';
import { nameOfTransform } from '../registry/transform-lookup.ts';
import { formatSelector } from '../machine/selector.ts';
import type { ConfigAttribute, Identity, NotifyPayload, Payload, Proposal, Transform } from '../message/payload.ts';

/** One payload as people read it: a name, what it says in one line, and what it is made of. */
export interface DescribedPayload {
  readonly name: string;
  readonly detail?: string;
  readonly parts?: readonly DescribedPayload[];
}

/**
 * Payloads for a trace. What is shown is what is known to be public: algorithms, kinds, selectors, addresses, identities of IKE, SPIs. Of everything else
 * (nonces, public values, signatures, certificates, EAP, cookies, tickets, tokens, and whatever we have no word for) only the length is told,
 * so that a secret which a later RFC puts into a payload does not show up here by itself.
 */
export function describePayloads(payloads: readonly Payload[]): DescribedPayload[] {
  return payloads.map(describePayload);
}

/** `SA KE Nonce N(COOKIE)`: the payloads in one line, as the RFCs write them. */
export function outlinePayloads(payloads: readonly DescribedPayload[]): string {
  return payloads.map(({ name }) => name).join(' ');
}

function describePayload(payload: Payload): DescribedPayload {
  switch (payload.kind) {
    case 'SA':
      return { name: 'SA', parts: payload.proposals.map(describeProposal) };
    case 'KE':
      return { name: 'KE', detail: `${nameOfTransform(4, payload.group)}, ${octets(payload.data)}` };
    case 'IDi':
    case 'IDr':
      return { name: payload.kind, detail: describeIdentity(payload.identity) };
    case 'CERT':
      return { name: 'CERT', detail: `${nameOfEncoding(payload.encoding)}, ${octets(payload.data)}` };
    case 'CERTREQ':
      return {
        name: 'CERTREQ',
        detail: `${nameOfEncoding(payload.encoding)}, ${Math.floor(payload.authorities.length / 20)} authorities`,
      };
    case 'AUTH':
      return { name: 'AUTH', detail: `${nameOfAuthMethod(payload.method)}, ${octets(payload.data)}` };
    case 'NONCE':
      return { name: 'Nonce', detail: octets(payload.data) };
    case 'N':
      return describeNotify(payload);
    case 'D': {
      const spis = payload.spis.map(toHex).join(' ');
      return { name: 'D', detail: `${nameOfProtocol(payload.protocol)}${spis === '' ? '' : ` ${spis}`}` };
    }
    case 'PS':
      return { name: 'PS', detail: octets(payload.solution) };
    case 'V':
      return { name: 'V', detail: octets(payload.data) };
    case 'TSi':
    case 'TSr':
      return { name: payload.kind, detail: payload.selectors.map(formatSelector).join(', ') };
    case 'CP':
      return {
        name: 'CP',
        detail: configTypes[payload.type] ?? `type ${payload.type}`,
        parts: payload.attributes.map(describeAttribute),
      };
    case 'EAP':
      return { name: 'EAP', detail: describeEapPacket(payload.packet) };
    case 'unknown':
      return { name: `payload(${payload.type})`, detail: `${payload.critical ? 'critical, ' : ''}${octets(payload.data)}` };
  }
}

function describeProposal({ number, protocol, spi, transforms }: Proposal): DescribedPayload {
  const types = [...new Set(transforms.map(({ type }) => type))];
  return {
    name: `proposal ${number}`,
    detail: `${nameOfProtocol(protocol)}${spi.length > 0 ? ` SPI ${toHex(spi)}` : ''}`,
    parts: types.map((type) => ({
      name: transformTypes[type] ?? `transform type ${type}`,
      detail: transforms
        .filter((transform) => transform.type === type)
        .map(describeTransform)
        .join(' '),
    })),
  };
}

function describeTransform({ type, id, keyBits, foreignAttribute }: Transform): string {
  if (type === TransformType.ESN) return id === Esn.NONE ? 'no' : id === Esn.YES ? 'yes' : `transform(${type}, ${id})`;
  const bits = keyBits === undefined ? '' : `-${keyBits}`;
  return `${nameOfTransform(type, id)}${bits}${foreignAttribute === true ? ' (with an attribute that it cannot have)' : ''}`;
}

function describeNotify({ protocol, spi, type, data }: NotifyPayload): DescribedPayload {
  const about = spi.length > 0 ? [`${nameOfProtocol(protocol)} SPI ${toHex(spi)}`] : [];
  const said = notifyDetails.get(type)?.(data) ?? (data.length > 0 ? octets(data) : undefined);
  const detail = [...about, ...(said === undefined ? [] : [said])].join(', ');
  return { name: `N(${nameOfNotify(type)})`, ...(detail !== '' && { detail }) };
}

/** The notifications whose data may be shown; undefined for data of another length than they have. */
const notifyDetails: ReadonlyMap<number, (data: Uint8Array) => string | undefined> = new Map([
  [NotifyType.INVALID_KE_PAYLOAD, (data) => (data.length === 2 ? nameOfTransform(4, u16(data, 0)) : undefined)],
  [
    NotifyType.SIGNATURE_HASH_ALGORITHMS,
    (data) =>
      pairs(data)
        .map((id) => hashes[id] ?? `hash(${id})`)
        .join(' '),
  ],
  [NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, (data) => (data.length === 1 ? `payload type ${data[0]}` : undefined)],
  [NotifyType.AUTH_LIFETIME, (data) => (data.length === 4 ? `${u32(data)} s` : undefined)],
  [NotifyType.ADDITIONAL_IP4_ADDRESS, (data) => addressText(data, 4)],
  [NotifyType.ADDITIONAL_IP6_ADDRESS, (data) => addressText(data, 16)],
]);

function describeAttribute({ type, value }: ConfigAttribute): DescribedPayload {
  const name = configAttributeRows.find((row) => row.type === type)?.name ?? `attribute(${type})`;
  const shown = value.length === 0 ? undefined : (attributeText(name, value) ?? octets(value));
  return { name, ...(shown !== undefined && { detail: shown }) };
}

/** Addresses and domain names; anything else stays a length. */
function attributeText(name: string, value: Uint8Array): string | undefined {
  if (name === 'INTERNAL_DNS_DOMAIN') return plain(value);
  if (name.endsWith('_SUBNET') && value.length === 8)
    return `${addressText(value.subarray(0, 4), 4)} mask ${addressText(value.subarray(4), 4)}`;
  if (name.startsWith('INTERNAL_IP4_')) return addressText(value, 4);
  if (name.startsWith('INTERNAL_IP6_') && value.length === 17) return `${addressText(value.subarray(0, 16), 16)}/${value[16]}`;
  return name.startsWith('INTERNAL_IP6_') ? addressText(value, 16) : undefined;
}

function describeIdentity({ type, data }: Identity): string {
  const name = nameOfIdentityType(type);
  switch (type) {
    case IdentityType.IPV4_ADDR:
      return `${name} ${addressText(data, 4) ?? octets(data)}`;
    case IdentityType.IPV6_ADDR:
      return `${name} ${addressText(data, 16) ?? octets(data)}`;
    case IdentityType.FQDN:
    case IdentityType.RFC822_ADDR:
      return `${name} ${plain(data) ?? octets(data)}`;
    default:
      return `${name}, ${octets(data)}`;
  }
}

const transformTypes: Readonly<Record<number, string>> = {
  1: 'ENCR',
  2: 'PRF',
  3: 'INTEG',
  4: 'KE',
  5: 'ESN',
  6: 'ADDKE1',
  7: 'ADDKE2',
};
const configTypes: Readonly<Record<number, string>> = { 1: 'CFG_REQUEST', 2: 'CFG_REPLY', 3: 'CFG_SET', 4: 'CFG_ACK' };
const hashes: Readonly<Record<number, string>> = { 1: 'SHA1', 2: 'SHA2-256', 3: 'SHA2-384', 4: 'SHA2-512', 5: 'Identity' };
const encodings: Readonly<Record<number, string>> = {
  4: 'X.509 signature',
  7: 'CRL',
  11: 'raw RSA key',
  12: 'hash and URL',
  14: 'OCSP content',
  15: 'raw public key',
};

function nameOfEncoding(encoding: number): string {
  return encodings[encoding] ?? `encoding(${encoding})`;
}

function octets(data: Uint8Array): string {
  return `${data.length} octets`;
}

function addressText(data: Uint8Array, length: number): string | undefined {
  const address = data.length === length ? addressFromBytes(data) : undefined;
  return address && formatAddress(address);
}

/** Printable ASCII as it is: what a peer sends must not steer a terminal. */
function plain(data: Uint8Array): string | undefined {
  const text = decodeUtf8(data);
  return /^[\u0020-\u007e]{1,255}$/.test(text) ? text : undefined;
}

function u16(data: Uint8Array, at: number): number {
  return (data[at]! << 8) | data[at + 1]!;
}

function u32(data: Uint8Array): number {
  return u16(data, 0) * 0x1_0000 + u16(data, 2);
}

function pairs(data: Uint8Array): number[] {
  return Array.from({ length: Math.min(16, data.length >> 1) }, (_, i) => u16(data, 2 * i));
}
