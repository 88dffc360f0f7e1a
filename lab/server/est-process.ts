// Program: an EST server. Argument: a file with JSON of EstProcessSettings; what it does is read anew from `conduct` for each request.
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { EstServer, type EstConduct, type EstServerOptions } from '../../packages/host/testkit/est-server.ts';

export interface EstProcessSettings extends Pick<EstServerOptions, 'authority' | 'server' | 'directory' | 'host' | 'port'> {
  /** A file with JSON of EstConduct. */
  readonly conduct: string;
}

const { conduct, ...options } = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as EstProcessSettings;
await EstServer.start({
  ...options,
  conduct: () => JSON.parse(readFileSync(conduct, 'utf8')) as EstConduct,
  log: (line) => process.stdout.write(`${line}\n`),
});
process.stdout.write('ready\n');
