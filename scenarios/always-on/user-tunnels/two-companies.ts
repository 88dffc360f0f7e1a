import path from 'node:path';
import process from 'node:process';
import { Strongswan } from '../../../lab/gateway/strongswan.ts';
import { network } from '../../../lab/network.ts';
import { repository } from '../../../lab/product.ts';
import { startUnbound } from '../../../lab/server/unbound.ts';
import type { World } from '../../../lab/world.ts';

const { corp, router } = network;

/** A second company, which has numbered its networks like the first one; its gateway is where the client's router is. */
export const otherCompany = {
  name: 'vpn.other.example',
  page: 'The other company. other-secret-5c1d',
  host: 'intranet.other.example',
} as const;

/** Starts it: a gateway with a password for bob, a web server and a name server behind it. */
export async function startOtherCompany(world: World, users: Readonly<Record<string, string>>): Promise<Strongswan> {
  const host = world.router;
  await host.ip(...[corp.web4, corp.dns4].map((address) => `addr add ${address}/32 dev lo`));
  // What is not in a tunnel does not get there by chance.
  await host.exec(['nft', '-f', '-'], {
    input: `table inet other-company { chain input { type filter hook input priority 0; policy accept; iifname "${router.toClient}" ip daddr ${corp.prefix4} drop\n}\n}\n`,
  });
  const settings = { addresses: [corp.web4], page: `${otherCompany.page}\n`, echoPort: corp.echoPort };
  const web = host.spawn([process.execPath, repository('lab/server/web.ts'), JSON.stringify(settings)], { name: 'other-web' });
  const records = { [otherCompany.host]: [corp.web4], [corp.web]: ['10.20.0.99'] };
  await Promise.all([web.saysWithin(/ready/), startUnbound(host, [corp.dns4], records)]);
  world.client.write('/etc/hosts', `127.0.0.1 localhost\n::1 localhost\n${router.v4} ${otherCompany.name}\n`);
  return await Strongswan.start(host, {
    certificate: world.pki.root.issue({
      commonName: otherCompany.name,
      dns: [otherCompany.name],
      usages: ['serverAuth', 'ikeIntermediate'],
    }),
    authorities: [world.pki.root.certificatePem],
    id: otherCompany.name,
    authentication: ['eap-mschapv2'],
    users,
    pools: { v4: true, v6: false },
  });
}

/** Where a user's files are in this story: homes must be private to the world. */
export const homeOf = (user: string): string => path.join('/run/home', user);
