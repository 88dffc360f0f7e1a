import process from 'node:process';
import type { RadiusServer } from '../gateway/strongswan.ts';
import type { Host } from '../host.ts';
import { network } from '../network.ts';
import type { Issued } from '../pki/authority.ts';
import type { Running } from '../running.ts';
import { radiusSecret } from './freeradius.ts';
import type { OpensslFront } from './openssl-radius-front.ts';

export interface OpensslRadiusOptions {
  readonly certificate: Issued;
  readonly authorities: readonly string[];
  readonly tls: '1.2' | '1.3';
  /** PEM. */
  readonly revocationList?: string;
}

const home = '/run/openssl-radius';
const front: OpensslFront = { address: network.corp.radius4, port: 2012, secret: radiusSecret, tlsPort: 2443 };

/**
 * An EAP-TLS server that says by a TLS alert why it refuses a certificate, as NPS does. FreeRADIUS and hostapd keep the alert to themselves
 * and send a bare EAP-Failure. It accepts nobody.
 */
export class OpensslRadius {
  readonly #running: readonly Running[];

  private constructor(running: readonly Running[]) {
    this.#running = running;
  }

  static async start(host: Host, options: OpensslRadiusOptions): Promise<OpensslRadius> {
    host.write(`${home}/server.pem`, options.certificate.chainPem);
    host.write(`${home}/server.key`, options.certificate.keyPem, 0o600);
    host.write(`${home}/authorities.pem`, options.authorities.join(''));
    const lists = options.revocationList === undefined ? [] : ['-crl_check', '-CRL', `${home}/list.pem`];
    if (options.revocationList !== undefined) host.write(`${home}/list.pem`, options.revocationList);
    const own = ['-cert', `${home}/server.pem`, '-key', `${home}/server.key`, '-CAfile', `${home}/authorities.pem`];
    const strict = ['-Verify', '5', '-verify_return_error', ...lists, options.tls === '1.2' ? '-tls1_2' : '-tls1_3'];
    const engine = host.spawn(['openssl', 's_server', '-accept', `127.0.0.1:${front.tlsPort}`, ...own, ...strict], {
      name: 's-server',
      stdin: true,
    });
    await engine.saysWithin(/ACCEPT/);
    const program = new URL('./openssl-radius-front.ts', import.meta.url).pathname;
    const running = host.spawn([process.execPath, program, JSON.stringify(front)], { name: 'openssl-radius' });
    await running.saysWithin(/ready/);
    return new OpensslRadius([running, engine]);
  }

  get server(): RadiusServer {
    return front;
  }

  async stop(): Promise<void> {
    for (const running of this.#running) await running.stop('SIGKILL');
  }
}
