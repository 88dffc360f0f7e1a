import process from 'node:process';
import { network } from '../../lab/network.ts';
import type { WebSettings } from '../../lab/server/web.ts';
import type { World } from '../../lab/world.ts';

/** What a page says that comes from the attacker. */
export const roguePage = 'rogue-page-91be2c77';

/** The local network pretends to be the company: the addresses of its web server, on the router next to the client. */
export async function impersonateCompany({ router }: World): Promise<void> {
  const { web4, web6, echoPort } = network.corp;
  await router.ip(`addr add ${web4}/32 dev lo`, `-6 addr add ${web6}/128 dev lo nodad`);
  const settings: WebSettings = { addresses: [web4, web6], page: `${roguePage}\n`, echoPort };
  const program = new URL('../../lab/server/web.ts', import.meta.url).pathname;
  const running = router.spawn([process.execPath, program, JSON.stringify(settings)], { name: 'rogue-web' });
  await running.saysWithin(/ready/);
}
