import type { TLSSocket } from 'node:tls';
import { equal } from '@aovpn/bytes';
import type { EncryptedServer } from '@aovpn/policy';
import { HostError } from '../host-error.ts';
import { networkCure, type NetworkErrorCode } from '../network/errors.ts';
import { readPemBlocks } from '../keys/pem.ts';
import { keyDigest } from '../tls/key-digest.ts';
import { doubtOfServer, type ServerDoubt } from '../tls/prove-name.ts';
import { receivedCertificates } from '../tls/verify-server.ts';
import { AnchorStore } from '../trust/anchor-store.ts';

/** Why an encrypted resolver is not asked, or did not answer. */
export interface ResolverFailure {
  /** AOV-HOST-340 to 346. */
  readonly code: string;
  readonly side: 'network' | 'gateway' | 'host';
  readonly what: string;
  readonly cure: string;
}

export function resolverFailure(code: NetworkErrorCode, side: ResolverFailure['side'], what: string): ResolverFailure {
  return { code, side, what, cure: networkCure(code) };
}

/**
 * Whether the other end of a connection is the resolver that it should be (RFC 8310 §8.1; with digests RFC 9464 §4, where the certificate says nothing more).
 * TLS has shown that it holds the key of its certificate. @returns why it is not
 */
export async function judgeResolver(
  secure: TLSSocket,
  { name, proof }: Pick<EncryptedServer, 'name' | 'proof'>,
): Promise<ResolverFailure | undefined> {
  const shown = receivedCertificates(secure);
  const [leaf] = shown;
  if (!leaf) return resolverFailure('AOV-HOST-342', 'gateway', 'it showed no certificate');
  if (proof.kind === 'digests') {
    const fits = proof.digests.some(({ hash, octets }) => equal(keyDigest(leaf, hash), octets));
    const found = (): string => keyDigest(leaf, 'sha256').toString('hex');
    return fits
      ? undefined
      : resolverFailure('AOV-HOST-346', 'gateway', `its key has the SHA-256 digest ${found()}, which the gateway does not name`);
  }
  let anchors: AnchorStore;
  try {
    anchors = proof.pem === undefined ? AnchorStore.fromSystem() : anchorsOf(proof.pem);
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    return resolverFailure('AOV-HOST-345', 'host', error.what);
  }
  const doubt = await doubtOfServer(shown, anchors, name);
  return doubt && resolverFailure(doubtCodes[doubt.reason], 'gateway', doubt.detail);
}

const doubtCodes = {
  'no-certificate': 'AOV-HOST-342',
  'wrong-name': 'AOV-HOST-343',
  'out-of-date': 'AOV-HOST-344',
  untrusted: 'AOV-HOST-345',
} as const satisfies Record<ServerDoubt['reason'], NetworkErrorCode>;

function anchorsOf(pem: string): AnchorStore {
  const blocks = readPemBlocks(pem).filter(({ label }) => label === 'CERTIFICATE');
  return AnchorStore.fromDer(blocks.map(({ der }) => der));
}
