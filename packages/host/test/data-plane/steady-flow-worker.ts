import { workerData } from 'node:worker_threads';
import {
  bindTo,
  check,
  closeDescriptor,
  constant,
  encodeSocketAddress,
  errno,
  enterNetworkNamespace,
  libc,
  openUdpSocket,
  setOption,
} from '../../src/sys/index.ts';
import { address } from './net-world.ts';
import { order, word, type FlowEnd } from './steady-flow-protocol.ts';

/** Sent at once, each millisecond at the most. */
const burst = 4;
const octets = 200;
/** Numbers that an end keeps in mind. */
const capacity = 1 << 22;

const { namespace, from, to, port, shared } = workerData as FlowEnd;
const words = new Int32Array(shared);
enterNetworkNamespace(`/run/netns/${namespace}`);
const local = address(from);
const fd = openUdpSocket(local.family);
// What the test's own socket drops is no matter of the plane.
setOption(fd, constant.SOL_SOCKET, constant.SO_RCVBUFFORCE, 8 << 20);
bindTo(fd, local, port);
const remote = encodeSocketAddress(address(to), port);
const outgoing = new Uint8Array(new ArrayBuffer(octets));
const incoming = new Uint8Array(new ArrayBuffer(2048));
const sentNumber = new DataView(outgoing.buffer);
const receivedNumber = new DataView(incoming.buffer);
const seen = new Uint8Array(capacity >> 3);
const flags = constant.MSG_DONTWAIT | constant.MSG_NOSIGNAL;

for (let told = 0; told !== order.end; told = Atomics.load(words, word.order)) {
  while (libc.recvfrom(fd, libc.addressOf(incoming), incoming.length, flags, 0, 0) === octets) {
    const number = receivedNumber.getUint32(0) % capacity;
    const bit = 1 << (number & 7);
    const isNew = (seen[number >> 3]! & bit) === 0;
    seen[number >> 3]! |= bit;
    Atomics.add(words, isNew ? word.received : word.twice, 1);
  }
  for (let i = 0; i < burst && told === order.send; i++) {
    sentNumber.setUint32(0, Atomics.load(words, word.sent));
    const result = libc.sendto(fd, libc.addressOf(outgoing), octets, flags, libc.addressOf(remote), remote.length);
    // What waits in the device fills the socket's buffer: then a program waits, too.
    if (result === -errno.EAGAIN) break;
    check('sendto', result);
    Atomics.add(words, word.sent, 1);
  }
  Atomics.store(words, word.done, told + 1);
  Atomics.wait(words, word.order, told, 1);
}
closeDescriptor(fd);
