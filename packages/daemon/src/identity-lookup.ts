import { execFile } from 'node:child_process';
import { askSssd, type SidOwner } from '@aovpn/host';
import { wellKnownIdentities, type IdentityFacts, type Intent, type SidFacts, type SidMapping } from '@aovpn/policy';

/** How `getent` is asked: by database and names or numbers; the lines that it found. */
export type AskNames = (database: 'passwd' | 'group', names: readonly string[]) => Promise<readonly string[]>;

/** Who the directory service says that SIDs are. */
export type AskSids = (sids: readonly string[]) => Promise<ReadonlyMap<string, SidOwner>>;

interface Ids {
  readonly users: readonly number[];
  readonly groups: readonly number[];
}

/**
 * Whom the SIDs of filters mean on this machine: what `sids.d` says, with names looked up through the name service switch; and SSSD for SIDs
 * that no file knows. The kernel shows one group of a socket, its process' own, so members of a group count by user id as well.
 */
export async function lookUpIdentities(
  intents: Iterable<Intent>,
  mappings: readonly SidMapping[],
  ask: AskNames = askNameService,
  askSids: AskSids = askSssd,
): Promise<IdentityFacts> {
  const wanted = new Set(
    [...intents].flatMap(({ filters }) => filters.flatMap(({ access }) => access?.value.map(({ sid }) => sid) ?? [])),
  );
  const found = new Map<string, SidFacts>();
  const single = (ids: readonly number[]): { from: number; to: number }[] => ids.map((id) => ({ from: id, to: id }));
  for (const { sid, users, groups, userNames, groupNames } of mappings) {
    if (!wanted.has(sid)) continue;
    const groupIds = groups.filter(({ from, to }) => from === to).map(({ from }) => String(from));
    const named = await idsOf(userNames, [...groupNames, ...groupIds], ask);
    const known = found.get(sid);
    found.set(sid, {
      users: [...(known?.users ?? []), ...users, ...single(named.users)],
      groups: [...(known?.groups ?? []), ...groups, ...single(named.groups)],
    });
  }
  const unknown = [...wanted].filter((sid) => sid.startsWith('S-1-') && !found.has(sid) && !wellKnownIdentities.has(sid));
  if (unknown.length === 0) return found;
  for (const [sid, { user, group }] of await askSids(unknown.slice(0, maxNames))) {
    const named = await idsOf([], group === undefined ? [] : [String(group)], ask);
    const users = new Set([...(user === undefined ? [] : [user]), ...named.users]);
    found.set(sid, { users: single([...users].sort((a, b) => a - b)), groups: single(group === undefined ? [] : [group]) });
  }
  return found;
}

async function idsOf(userNames: readonly string[], groupNames: readonly string[], ask: AskNames): Promise<Ids> {
  const users = new Set<number>();
  const groups = new Set<number>();
  const members = new Set(userNames);
  if (groupNames.length > 0) {
    for (const line of await ask('group', groupNames)) {
      // group(5): name, password, id, members.
      const [, , id, list = ''] = line.split(':');
      if (isId(id)) groups.add(Number(id));
      for (const member of list.split(',')) if (member !== '') members.add(member);
    }
  }
  if (members.size > 0) {
    for (const line of await ask('passwd', [...members])) {
      const id = line.split(':')[2];
      if (isId(id)) users.add(Number(id));
    }
  }
  return { users: [...users].sort((a, b) => a - b), groups: [...groups].sort((a, b) => a - b) };
}

function isId(text: string | undefined): text is string {
  return text !== undefined && /^\d{1,10}$/.test(text) && Number(text) < 0xffff_ffff;
}

const maxNames = 500;
const patience = 10_000;

/** Names that are not known are left out; without `getent` nobody is known by name. */
export async function askNameService(database: 'passwd' | 'group', names: readonly string[]): Promise<readonly string[]> {
  const lines: string[] = [];
  for (let from = 0; from < names.length; from += maxNames) {
    const some = names.slice(from, from + maxNames);
    const options = { env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' }, timeout: patience, maxBuffer: 16 << 20, cwd: '/' };
    // Status 2: some of the names are unknown; the others are there all the same.
    const output = await new Promise<string>((resolve) => {
      execFile('getent', ['--', database, ...some], options, (_error, stdout) => resolve(stdout));
    });
    lines.push(...output.split('\n').filter((line) => line !== ''));
  }
  return lines;
}
