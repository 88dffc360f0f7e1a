import type { Host } from '../lab/host.ts';

/** Packets that hosts have dropped so far because a queue was full: those of their devices, and the receive buffers of UDP sockets. */
export async function queueDrops(hosts: readonly Host[]): Promise<number> {
  const counts = await Promise.all(hosts.map(dropsOf));
  return counts.reduce((all, count) => all + count, 0);
}

async function dropsOf(host: Host): Promise<number> {
  const [devices, snmp] = await Promise.all([host.exec(['cat', '/proc/net/dev']), host.exec(['cat', '/proc/net/snmp'])]);
  // Columns 4 and 12 after the name: dropped on receipt, dropped on sending.
  const byDevices = [...devices.matchAll(/^ *\S+: *(.*)$/gm)]
    .map(([, columns]) => columns!.trim().split(/ +/).map(Number))
    .reduce((all, columns) => all + columns[3]! + columns[11]!, 0);
  const [names, values] = [...snmp.matchAll(/^Udp: (.*)$/gm)].map(([, columns]) => columns!.split(' ')) as [string[], string[]];
  return byDevices + Number(values[names.indexOf('RcvbufErrors')]);
}
