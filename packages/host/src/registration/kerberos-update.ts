import { spawn } from 'node:child_process';
import { formatAddress, type IpAddress } from '@aovpn/bytes';
import { normaliseDomain } from '@aovpn/policy';
import { addressLifetime, codeName, recordType, type NameUpdate } from './update-message.ts';
import { registrationError } from './registration-error.ts';

const maxOutput = 16 * 1024;
const typeNames = new Map<number, string>([
  [recordType.a, 'A'],
  [recordType.aaaa, 'AAAA'],
  [recordType.ptr, 'PTR'],
  [recordType.txt, 'TXT'],
]);

export interface KerberosCredential {
  /** Where the key of this machine lies, such as /etc/krb5.keytab. */
  readonly keytab: string;
}

/**
 * An UPDATE signed by Kerberos (GSS-TSIG, RFC 3645), made by BIND's `nsupdate -g`: the GSS-API is a library that only C programs reach.
 * It takes its ticket from the keytab into its own memory; nothing is left on disk.
 * @param text the update in nsupdate's words; every value in it comes from addresses and names that have been checked
 * @throws {HostError} AOV-HOST-335
 */
export async function updateByKerberos(
  server: IpAddress,
  zone: string,
  update: NameUpdate,
  { keytab }: KerberosCredential,
  timeoutMs: number,
): Promise<void> {
  const script = nsupdateScript(server, zone, update);
  const child = spawn('nsupdate', ['-g', '-v', '-t', '10'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    env: {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      LC_ALL: 'C',
      KRB5_CLIENT_KTNAME: `FILE:${keytab}`,
      KRB5CCNAME: 'MEMORY:aovpn',
      ...(process.env['KRB5_CONFIG'] === undefined ? {} : { KRB5_CONFIG: process.env['KRB5_CONFIG'] }),
    },
  });
  let output = '';
  const collect = (chunk: Buffer): void => {
    if (output.length < maxOutput) output += chunk.toString('latin1');
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  child.stdin.on('error', () => undefined);
  child.stdin.end(script);
  const code = await new Promise<number | string>((resolve) => {
    child.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    child.on('close', (status, signal) => resolve(status ?? signal ?? 'ended'));
  });
  if (code === 0) return;
  if (code === 'ENOENT') throw registrationError('AOV-HOST-335', 'nsupdate is not installed (Debian: bind9-dnsutils)');
  const said = output.trim().split('\n').filter(Boolean).slice(-3).join('; ').slice(0, 300);
  const refused = new RegExp(`update failed: (${[5, 9].map(codeName).join('|')})`).exec(said)?.[1];
  if (refused !== undefined) throw registrationError('AOV-HOST-331', `${formatAddress(server)}, zone ${zone}: ${refused}`);
  throw registrationError('AOV-HOST-335', `${formatAddress(server)}, zone ${zone}: ${said || `nsupdate ended with ${code}`}`);
}

/** Exported for its test. @throws {HostError} AOV-HOST-336 for a name that is none: whatever else stood in it would be words of nsupdate */
export function nsupdateScript(
  server: IpAddress,
  zone: string,
  { name, op, types, records, lifetime = addressLifetime }: NameUpdate,
): string {
  for (const one of [zone, name])
    if (normaliseDomain(one) !== one) throw registrationError('AOV-HOST-336', `${JSON.stringify(one)} is no name of DNS`);
  const lines = [`server ${formatAddress(server)}`, `zone ${zone}.`];
  if (op === 'replace') for (const type of types) lines.push(`update delete ${name}. ${typeNames.get(type)}`);
  for (const { type, data } of records) {
    const text = recordText(type, data);
    lines.push(
      op === 'replace'
        ? `update add ${name}. ${lifetime} ${typeNames.get(type)} ${text}`
        : `update delete ${name}. ${typeNames.get(type)} ${text}`,
    );
  }
  return `${[...lines, 'send', 'quit'].join('\n')}\n`;
}

function recordText(type: number, data: Uint8Array): string {
  if (type === recordType.ptr) return pointerText(data);
  // Nothing but base64url is ever in one of ours.
  if (type === recordType.txt) return `"${Buffer.from(data.subarray(1)).toString('latin1')}"`;
  return formatAddress({ family: type === recordType.a ? 4 : 6, bytes: data });
}

function pointerText(data: Uint8Array): string {
  const labels: string[] = [];
  for (let at = 0; data[at]; at += data[at]! + 1)
    labels.push(Buffer.from(data.subarray(at + 1, at + 1 + data[at]!)).toString('latin1'));
  return `${labels.join('.')}.`;
}
