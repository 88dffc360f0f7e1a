import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/**
 * The licence texts of all packages that files come from, for whoever gets the release. One that does not bring its text has it in `release/license`, as its
 * repository has it.
 * @param files relative to `root`
 * @throws when a text is nowhere
 */
export function licensesOf(root: string, files: readonly string[]): string {
  const packages = new Set(files.flatMap((file) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? []));
  const texts = [...packages].toSorted().map((directory) => {
    const place = path.join(root, directory);
    const { name, version, license } = JSON.parse(readFileSync(path.join(place, 'package.json'), 'utf8')) as {
      readonly name: string;
      readonly version: string;
      readonly license: string;
    };
    const [own] = readdirSync(place).filter((one) => /^licen[cs]e/i.test(one));
    const file = own === undefined ? path.join(root, 'release/license', `${name}.txt`) : path.join(place, own);
    if (!existsSync(file)) throw new Error(`${directory} has no licence text; put the one of its repository into ${file}`);
    return `${name} ${version} (${license})\n\n${readFileSync(file, 'utf8').trim()}\n`;
  });
  return `Parts of this program come from these packages.\n\n${texts.join(`\n${'-'.repeat(78)}\n\n`)}`;
}
