import { littleEndian } from '../sys/index.ts';

/** `struct bpf_insn` of <linux/bpf.h>: operation, registers, offset, immediate value; eight octets. */
type Instruction = readonly [operation: number, destination: number, source: number, offset: number, immediate: number];

/** Classes and modes of <linux/bpf_common.h> and <linux/bpf.h>, combined as we need them. */
const LDX_MEM_W = 0x61;
const STX_MEM_W = 0x63;
const ALU_AND_K = 0x54;
const ALU_OR_K = 0x44;
const ALU64_MOV_K = 0xb7;
const EXIT = 0x95;

/** `offsetof(struct bpf_sock, mark)`. */
const markOffset = 16;

/**
 * The program of a cgroup's sockets (`cgroup/sock_create`): before the program has the socket in hand its mark has our bits, and whatever
 * bits somebody else put there. Whoever may set `SO_MARK` (CAP_NET_ADMIN) can still change it afterwards.
 */
export function markProgram(mark: number, mask: number): Uint8Array {
  if ((mark & ~mask) !== 0 || mark >>> 0 !== mark || mask >>> 0 !== mask) throw new TypeError('a mark has bits outside its mask');
  return assemble([
    [LDX_MEM_W, 2, 1, markOffset, 0],
    [ALU_AND_K, 2, 0, 0, ~mask],
    [ALU_OR_K, 2, 0, 0, mark | 0],
    [STX_MEM_W, 1, 2, markOffset, 0],
    // 1 lets the socket come into being.
    [ALU64_MOV_K, 0, 0, 0, 1],
    [EXIT, 0, 0, 0, 0],
  ]);
}

function assemble(instructions: readonly Instruction[]): Uint8Array {
  const octets = new Uint8Array(8 * instructions.length);
  const view = new DataView(octets.buffer);
  for (const [index, [operation, destination, source, offset, immediate]] of instructions.entries()) {
    view.setUint8(8 * index, operation);
    // Bit fields: the first one lies where the byte order of the machine begins.
    view.setUint8(8 * index + 1, littleEndian ? destination | (source << 4) : (destination << 4) | source);
    view.setInt16(8 * index + 2, offset, littleEndian);
    view.setInt32(8 * index + 4, immediate, littleEndian);
  }
  return octets;
}
