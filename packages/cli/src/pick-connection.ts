import process from 'node:process';
import type { Client } from './client.ts';
import { CommandError, ExitCode } from './command.ts';

/** The connection a person means: the one named, one of their own by its name alone, or the only one there is. */
export async function pickConnection(client: Client, given: string | undefined): Promise<string> {
  const { connections } = await client.call('GET /v1/status');
  const names = connections.map(({ name }) => name);
  if (given !== undefined) {
    if (names.includes(given)) return given;
    const uid = process.getuid?.();
    const own = connections.find(({ name, owner }) => owner?.uid === uid && name === `${owner?.name}/${given}`);
    if (own) return own.name;
    throw new CommandError(
      ExitCode.notFound,
      `there is no connection "${given}"`,
      names.length > 0 ? `there are: ${names.join(', ')}` : 'add a profile: aovpn profile add FILE',
    );
  }
  if (names.length === 1) return names[0]!;
  throw names.length === 0
    ? new CommandError(ExitCode.notFound, 'there are no connections', 'add a profile: aovpn profile add FILE')
    : new CommandError(ExitCode.usage, 'there are several connections: name one', `one of: ${names.join(', ')}`);
}
