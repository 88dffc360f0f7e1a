import { network } from '../network.ts';
import { Authority, type Issued, type KeyKind, type LeafRequest } from './authority.ts';

/** What can be wrong with a gateway's certificate (`good`: nothing). */
export type GatewayCertificateKind =
  | 'good'
  | 'expired'
  | 'not-yet'
  | 'wrong-name'
  | 'unknown-authority'
  | 'revoked'
  | 'no-server-auth';

/** What can be wrong with a RADIUS server's certificate. */
export type RadiusCertificateKind =
  | 'good'
  | 'expired'
  | 'not-yet'
  | 'wrong-name'
  | 'unknown-authority'
  | 'revoked'
  | 'no-server-auth'
  /** Nothing wrong, but two issuers above it and many names: it fills many EAP packets. */
  | 'long-chain';

/** What can be wrong with a user's certificate. */
export type UserCertificateKind =
  | 'good'
  | 'expired'
  | 'not-yet'
  | 'unknown-authority'
  | 'revoked'
  | 'no-client-auth'
  | 'all-purpose'
  | 'long-chain';

/** The name that RADIUS servers of a world bear. */
export const radiusName = 'nps.corp.example';

/** All certificates of a world; each is made when it is first asked for. */
export class Pki {
  readonly root = new Authority('Example Root CA');
  readonly #made = new Map<string, Issued>();
  #radiusRoot: Authority | undefined;
  #intermediate: Authority | undefined;
  #stranger: Authority | undefined;

  /** Issues the certificates of people and machines; gateways may leave it out of what they send. */
  get intermediate(): Authority {
    return (this.#intermediate ??= new Authority('Example Issuing CA', { issuer: this.root }));
  }

  /** An authority that nobody trusts. */
  get stranger(): Authority {
    return (this.#stranger ??= new Authority('Stranger CA'));
  }

  /** The RADIUS server's own: neither gateways nor users are below it. */
  get radiusRoot(): Authority {
    return (this.#radiusRoot ??= new Authority('Example RADIUS Root CA'));
  }

  radius(kind: RadiusCertificateKind = 'good', key: KeyKind = 'p256'): Issued {
    const name = kind === 'wrong-name' ? 'other.corp.example' : radiusName;
    return this.#once(`radius ${kind} ${key}`, () => {
      const issued = (
        kind === 'unknown-authority' ? this.stranger : kind === 'long-chain' ? chainBelow(this.radiusRoot) : this.radiusRoot
      ).issue({
        commonName: name,
        dns: [name, ...(kind === 'long-chain' ? manyNames : [])],
        usages: kind === 'no-server-auth' ? ['clientAuth'] : ['serverAuth'],
        key,
        validity: kind === 'expired' || kind === 'not-yet' ? kind : 'day',
        ...(kind === 'revoked' ? { crlUrl: `http://${network.internet.pki}/radius.crl` } : {}),
      });
      if (kind === 'revoked') this.radiusRoot.revoke(issued);
      return issued;
    });
  }

  gateway(
    kind: GatewayCertificateKind = 'good',
    key: KeyKind = 'p256',
    options: { readonly revocationUrls?: boolean; readonly ocsp?: boolean; readonly names?: readonly string[] } = {},
  ): Issued {
    const request: LeafRequest = {
      commonName: kind === 'wrong-name' ? 'other.example.net' : network.gateway.name,
      dns:
        kind === 'wrong-name'
          ? ['other.example.net']
          : [...['', 'v4.', 'v6.'].map((prefix) => `${prefix}${network.gateway.name}`), ...(options.names ?? [])],
      usages: kind === 'no-server-auth' ? ['clientAuth'] : ['serverAuth', 'ikeIntermediate'],
      key,
      validity: kind === 'expired' || kind === 'not-yet' ? kind : 'day',
      ...(kind === 'revoked' || options.revocationUrls ? { crlUrl: `http://${network.internet.pki}/root.crl` } : {}),
      ...(options.ocsp ? { ocspUrl: `http://${network.internet.pki}:${network.internet.ocspPort}/` } : {}),
    };
    return this.#once(`gateway ${kind} ${key} ${JSON.stringify(options)}`, () => {
      const issued = (kind === 'unknown-authority' ? this.stranger : this.root).issue(request);
      if (kind === 'revoked') this.root.revoke(issued);
      return issued;
    });
  }

  machine(key: KeyKind = 'p256', name = 'laptop.corp.example'): Issued {
    return this.#once(`machine ${key} ${name}`, () =>
      this.root.issue({ commonName: name, dns: [name], usages: ['clientAuth'], key }),
    );
  }

  user(key: KeyKind = 'p256', name = 'alice', kind: UserCertificateKind = 'good'): Issued {
    return this.#once(`user ${key} ${name} ${kind}`, () => {
      const issuer = kind === 'unknown-authority' ? this.stranger : kind === 'long-chain' ? chainBelow(this.root) : this.root;
      const issued = issuer.issue({
        commonName: name,
        upn: `${name}@corp.example`,
        email: `${name}@corp.example`,
        usages: kind === 'all-purpose' ? [] : kind === 'no-client-auth' ? ['codeSigning'] : ['clientAuth'],
        key,
        validity: kind === 'expired' || kind === 'not-yet' ? kind : 'day',
        ...(kind === 'long-chain' ? { dns: manyNames } : {}),
      });
      if (kind === 'revoked') issuer.revoke(issued);
      return issued;
    });
  }

  /** A machine certificate that the gateway does not trust. */
  foreignMachine(): Issued {
    return this.#once('foreign machine', () =>
      this.stranger.issue({ commonName: 'laptop.corp.example', dns: ['laptop.corp.example'], usages: ['clientAuth'] }),
    );
  }

  outdatedMachine(validity: 'expired' | 'not-yet'): Issued {
    return this.#once(`${validity} machine`, () =>
      this.root.issue({
        commonName: 'laptop.corp.example',
        dns: ['laptop.corp.example'],
        usages: ['clientAuth'],
        validity,
      }),
    );
  }

  #once(key: string, make: () => Issued): Issued {
    let issued = this.#made.get(key);
    if (!issued) this.#made.set(key, (issued = make()));
    return issued;
  }
}

/** About five kilobytes of names. */
const manyNames = Array.from({ length: 100 }, (_, index) => `name-${index}.of-a-certificate-that-has-many-of-them.example`);

function chainBelow(root: Authority): Authority {
  const policy = new Authority('Example Policy CA', { issuer: root, key: 'rsa2048' });
  return new Authority('Example Issuing CA 2', { issuer: policy, key: 'rsa2048' });
}
