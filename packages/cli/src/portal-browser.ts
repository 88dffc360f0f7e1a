import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import process from 'node:process';

/** Browsers that can be started beside a running one, with files of their own, and what that takes. */
const browsers: readonly (readonly [program: string, arguments_: (url: string, directory: string) => readonly string[]])[] = [
  ...['chromium', 'chromium-browser', 'google-chrome', 'brave-browser', 'microsoft-edge'].map(
    (program) =>
      [
        program,
        (url: string, directory: string) => [
          `--user-data-dir=${directory}`,
          '--no-first-run',
          '--no-default-browser-check',
          '--disable-sync',
          '--new-window',
          url,
        ],
      ] as const,
  ),
  ...['firefox-esr', 'firefox'].map(
    (program) =>
      [program, (url: string, directory: string) => ['--profile', directory, '--no-remote', '--new-instance', url]] as const,
  ),
];

/**
 * The command line of a browser for the sign-in page; undefined when there is none. What the settings name goes first; `{url}` and
 * `{directory}` in it are replaced. `xdg-open` would hand the page to a browser that already runs, and that one is not let out.
 */
export function choosePortalBrowser(
  configured: readonly string[] | undefined,
  url: string,
  directory: string,
): readonly string[] | undefined {
  if (configured) return configured.map((word) => word.replaceAll('{url}', url).replaceAll('{directory}', directory));
  // A browser is nothing to run as root.
  if (process.geteuid?.() === 0) return undefined;
  for (const [program, argumentsFor] of browsers) {
    const found = (process.env['PATH'] ?? '/usr/bin:/bin')
      .split(':')
      .map((place) => path.join(place, program))
      .find(isProgram);
    if (found !== undefined) return [found, ...argumentsFor(url, directory)];
  }
  return undefined;
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return path.isAbsolute(file);
  } catch {
    return false;
  }
}
