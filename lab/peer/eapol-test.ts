import type { Host } from '../host.ts';
import { hangMs } from '../patience.ts';

/** What `eapol_test` (wpa_supplicant's EAP peer behind a RADIUS client of its own) shall be. */
export interface EapolTestOptions {
  readonly server: { readonly address: string; readonly port: number; readonly secret: string };
  /** In wpa_supplicant's words: values are written as they are, so texts bring their quotes. */
  readonly network: Readonly<Record<string, string>>;
  /** Authenticates as often again with what it has kept: resumed sessions. */
  readonly again?: number;
  readonly timeoutSeconds?: number;
}

export interface EapolTestResult {
  readonly success: boolean;
  /** How often both sides had the same MSK. */
  readonly keys: number;
  readonly log: string;
}

let runs = 0;

/** The reference peer: runs once against a RADIUS server and says how it went. Independent of strongSwan and of us. */
export async function eapolTest(host: Host, options: EapolTestOptions): Promise<EapolTestResult> {
  const file = `/run/eapol-test-${++runs}.conf`;
  const lines = Object.entries({ key_mgmt: 'IEEE8021X', eapol_flags: '0', ...options.network });
  host.write(file, `network={\n${lines.map(([key, value]) => `  ${key}=${value}\n`).join('')}}\n`, 0o600);
  const { server } = options;
  const result = await host.run(
    [
      'eapol_test',
      `-c${file}`,
      `-a${server.address}`,
      `-p${server.port}`,
      `-s${server.secret}`,
      `-t${options.timeoutSeconds ?? hangMs / 1000}`,
      ...(options.again ? [`-r${options.again}`] : []),
    ],
    { timeoutMs: 1000 * ((options.timeoutSeconds ?? hangMs / 1000) + 5) },
  );
  const log = result.stdout + result.stderr;
  return {
    success: result.status === 0 && /^SUCCESS$/m.test(log),
    keys: Number(/^MPPE keys OK: (\d+)/m.exec(log)?.[1] ?? 0),
    log,
  };
}

/** A text as wpa_supplicant reads any octets: hexadecimal without quotes, or `"…"` where that is safe. */
export function configText(text: string): string {
  return /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(text) ? `"${text}"` : Buffer.from(text, 'utf8').toString('hex');
}
