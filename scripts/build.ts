// `npm run build`: the release of these sources, in .build/release; nothing happens when it is there already.
import path from 'node:path';
import process from 'node:process';
import { makeRelease } from '../release/current-release.ts';

process.stdout.write(`${path.relative('', await makeRelease())}\n`);
