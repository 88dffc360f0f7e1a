import path from 'node:path';
import { domainToASCII } from 'node:url';
import { printable, type Terminal } from './terminal.ts';
import { CommandError, ExitCode } from './command.ts';
import { readAppFiles } from './app-files.ts';
import { readProfileFile } from './profile-file.ts';

/** RFC 3948 §2.1; aovpn.toml may say otherwise. */
const usualGatewayPort = 4500;

/**
 * The plan that a profile comes to with assumed facts: without root, without the daemon.
 * @param called the file that its name is taken from
 */
export async function dryPlan(file: string, configDir: string, terminal: Terminal, called = file) {
  const [{ assumeHost, assumeTunnel, assumptionsOf, compilePlan, resolveProfile }, { formatDiagnostics, parseProfile }] =
    await Promise.all([import('@aovpn/policy'), import('@aovpn/profile')]);
  const { profile, diagnostics, text } = parseProfile(await readProfileFile(file), { toAscii: domainToASCII });
  if (!profile) {
    const errors = diagnostics.filter(({ severity }) => severity === 'error');
    terminal.err(formatDiagnostics(file, text, errors, { colour: terminal.colour }).trimEnd());
    throw new CommandError(ExitCode.failed, `${printable(file)} has errors`, 'correct them; aovpn profile lint tells everything');
  }
  const name = called === '-' ? 'profile' : path.basename(called).replace(/\.xml$/i, '');
  const { intent, notes } = resolveProfile(name, profile);
  const { catalogue, identities, faults } = await readAppFiles(configDir);
  // The daemon may choose a shorter one where two names begin alike.
  const device = `aov-${name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, 11)}`;
  const tunnel = assumeTunnel(intent, device);
  const endpoints = new Map([[name, [{ address: tunnel.facts.gateway, port: usualGatewayPort }]]]);
  const plan = compilePlan({ tunnels: [tunnel], endpoints, host: assumeHost(), apps: catalogue, identities });
  return {
    plan,
    assumptions: assumptionsOf(tunnel, false),
    notes: notes.filter(({ id }) => id === 'edp-mode-id').map(({ text: note }) => note),
    faults,
  };
}
