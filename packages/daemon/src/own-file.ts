import { readFile, stat } from 'node:fs/promises';

/** A text of root's, 1 MiB at most: whoever can write there decides what is trusted. @throws {Error} */
export async function readOwn(file: string): Promise<string> {
  const { uid, mode, size } = await stat(file);
  if (uid !== 0 || (mode & 0o022) !== 0) throw new Error(`others than root can write to ${file}`);
  if (size > 1 << 20) throw new Error(`${file} has ${size} octets`);
  return await readFile(file, 'utf8');
}
