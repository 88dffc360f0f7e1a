import process from 'node:process';
import type { EstConduct } from '../../packages/host/testkit/est-server.ts';
import type { Host } from '../host.ts';
import type { Authority } from '../pki/authority.ts';
import type { Running } from '../running.ts';
import type { EstProcessSettings } from './est-process.ts';

/** The enrolment server of a company, on one host. */
export class EstLab {
  readonly url: string;
  readonly running: Running;
  readonly #host: Host;
  readonly #conductFile: string;

  private constructor(host: Host, url: string, running: Running, conductFile: string) {
    this.#host = host;
    this.url = url;
    this.running = running;
    this.#conductFile = conductFile;
  }

  /** @param name in its certificate; it listens at `address`. */
  static async start(
    host: Host,
    authority: Authority,
    name: string,
    address: string,
    conduct: EstConduct,
    port = 8443,
  ): Promise<EstLab> {
    const { certificatePem, keyPem } = authority;
    const server = authority.issue({ commonName: name, dns: [name], usages: ['serverAuth'] });
    const conductFile = `/run/est-${port}-conduct.json`;
    host.write(conductFile, JSON.stringify(conduct));
    const settings: EstProcessSettings = {
      authority: { certificatePem, keyPem },
      server: { certificatePem: server.chainPem, keyPem: server.keyPem },
      // It goes with the world.
      directory: '/run',
      host: address,
      port,
      conduct: conductFile,
    };
    host.write(`/run/est-${port}.json`, JSON.stringify(settings), 0o600);
    const program = new URL('./est-process.ts', import.meta.url).pathname;
    const running = host.spawn([process.execPath, program, `/run/est-${port}.json`], { name: 'est' });
    await running.saysWithin(/ready/);
    return new EstLab(host, `https://${name}:${port}/.well-known/est`, running, conductFile);
  }

  /** From the next request on. */
  conduct(conduct: EstConduct): void {
    this.#host.write(this.#conductFile, JSON.stringify(conduct));
  }

  /** Lines that it has written so far. */
  lines(): readonly string[] {
    return this.running.output().split('\n');
  }
}
