// Program: puts one name rule in force and waits to be killed. Arguments: place of resolv.conf, state directory.
import process from 'node:process';
import { parseAddress } from '@aovpn/bytes';
import { emptyPlan } from '@aovpn/policy';
import { openNetwork } from '../../src/network/network.ts';

const [resolvConf, stateDirectory] = process.argv.slice(2) as [string, string];
const network = openNetwork({ resolvConf, stateDirectory });
const { search, servers } = (await network.networkFacts()).resolver;
const because = { profile: 'Corp', why: 'test' };
await network.applyPlan({
  ...emptyPlan,
  dns: {
    ...emptyPlan.dns,
    rules: [{ name: '.corp.example', servers: [parseAddress('127.0.0.21')!], profile: 'Corp', because, instead: [] }],
    search: [{ domain: 'corp.example', because }],
    physical: servers,
    physicalSearch: search,
  },
});
process.stdout.write('ready\n');
setInterval(() => undefined, 1 << 30);
