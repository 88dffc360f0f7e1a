export * as constant from './constant.ts';
export * as libc from './libc.ts';
export { readClock, watchClockSet } from './clock.ts';
export {
  closeDescriptor,
  drainEventfd,
  openEventfd,
  openFile,
  waitReadable,
  wakeEventfd,
  watchReadable,
  watchWritable,
  type Watch,
} from './descriptor.ts';
export { openNetlink } from './netlink.ts';
export { enterNetworkNamespace, waitForPacketsUnderWay } from './process.ts';
export {
  beginConnect,
  bindTo,
  bindToDevice,
  connectTo,
  getOption,
  localEnd,
  openPacketPair,
  openRawSocket,
  openTcpSocket,
  openUdpSocket,
  peerCredentials,
  setBuffer,
  setOption,
  trySetOption,
  type PeerCredentials,
} from './socket.ts';
export { openMarkedStream, openStream } from './stream-socket.ts';
export { decodeSocketAddress, encodeSocketAddress, littleEndian, socketAddressCapacity } from './socket-address.ts';
export { check, errno, errnoName, SysError } from './sys-error.ts';
