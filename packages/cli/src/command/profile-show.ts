import { existsSync } from 'node:fs';
import { domainToASCII } from 'node:url';
import { CommandError, ExitCode, type Command } from '../command.ts';
import { readProfileFile } from '../profile-file.ts';
import { printable } from '../terminal.ts';

export const profileShow: Command = {
  name: 'profile show',
  summary: 'say in words what a ProfileXML asks for, with line numbers',
  description: [
    'Takes a FILE, or the NAME of a profile that the daemon has. Secrets are never part of a ProfileXML and so never shown.',
  ],
  positionals: [{ name: 'FILE|NAME', complete: 'file' }],
  options: [
    { name: 'json', summary: 'print the typed profile as JSON' },
    { name: 'xml', summary: 'print the text as it is' },
  ],
  examples: [],
  async run({ client, options, positionals, terminal }) {
    // Loaded when needed: the other commands start faster without it.
    const { describeProfile, parseProfile } = await import('@aovpn/profile');
    const target = positionals[0]!;
    const isFile = target === '-' || target.includes('/') || target.endsWith('.xml') || existsSync(target);
    const bytes = isFile
      ? await readProfileFile(target)
      : new TextEncoder().encode((await client.call('GET /v1/profiles/:name', { name: target })).xml);
    if (options['xml'] === true) {
      terminal.out(new TextDecoder().decode(bytes).trimEnd());
      return ExitCode.done;
    }
    const { profile, understood, diagnostics } = parseProfile(bytes, { toAscii: domainToASCII });
    const shown = profile ?? understood;
    if (!shown) {
      const first = diagnostics.find((found) => found.severity === 'error');
      throw new CommandError(
        ExitCode.failed,
        `${target}: not a usable profile: ${first?.message ?? 'no VPNProfile in it'}`,
        `see: aovpn profile lint ${target}`,
      );
    }
    if (!profile) terminal.err(terminal.style('bad', `this profile has errors; see: aovpn profile lint ${printable(target)}`));
    terminal.out(options['json'] === true ? JSON.stringify(shown, null, 2) : printable(describeProfile(shown).trimEnd()));
    return ExitCode.done;
  },
};
