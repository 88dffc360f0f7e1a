import { addressFromBytes, decodeUtf8, encodeUtf8, Reader, TruncatedError, Writer, type IpAddress } from '@aovpn/bytes';
import type { EncryptedDns, KeyDigest } from '../machine/contract.ts';
import { SignatureHash } from '../registry/auth-method.ts';
import { domainName, unicast } from './configuration.ts';

/** Keys of service parameters (RFC 9460 §14.3.2, RFC 9461 §5). */
const param = { MANDATORY: 0, ALPN: 1, NO_DEFAULT_ALPN: 2, PORT: 3, DOHPATH: 7 } as const;
const understood: readonly number[] = Object.values(param);

/**
 * The value of ENCDNS_IP4 or ENCDNS_IP6 (RFC 9464 §3.1): priority, number of addresses, length of the name, addresses, name, service
 * parameters. Undefined for what cannot be used: malformed, without address or name (alias mode included: its name would have to be
 * looked up first), or with a parameter that is mandatory and not understood (RFC 9460 §8).
 * @param octets of one address
 */
export function decodeEncryptedDns(value: Uint8Array, octets: 4 | 16): EncryptedDns | undefined {
  try {
    const reader = new Reader(value, 'encrypted DNS');
    const priority = reader.u16();
    const count = reader.u8();
    const nameLength = reader.u8();
    const addresses: IpAddress[] = [];
    for (let i = 0; i < count; i++) {
      const address = unicast(reader.bytes(octets));
      if (address) addresses.push(addressFromBytes(address.bytes));
    }
    const name = domainName(reader.bytes(nameLength));
    const params = readParams(reader);
    if (priority === 0 || addresses.length === 0 || name === undefined || !params) return undefined;
    return { priority, name, addresses, ...params };
  } catch (error) {
    if (error instanceof TruncatedError) return undefined;
    throw error;
  }
}

/** The reverse, for those who play the gateway. */
export function encodeEncryptedDns({ priority, name, addresses, protocols, port, path }: EncryptedDns): Uint8Array {
  const title = encodeUtf8(name);
  const writer = new Writer().u16(priority).u8(addresses.length).u8(title.length);
  for (const { bytes } of addresses) writer.bytes(bytes);
  writer.bytes(title);
  const alpn = protocols.map(encodeUtf8);
  if (alpn.length > 0) {
    writer.u16(param.ALPN).u16(alpn.reduce((sum, each) => sum + 1 + each.length, 0));
    for (const each of alpn) writer.u8(each.length).bytes(each);
  }
  if (port !== undefined) writer.u16(param.PORT).u16(2).u16(port);
  if (path !== undefined) {
    const template = encodeUtf8(path);
    writer.u16(param.DOHPATH).u16(template.length).bytes(template);
  }
  return writer.finish();
}

/** Hash algorithms of RFC 9464 §3.2 that we know, by number (RFC 7427 §7), and their octets. */
const digestHashes = new Map<number, { readonly hash: KeyDigest['hash']; readonly octets: number }>([
  [SignatureHash.SHA2_256, { hash: 'sha256', octets: 32 }],
  [SignatureHash.SHA2_384, { hash: 'sha384', octets: 48 }],
  [SignatureHash.SHA2_512, { hash: 'sha512', octets: 64 }],
]);

/** What a request says in ENCDNS_DIGEST_INFO: the hash algorithms that we know, for no name (RFC 9464 §3.2). */
export function encodeDigestRequest(): Uint8Array {
  const writer = new Writer().u8(digestHashes.size).u8(0);
  for (const number of digestHashes.keys()) writer.u16(number);
  return writer.finish();
}

/**
 * The value of ENCDNS_DIGEST_INFO in a reply (RFC 9464 §3.2): number of hash algorithms (1), length of the name, name, hash algorithm, digest.
 * `name` is absent where it is of the one that ENCDNS_IP4 and ENCDNS_IP6 name. Undefined for what cannot be used.
 */
export function decodeDigest(value: Uint8Array): { readonly name?: string; readonly digest: KeyDigest } | undefined {
  try {
    const reader = new Reader(value, 'digest of an encrypted resolver');
    const count = reader.u8();
    const title = reader.bytes(reader.u8());
    const known = digestHashes.get(reader.u16());
    const octets = reader.bytes(reader.remaining);
    const name = title.length === 0 ? undefined : domainName(title);
    if (count !== 1 || known?.octets !== octets.length || (title.length > 0 && name === undefined)) return undefined;
    return { ...(name !== undefined && { name }), digest: { hash: known.hash, octets: octets.slice() } };
  } catch (error) {
    if (error instanceof TruncatedError) return undefined;
    throw error;
  }
}

/** The reverse, for those who play the gateway. */
export function encodeDigest({ hash, octets }: KeyDigest, name = ''): Uint8Array {
  const title = encodeUtf8(name);
  const number = [...digestHashes].find(([, known]) => known.hash === hash)![0];
  return new Writer().u8(1).u8(title.length).bytes(title).u16(number).bytes(octets).finish();
}

function readParams(reader: Reader): Pick<EncryptedDns, 'protocols' | 'port' | 'path'> | undefined {
  const protocols: string[] = [];
  let port: number | undefined;
  let path: string | undefined;
  let last = -1;
  while (reader.remaining > 0) {
    const key = reader.u16();
    const value = reader.sub(reader.u16(), 'service parameter');
    // RFC 9460 §2.2: in order, each once.
    if (key <= last) return undefined;
    last = key;
    switch (key) {
      case param.MANDATORY:
        while (value.remaining > 0) if (!understood.includes(value.u16())) return undefined;
        break;
      case param.ALPN:
        while (value.remaining > 0) {
          const protocol = decodeUtf8(value.bytes(value.u8()));
          if (/^[\u0021-\u007e]{1,32}$/.test(protocol)) protocols.push(protocol);
        }
        break;
      case param.PORT:
        port = value.u16();
        value.end();
        if (port === 0) return undefined;
        break;
      case param.DOHPATH: {
        const template = decodeUtf8(value.bytes(value.remaining));
        if (/^\/[\u0021-\u007e]{0,255}$/.test(template)) path = template;
        break;
      }
    }
  }
  return { protocols, ...(port !== undefined && { port }), ...(path !== undefined && { path }) };
}
