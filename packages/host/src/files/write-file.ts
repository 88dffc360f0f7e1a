import { constants } from 'node:fs';
import { open, rename, unlink } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';

export interface NewFile {
  readonly file: string;
  readonly content: string | Uint8Array;
  readonly mode: number;
}

/**
 * Replaces files as a whole or not at all: all are written beside their places and flushed to the disk first, then renamed in the
 * order given, then their directories are flushed. A full disk leaves the old files and no temporary ones.
 */
export async function writeFilesAtomically(files: readonly NewFile[]): Promise<void> {
  const staged: { readonly temporary: string; readonly file: string }[] = [];
  try {
    for (const { file, content, mode } of files) {
      const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.tmp`);
      staged.push({ temporary, file });
      await stage(temporary, content, mode);
    }
    for (const { temporary, file } of staged) await rename(temporary, file);
  } catch (error) {
    for (const { temporary } of staged) await unlink(temporary).catch(() => {});
    throw error;
  }
  for (const directory of new Set(files.map(({ file }) => path.dirname(file)))) await flush(directory);
}

export async function writeFileAtomically(file: string, content: string | Uint8Array, mode: number): Promise<void> {
  await writeFilesAtomically([{ file, content, mode }]);
}

async function stage(temporary: string, content: string | Uint8Array, mode: number): Promise<void> {
  const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
  await unlink(temporary).catch(() => {});
  const handle = await open(temporary, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, mode);
  try {
    // The umask may have taken away what should be open to others.
    await handle.chmod(mode);
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function flush(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
