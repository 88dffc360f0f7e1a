import { readFileSync } from 'node:fs';
import type { Host } from '../host.ts';
import type { Running } from '../running.ts';
import { inUnpacked } from '../unpacked.ts';

const depot = '/var/lib/scep';
const port = 8088;

export interface ScepLab {
  readonly url: string;
  /** Of its authority. */
  readonly certificatePem: string;
  readonly running: Running;
}

/** scepserver (micromdm) with an authority of its own, on one host. @param name by which that host is found */
export async function startScep(host: Host, name: string, challenge: string): Promise<ScepLab> {
  const program = inUnpacked('scep', 'usr/bin/scepserver');
  await host.exec([program, 'ca', '-init', '-depot', depot, '-keySize', '2048', '-organization', 'Example']);
  const running = host.spawn([program, '-depot', depot, '-port', String(port), '-challenge', challenge, '-crtvalid', '1'], {
    name: 'scepserver',
  });
  await running.saysWithin(/listening/);
  const certificatePem = readFileSync(host.file(`${depot}/ca.pem`), 'utf8');
  return { url: `http://${name}:${port}/scep`, certificatePem, running };
}
