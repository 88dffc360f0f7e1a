import { devicePrefix, nftTable, type CgroupName } from '@aovpn/policy';

/**
 * The last resort, when neither the new plan nor the one before can be put in force: nothing passes through any tunnel of ours, and apps
 * whose traffic belongs into a tunnel reach nothing but this machine. It needs no set and no fact, so that little can go wrong with it.
 */
export function printBlockRuleset(confined: readonly CgroupName[]): string {
  const device = JSON.stringify(`${devicePrefix}*`);
  // A TCP socket hears of a reset at once, of ICMP only after its next try.
  const refuse = (condition: string): string =>
    `    ${condition} meta l4proto tcp counter reject with tcp reset\n    ${condition} counter reject with icmpx admin-prohibited\n`;
  const apps = confined.map(({ path, level }) =>
    refuse(`oifname != "lo" socket cgroupv2 level ${level} ${JSON.stringify(path)}`),
  );
  const chain = (hook: string, rules: string): string =>
    `  chain ${hook} {\n    type filter hook ${hook} priority filter\n    policy accept\n${rules}  }\n`;
  return (
    `table ${nftTable}\ndelete table ${nftTable}\n\ntable ${nftTable} {\n` +
    chain('output', `${refuse(`oifname ${device}`)}${apps.join('')}`) +
    chain('input', `    iifname ${device} counter drop\n`) +
    chain('forward', `    oifname ${device} counter drop\n    iifname ${device} counter drop\n`) +
    '}\n'
  );
}
