import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The shipped apps.d and the administrator's, as the daemon reads them; only that nobody's rights on the files are looked at here. */
export async function readAppFiles(configDir: string) {
  // Loaded when needed: the other commands start faster without it.
  const [{ readAppCatalogue, readSidMappings }, { parse }] = await Promise.all([import('@aovpn/policy'), import('smol-toml')]);
  const faults: string[] = [];
  const read = async (directory: string): Promise<{ source: string; content: unknown }[]> => {
    const names = await readdir(directory).catch(() => []);
    const files: { source: string; content: unknown }[] = [];
    for (const name of names.filter((one) => one.endsWith('.toml')).sort()) {
      const source = path.join(directory, name);
      try {
        files.push({ source, content: parse(await readFile(source, 'utf8')) });
      } catch (error) {
        faults.push(`${source}: ${(error as Error).message.split('\n')[0]}`);
      }
    }
    return files;
  };
  const shipped = fileURLToPath(new URL('../apps.d/', import.meta.resolve('@aovpn/policy')));
  const apps = readAppCatalogue([...(await read(shipped)), ...(await read(path.join(configDir, 'apps.d')))]);
  faults.push(...apps.faults.map(({ source, where, what }) => `${source}: ${where}: ${what}`));
  const sids = (await read(path.join(configDir, 'sids.d'))).flatMap(({ source, content }) => {
    const { mappings, faults: wrong } = readSidMappings(content);
    faults.push(...wrong.map((what) => `${source}: ${what}`));
    return mappings;
  });
  const identities = new Map(sids.map(({ sid, users, groups }) => [sid, { users, groups }]));
  return { catalogue: apps.catalogue, identities, faults };
}
