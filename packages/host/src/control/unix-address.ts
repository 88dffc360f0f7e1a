import { constant } from '../sys/index.ts';

/** `struct sockaddr_un`, as long as its name makes it; undefined for what is none. "@" stands for the abstract namespace, whose names begin with a zero octet. */
export function unixAddress(path: string): Buffer | undefined {
  const name = Buffer.from(path);
  // sun_path has 108 octets, of which one is the end.
  if (!/^[@/]/.test(path) || name.length > 107) return undefined;
  const isAbstract = path.startsWith('@');
  const address = Buffer.alloc(2 + name.length + (isAbstract ? 0 : 1));
  address.writeUInt16LE(constant.AF_UNIX, 0);
  name.copy(address, 2);
  if (isAbstract) address[2] = 0;
  return address;
}
