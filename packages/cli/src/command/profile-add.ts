import path from 'node:path';
import { domainToASCII } from 'node:url';
import type { PutProfile } from '@aovpn/api';
import { CommandError, ExitCode, type Command, type Invocation } from '../command.ts';
import { readNamedFile, readProfileFile } from '../profile-file.ts';

export const profileAdd: Command = {
  name: 'profile add',
  summary: 'add a ProfileXML, or replace the one of that name',
  description: [
    'Checks the file first and hands it to the daemon, which puts it into force at once; the name is that of the file unless --name says otherwise.',
    'A file with errors is refused and changes nothing: the profile in force stays in force. Credentials are stored beside it, readable by root only.',
  ],
  positionals: [{ name: 'FILE', complete: 'file' }],
  options: [
    { name: 'name', value: 'NAME', summary: 'name of the connection' },
    { name: 'certificate', value: 'PEM', summary: 'client certificate, chain below it', complete: 'file' },
    { name: 'key', value: 'PEM', summary: 'its private key', complete: 'file' },
    { name: 'pkcs12', value: 'P12', summary: 'certificate and key in one PKCS#12 file', complete: 'file' },
    { name: 'pkcs12-password-file', value: 'FILE', summary: 'the password of that file', complete: 'file' },
    {
      name: 'gateway-ca',
      value: 'PEM',
      summary: 'certification authorities that the gateway’s certificate may come from',
      complete: 'file',
    },
    { name: 'user', value: 'NAME', summary: 'user name for EAP' },
    { name: 'password-file', value: 'FILE', summary: 'file with the EAP password ("-": standard input)', complete: 'file' },
  ],
  examples: [
    {
      command: 'aovpn profile add "Contoso Device.xml" --certificate device.pem --key device.key --gateway-ca ca.pem',
      what: 'a device tunnel',
    },
    { command: 'aovpn profile add user.xml --user alice --password-file alice.secret', what: 'a user tunnel with EAP-MSCHAPv2' },
  ],
  async run(invocation) {
    // Loaded when needed: the other commands start faster without it.
    const { formatDiagnostics, parseProfile } = await import('@aovpn/profile');
    const { client, options, positionals, terminal } = invocation;
    const file = positionals[0]!;
    const name = typeof options['name'] === 'string' ? options['name'] : path.basename(file).replace(/\.xml$/i, '');
    if (file === '-' && options['name'] === undefined)
      throw new CommandError(ExitCode.usage, 'a profile from standard input needs --name');
    const bytes = await readProfileFile(file);
    const { profile, diagnostics, text } = parseProfile(bytes, { toAscii: domainToASCII });
    const worth = diagnostics.filter((found) => found.severity !== 'info');
    if (worth.length > 0) terminal.err(formatDiagnostics(file, text, worth, { colour: terminal.colour }).trimEnd());
    if (!profile || diagnostics.some((found) => found.severity === 'error')) {
      throw new CommandError(
        ExitCode.failed,
        `${file} has errors and was not added; what is in force stays in force`,
        'mend the lines above and add it again',
      );
    }
    const body: PutProfile = { xmlBase64: Buffer.from(bytes).toString('base64'), ...(await credentialsOf(invocation)) };
    const status = await client.call('PUT /v1/profiles/:name', { name, body });
    terminal.out(
      `added "${status.name}" (${status.tunnel} tunnel, ${status.alwaysOn ? 'connects by itself' : 'connects on: aovpn up'}): ${status.file}`,
    );
    if (profile.lockDown?.value === true)
      terminal.err(
        `${terminal.style('warn', 'LockDown')} (line ${profile.lockDown.at.line}): from now on nothing leaves this machine but through "${status.name}"; the way out is: aovpn lockdown release`,
      );
    return ExitCode.done;
  },
};

async function credentialsOf({ options }: Invocation): Promise<Pick<PutProfile, 'credentials'>> {
  const text = async (option: string): Promise<string | undefined> => {
    const file = options[option];
    if (typeof file !== 'string') return undefined;
    return Buffer.from(file === '-' ? await readProfileFile('-') : await readNamedFile(file)).toString('utf8');
  };
  const pkcs12 =
    typeof options['pkcs12'] === 'string' ? Buffer.from(await readNamedFile(options['pkcs12'])).toString('base64') : undefined;
  const given = {
    certificatePem: await text('certificate'),
    keyPem: await text('key'),
    pkcs12Base64: pkcs12,
    pkcs12Password: withoutNewline(await text('pkcs12-password-file')),
    gatewayCaPem: await text('gateway-ca'),
    userName: typeof options['user'] === 'string' ? options['user'] : undefined,
    password: withoutNewline(await text('password-file')),
  };
  const credentials = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return Object.keys(credentials).length > 0 ? { credentials } : {};
}

function withoutNewline(text: string | undefined): string | undefined {
  return text?.replace(/\r?\n$/, '');
}
