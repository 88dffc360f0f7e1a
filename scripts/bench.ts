// `npm run bench`: figures of ours beside those of others in the same run on the same machine.
import process from 'node:process';

process.stderr.write('no rows yet\n');
process.exitCode = 1;
