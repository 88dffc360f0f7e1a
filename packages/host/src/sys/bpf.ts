import koffi from 'koffi';
import { addressOf, keepUntilHere } from './libc.ts';
import { check, errno } from './sys-error.ts';
import { littleEndian } from './socket-address.ts';

/** bpf(2), as far as cgroup programs need it. Numbers of <linux/bpf.h>. */

const self = koffi.load(null);
const nativeSyscall = self.func('long syscall(long, int, size_t, uint)') as (
  number: number,
  command: number,
  at: number,
  size: number,
) => number;
/** The number of the system call: x86-64 has its own, every newer architecture the generic one. */
const systemCall = process.arch === 'x64' ? 321 : 280;

const BPF_PROG_LOAD = 5;
const BPF_OBJ_PIN = 6;
const BPF_OBJ_GET = 7;
const BPF_PROG_ATTACH = 8;
const BPF_PROG_DETACH = 9;
const BPF_PROG_GET_FD_BY_ID = 13;
const BPF_OBJ_GET_INFO_BY_FD = 15;
const BPF_PROG_QUERY = 16;
const BPF_LINK_CREATE = 28;
const BPF_PROG_TYPE_CGROUP_SOCK = 9;
const BPF_CGROUP_INET_SOCK_CREATE = 2;
const BPF_F_ALLOW_MULTI = 2;

/** Attribute blocks are zero-filled and as long as the longest of ours; the kernel takes shorter and longer ones. */
const attributeLength = 128;

const maxTries = 20;

class Attributes {
  readonly buffer = new ArrayBuffer(attributeLength);
  readonly view = new DataView(this.buffer);

  u32(offset: number, value: number): this {
    this.view.setUint32(offset, value, littleEndian);
    return this;
  }

  pointer(offset: number, to: ArrayBuffer): this {
    this.view.setBigUint64(offset, BigInt(addressOf(to)), littleEndian);
    return this;
  }

  readU32(offset: number): number {
    return this.view.getUint32(offset, littleEndian);
  }
}

/** @throws {SysError} */
function call(what: string, command: number, attributes: Attributes, length: number): number {
  for (let tries = 1; ; tries++) {
    const result = nativeSyscall(systemCall, command, addressOf(attributes.buffer), length);
    if (result >= 0) return result;
    const number = koffi.errno();
    // The verifier gives up when a signal waits, as V8 and child processes send them.
    if (number !== errno.EAGAIN || tries === maxTries) return check(`bpf ${what}`, -number);
  }
}

function bufferOf(octets: Uint8Array): ArrayBuffer {
  // A buffer of its own: the address of a short array on V8's heap would not be stable.
  const buffer = new ArrayBuffer(Math.max(octets.length, 128));
  new Uint8Array(buffer).set(octets);
  return buffer;
}

/**
 * Loads a program that runs whenever a socket is made. @param name at most 15 of `A-Za-z0-9_.`
 * @throws {SysError} EPERM without CAP_BPF and CAP_NET_ADMIN, EINVAL when the verifier refuses it
 */
export function loadSocketProgram(instructions: Uint8Array, name: string): number {
  const code = bufferOf(instructions);
  const license = bufferOf(new TextEncoder().encode('Apache-2.0\0'));
  const attributes = new Attributes()
    .u32(0, BPF_PROG_TYPE_CGROUP_SOCK)
    .u32(4, instructions.length / 8)
    .pointer(8, code)
    .pointer(16, license)
    .u32(68, BPF_CGROUP_INET_SOCK_CREATE);
  new Uint8Array(attributes.buffer).set(new TextEncoder().encode(name.slice(0, 15)), 48);
  const fd = call('PROG_LOAD', BPF_PROG_LOAD, attributes, 72);
  keepUntilHere(code, license);
  return fd;
}

/** The program runs for this cgroup as long as the link is held open or pinned. @throws {SysError} */
export function linkSocketProgram(program: number, cgroup: number): number {
  const attributes = new Attributes().u32(0, program).u32(4, cgroup).u32(8, BPF_CGROUP_INET_SOCK_CREATE);
  return call('LINK_CREATE', BPF_LINK_CREATE, attributes, 16);
}

/** The program runs for this cgroup until it is detached or the cgroup is removed, whoever lives. @throws {SysError} */
export function attachSocketProgram(program: number, cgroup: number): void {
  const attributes = new Attributes()
    .u32(0, cgroup)
    .u32(4, program)
    .u32(8, BPF_CGROUP_INET_SOCK_CREATE)
    .u32(12, BPF_F_ALLOW_MULTI);
  call('PROG_ATTACH', BPF_PROG_ATTACH, attributes, 20);
}

/** @throws {SysError} ENOENT when it is not attached so; EPERM for a program held by a link */
export function detachSocketProgram(program: number, cgroup: number): void {
  call('PROG_DETACH', BPF_PROG_DETACH, new Attributes().u32(0, cgroup).u32(4, program).u32(8, BPF_CGROUP_INET_SOCK_CREATE), 20);
}

/** Ids of the programs attached to this cgroup itself, in the order in which they run. @throws {SysError} */
export function attachedSocketPrograms(cgroup: number): number[] {
  const ids = new ArrayBuffer(4 * 64);
  const attributes = new Attributes().u32(0, cgroup).u32(4, BPF_CGROUP_INET_SOCK_CREATE).pointer(16, ids).u32(24, 64);
  call('PROG_QUERY', BPF_PROG_QUERY, attributes, 32);
  return [...new Uint32Array(ids, 0, Math.min(64, attributes.readU32(24)))];
}

/** @throws {SysError} ENOENT when no program has this id any more */
export function openProgram(id: number): number {
  return call('PROG_GET_FD_BY_ID', BPF_PROG_GET_FD_BY_ID, new Attributes().u32(0, id), 12);
}

function info(fd: number, length: number): DataView {
  const buffer = new ArrayBuffer(256);
  const attributes = new Attributes().u32(0, fd).u32(4, length).pointer(8, buffer);
  call('OBJ_GET_INFO_BY_FD', BPF_OBJ_GET_INFO_BY_FD, attributes, 16);
  return new DataView(buffer);
}

/** `tag` is the kernel's digest of the instructions: two programs of one tag do the same. @throws {SysError} */
export function programInfo(fd: number): { readonly id: number; readonly tag: string; readonly name: string } {
  const view = info(fd, 80);
  const name = new TextDecoder().decode(new Uint8Array(view.buffer, 64, 16)).replace(/\0.*$/s, '');
  return { id: view.getUint32(4, littleEndian), tag: view.getBigUint64(8).toString(16), name };
}

/** `cgroupId` is 0n once the link was detached or its cgroup removed. @throws {SysError} */
export function linkInfo(fd: number): { readonly programId: number; readonly cgroupId: bigint } {
  const view = info(fd, 32);
  return { programId: view.getUint32(8, littleEndian), cgroupId: view.getBigUint64(16, littleEndian) };
}

/** Gives a program or link a name in a bpf file system; it then lives as long as that name. @throws {SysError} EEXIST */
export function pinObject(fd: number, path: string): void {
  const name = bufferOf(new TextEncoder().encode(`${path}\0`));
  call('OBJ_PIN', BPF_OBJ_PIN, new Attributes().pointer(0, name).u32(8, fd), 16);
  keepUntilHere(name);
}

/** @throws {SysError} ENOENT */
export function openPinned(path: string): number {
  const name = bufferOf(new TextEncoder().encode(`${path}\0`));
  const fd = call('OBJ_GET', BPF_OBJ_GET, new Attributes().pointer(0, name), 16);
  keepUntilHere(name);
  return fd;
}
