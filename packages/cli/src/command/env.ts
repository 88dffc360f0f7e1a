import { readFileSync } from 'node:fs';
import process from 'node:process';
import { proxyEnvironmentFile } from '@aovpn/api';
import { ExitCode, type Command } from '../command.ts';

/** Says in an environment which of its variables are ours. */
const marker = 'AOVPN_ENV';

export const env: Command = {
  name: 'env',
  summary: 'print the variables that programs need now, for a shell to read',
  description: [
    'While a tunnel with a proxy is up, its proxy as http_proxy, https_proxy, ftp_proxy and no_proxy; afterwards what takes them out of an environment that has them from here. Variables that a person has set are left alone.',
  ],
  positionals: [],
  options: [{ name: 'json', summary: 'the variables as one JSON object' }],
  examples: [{ command: 'eval "$(aovpn env)"', what: 'use the tunnel’s proxy in this shell' }],
  run({ options, terminal }) {
    const variables = readVariables();
    if (options['json'] === true) terminal.out(JSON.stringify(Object.fromEntries(variables)));
    else for (const line of shellLines(variables, process.env)) terminal.out(line);
    return Promise.resolve(ExitCode.done);
  },
};

/** Lines of POSIX shell. */
export function shellLines(
  variables: readonly (readonly [string, string])[],
  environment: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  const ours = (environment[marker] ?? '').split(',').filter((name) => /^[A-Za-z_]+$/.test(name));
  const free = variables.filter(([name]) => environment[name] === undefined || ours.includes(name));
  const names = free.map(([name]) => name);
  const gone = ours.filter((name) => !names.includes(name));
  return [
    ...(gone.length > 0 ? [`unset ${gone.join(' ')}`] : []),
    ...free.map(([name, value]) => `export ${name}='${value.replaceAll("'", "'\\''")}'`),
    ...(names.length > 0 ? [`export ${marker}=${names.join(',')}`] : ours.length > 0 ? [`unset ${marker}`] : []),
  ];
}

function readVariables(): readonly (readonly [string, string])[] {
  let text: string;
  try {
    text = readFileSync(proxyEnvironmentFile, 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    const match = /^([A-Za-z_]+)=(.*)$/.exec(line);
    return match ? [[match[1]!, match[2]!] as const] : [];
  });
}
