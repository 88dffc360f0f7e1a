// `node write-sources.ts REPOSITORY DIRECTORY`: writes every source file of the repository that a guest may load into the directory, under the same name and
// without its types. A last line says so: a file that came another way still has them.
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import path from 'node:path';
import process from 'node:process';

const [repository = '', directory = ''] = process.argv.slice(2);
const rooms = ['packages', 'lab', 'scenarios', 'bench', 'release'].map((room) => `${room}/**/*.ts`);
for (const file of globSync(rooms, { cwd: repository, exclude: (name) => path.basename(name) === 'node_modules' })) {
  const target = path.join(directory, file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, `${stripTypeScriptTypes(readFileSync(path.join(repository, file), 'utf8'))}\n//# without types\n`);
}
