import process from 'node:process';
import type { Host } from '../host.ts';
import { network } from '../network.ts';
import type { Issued } from '../pki/authority.ts';
import type { Running } from '../running.ts';
import { until } from '../until.ts';
import type { GatewayCommand, GatewayProcessSettings, JsonResponderOptions } from './testkit-gateway-process.ts';

export interface TestkitGatewayOptions {
  readonly certificate: Issued;
  /** PEM: who may issue the certificates of clients. */
  readonly authorities: readonly string[];
  /** Default: both addresses of the world's gateway. */
  readonly addresses?: readonly string[];
  readonly name?: string;
  readonly user?: { readonly name: string; readonly password: string };
  /** How the responder behaves. */
  readonly options?: JsonResponderOptions;
  /** Route packets of the tunnel on into the network behind the gateway, instead of answering them. Once in a host. */
  readonly route?: true;
}

/** Inner addresses as strongSwan would hand them out, for `options.configuration` and `options.tsi`. */
const inner4 = { text: '10.30.0.10', octets: Uint8Array.of(10, 30, 0, 10) };

/**
 * A gateway that speaks what no packaged gateway does: the testkit's responder as a process of its own, on real UDP. It answers pings and
 * UDP of the tunnel as if it were every host behind it, and nothing else, or routes all of it on. AES-GCM for ESP only.
 */
export class TestkitGateway {
  readonly #running: Running;
  #commands = 0;

  private constructor(running: Running) {
    this.#running = running;
  }

  static async start(host: Host, { certificate, authorities, ...more }: TestkitGatewayOptions): Promise<TestkitGateway> {
    const settings: GatewayProcessSettings = {
      addresses: more.addresses ?? [network.gateway.v4, network.gateway.v6],
      name: more.name ?? network.gateway.name,
      certificates: certificate.chainPem.match(/-----BEGIN[^]+?-----END CERTIFICATE-----\n/g) ?? [],
      key: certificate.keyPem,
      authorities,
      user: more.user?.name ?? 'alice',
      password: more.user?.password ?? 'correct horse',
      options: withAddress(more.options ?? {}),
      ...(more.route && { route: network.pool.prefix4 }),
    };
    const program = new URL('./testkit-gateway-process.ts', import.meta.url).pathname;
    const running = host.spawn([process.execPath, program], { name: 'testkit-gateway', stdin: true });
    running.stdin!.on('error', () => undefined);
    running.stdin!.write(`${json(settings)}\n`);
    await running.saysWithin(/^ready$/m);
    return new TestkitGateway(running);
  }

  /** What it heard and did, a line each: `heard 35 request 1: IDi CERT N16384 …`. */
  log(): string {
    return this.#running.output();
  }

  /** How many lines of the log match. */
  count(pattern: RegExp): number {
    return this.log()
      .split('\n')
      .filter((line) => pattern.test(line)).length;
  }

  /** Waits for a line of the log. */
  says(pattern: RegExp, timeoutMs?: number): Promise<string> {
    return this.#running.saysWithin(pattern, timeoutMs);
  }

  /** Has it do something, and waits until it is done. */
  async tell(command: GatewayCommand): Promise<void> {
    this.#commands++;
    const order = command.op === 'options' ? { ...command, options: withAddress(command.options) } : command;
    this.#running.stdin!.write(`${json(order)}\n`);
    const number = this.#commands;
    await until(
      () => `the gateway has done ${json(order)}:\n${this.log()}`,
      () => {
        if (this.#running.exit) throw new Error(`the gateway ended:\n${this.log()}`);
        return this.count(/^done /) >= number;
      },
    );
  }

  async stop(): Promise<void> {
    await this.#running.stop('SIGKILL');
  }
}

function withAddress(options: JsonResponderOptions): JsonResponderOptions {
  const address = { family: 4 as const, bytes: inner4.octets };
  return {
    tsi: [{ protocol: 0, fromPort: 0, toPort: 65_535, from: address, to: address }],
    configuration: [{ type: 1, value: inner4.octets }],
    ...options,
  };
}

function json(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    part instanceof Uint8Array ? { hex: Buffer.from(part).toString('hex') } : part,
  );
}
