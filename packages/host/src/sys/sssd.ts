import koffi, { type LibraryHandle } from 'koffi';
import { hasRoomAside } from './native-stack.ts';

/** Whom SSSD knows by a SID: a user, a group, or one that is both (a user with a private group of the same number). */
export interface SidOwner {
  readonly user?: number;
  readonly group?: number;
}

/** `enum sss_id_type` of sss_nss_idmap.h. */
const idType = { user: 1, group: 2, both: 3 } as const;

/** One question, milliseconds: SSSD may have to ask a server that is far away or dead. */
const patience = 3000;
/** All of them together, milliseconds. */
const patienceInAll = 10_000;
const highestId = 0xffff_fffe;

type GetIdBySid = ((sid: string, timeout: number, id: number[], type: number[]) => number) & {
  async(sid: string, timeout: number, id: number[], type: number[], done: (error: unknown, result: number) => void): void;
};

let loaded: { readonly library: LibraryHandle; readonly ask: GetIdBySid } | undefined;

/**
 * Asks SSSD (libsss_nss_idmap) who the SIDs are. Who is unknown is left out, and so is everybody when this machine has no SSSD, when it does
 * not run, or when it does not answer in time.
 */
export async function askSssd(sids: Iterable<string>): Promise<ReadonlyMap<string, SidOwner>> {
  const known = new Map<string, SidOwner>();
  const ask = load();
  if (!ask) return known;
  const end = performance.now() + patienceInAll;
  for (const sid of sids) {
    const left = Math.min(patience, Math.floor(end - performance.now()));
    if (left <= 0) break;
    const id = [0];
    const type = [0];
    // On a thread aside, so that a slow directory service holds nobody up.
    const result = hasRoomAside()
      ? await new Promise<number>((resolve) => ask.async(sid, left, id, type, (error, value) => resolve(error ? -1 : value)))
      : ask(sid, left, id, type);
    if (result !== 0 || id[0]! > highestId) continue;
    if (type[0] === idType.user) known.set(sid, { user: id[0]! });
    else if (type[0] === idType.group) known.set(sid, { group: id[0]! });
    else if (type[0] === idType.both) known.set(sid, { user: id[0]!, group: id[0]! });
  }
  return known;
}

/** A machine may be joined later, so that it is looked for until it is there. */
function load(): GetIdBySid | undefined {
  if (loaded) return loaded.ask;
  try {
    const library = koffi.load('libsss_nss_idmap.so.0');
    const ask = library.func(
      'int sss_nss_getidbysid_timeout(const char *sid, unsigned int timeout, _Out_ uint32_t *id, _Out_ int *type)',
    ) as GetIdBySid;
    loaded = { library, ask };
    return ask;
  } catch {
    return undefined;
  }
}
