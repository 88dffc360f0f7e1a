import { createSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import { formatAddress, sameAddress, type IpAddress } from '@aovpn/bytes';
import { compileNameMatcher, type DnsRule } from '@aovpn/policy';
import { HostError } from '../host-error.ts';
import { networkCure } from '../network/errors.ts';
import { emptyAnswer, headerLength, rcode, readId, readQuery, readRcode, writeId } from './dns-message.ts';
import { createUpstreamAsker, frame, type Upstream } from './upstream.ts';

/** Whom the stub asks for which name. */
export interface StubConfiguration {
  readonly rules: readonly Pick<DnsRule, 'name' | 'servers'>[];
  /** Asked for exempted names and names without a rule. */
  readonly physical: readonly IpAddress[];
  /** Mark of questions to `physical`; 0 for none. */
  readonly mark: number;
}

export interface StubResolver {
  readonly address: IpAddress;
  /** In force from the next question on; free of system calls. */
  configure(configuration: StubConfiguration): void;
  readonly counts: () => {
    readonly queries: number;
    readonly failed: number;
    readonly refused: number;
    readonly mismatched: number;
  };
  close(): Promise<void>;
}

/** Servers that stand for each other; the one that answered last is asked first. */
interface ServerGroup {
  readonly servers: readonly Upstream[];
  first: number;
}

/** Questions under way at once; more are answered SERVFAIL, so that a flood or a loop ends here. */
const maxInFlight = 1000;
/** A name rule must never fall back to other servers: when its servers are silent, the answer is SERVFAIL. */
const attemptMs = [800, 1200, 1500, 1500] as const;
const maxQueryBytes = 4096;
const maxTcpClients = 64;
const maxTcpPipelined = 32;
const tcpIdleMs = 10_000;

/**
 * Our own stub resolver: reads the question, picks the servers by rule, hands the octets on as they are.
 * @param address a loopback address
 * @throws {HostError} AOV-HOST-310
 */
export async function openStubResolver(address: IpAddress, port = 53): Promise<StubResolver> {
  const asker = createUpstreamAsker();
  let match = compileNameMatcher<{ readonly name: string; readonly group: ServerGroup }>([]);
  let physical: ServerGroup = { servers: [], first: 0 };
  const underway = new Set<() => void>();
  let queries = 0;
  let failed = 0;
  let refused = 0;
  let open = true;

  // A server that is ourselves would ask itself for ever.
  const notOurselves = (server: IpAddress): boolean => !sameAddress(server, address);

  const answer = (message: Uint8Array, overTcp: boolean, reply: (answer: Uint8Array) => void): void => {
    queries++;
    const reading = readQuery(message);
    if (reading.kind === 'ignore') return;
    if (reading.kind === 'refuse') {
      refused++;
      reply(emptyAnswer(message, reading.rcode));
      return;
    }
    const { query } = reading;
    const giveUp = (last: Uint8Array | undefined): void => {
      failed++;
      reply(last ?? emptyAnswer(message, rcode.serverFailure, query.questionEnd));
    };
    const group = match(query.name)?.group ?? physical;
    const { servers, first: start } = group;
    if (servers.length === 0 || underway.size >= maxInFlight) {
      giveUp(undefined);
      return;
    }
    // Every server once; a single one is asked again, since the question or its answer may be lost.
    const attempts = Math.max(servers.length, overTcp ? 1 : 3);
    let last: Uint8Array | undefined;
    const attempt = (number: number): void => {
      if (number >= attempts) {
        giveUp(last);
        return;
      }
      const which = (start + number) % servers.length;
      const timeout = attemptMs[Math.min(number, attemptMs.length - 1)]!;
      const cancel = asker.ask(servers[which]!, message, query.questionEnd, overTcp, timeout, (result) => {
        underway.delete(cancel);
        if (!open) return;
        if (result.ok) {
          writeId(result.answer, query.id);
          const code = readRcode(result.answer);
          if ((code !== rcode.serverFailure && code !== rcode.refused) || servers.length === 1) {
            group.first = which;
            reply(result.answer);
            return;
          }
          last = result.answer;
        }
        attempt(number + 1);
      });
      underway.add(cancel);
    };
    attempt(0);
  };

  const udp = createSocket({
    type: address.family === 4 ? 'udp4' : 'udp6',
    recvBufferSize: 1 << 20,
    // Clients come as addresses, which need no look-up.
    lookup: (host, _options, callback) => callback(null, host, address.family),
  });
  udp.on('message', (message, { address: host, port: from }) => {
    if (message.length > maxQueryBytes) return;
    answer(message, false, (reply) => {
      if (open) udp.send(reply, from, host);
    });
  });
  const clients = new Set<Socket>();
  const tcp = createServer((client) => {
    if (clients.size >= maxTcpClients) {
      client.destroy();
      return;
    }
    clients.add(client);
    client.on('close', () => clients.delete(client));
    serveTcp(client, (message, reply) => answer(message, true, reply));
  });
  try {
    await new Promise<void>((resolve, reject) => {
      udp.once('error', reject);
      udp.bind({ address: formatAddress(address), port, exclusive: true }, resolve);
    });
    await listen(tcp, formatAddress(address), port);
  } catch (error) {
    asker.close();
    udp.close();
    throw new HostError(
      'AOV-HOST-310',
      `${formatAddress(address)} port ${port}: ${(error as Error).message}`,
      networkCure('AOV-HOST-310'),
      error,
    );
  }
  udp.removeAllListeners('error');
  // Sending to a client that has gone is no event.
  udp.on('error', () => undefined);

  return {
    address,
    configure: (configuration) => {
      // One Upstream for each server, so that rules share its sockets.
      const known = new Map<string, Upstream>();
      const group = (addresses: readonly IpAddress[], mark: number): ServerGroup => ({
        first: 0,
        servers: addresses.filter(notOurselves).map((server) => {
          const key = `${formatAddress(server)} ${mark}`;
          const upstream = known.get(key) ?? { address: server, mark };
          known.set(key, upstream);
          return upstream;
        }),
      });
      const everythingElse = group(configuration.physical, configuration.mark);
      physical = everythingElse;
      match = compileNameMatcher(
        configuration.rules.map(({ name, servers }) => ({
          name,
          group: servers.length === 0 ? everythingElse : group(servers, 0),
        })),
      );
      asker.refresh();
    },
    counts: () => ({ queries, failed, refused, mismatched: asker.mismatched() }),
    close: async () => {
      open = false;
      for (const cancel of underway) cancel();
      underway.clear();
      asker.close();
      for (const client of clients) client.destroy();
      await Promise.all([
        new Promise<void>((resolve) => udp.close(() => resolve())),
        new Promise<void>((resolve) => tcp.close(() => resolve())),
      ]);
    },
  };
}

function serveTcp(client: Socket, answer: (message: Uint8Array, reply: (answer: Uint8Array) => void) => void): void {
  let received = Buffer.alloc(0);
  let pending = 0;
  client.setTimeout(tcpIdleMs, () => client.destroy());
  client.on('error', () => client.destroy());
  client.on('data', (chunk) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
    while (received.length >= 2) {
      const length = received.readUInt16BE(0);
      if (length < headerLength || length > maxQueryBytes || pending >= maxTcpPipelined) {
        client.destroy();
        return;
      }
      if (received.length < 2 + length) return;
      const message = Uint8Array.from(received.subarray(2, 2 + length));
      received = received.subarray(2 + length);
      pending++;
      let once = false;
      answer(message, (reply) => {
        if (once || client.destroyed) return;
        once = true;
        pending--;
        writeId(reply, readId(message));
        client.write(frame(reply));
      });
    }
  });
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}
