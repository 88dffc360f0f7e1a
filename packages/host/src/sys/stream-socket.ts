import { Socket } from 'node:net';
import * as constant from './constant.ts';
import { closeDescriptor } from './descriptor.ts';
import { openTcpSocket, setOption } from './socket.ts';

/** A TCP socket of Node, not connected yet, on a descriptor that was prepared in a way that Node has no word for. @throws {SysError} */
export function openStream(family: 4 | 6, prepare: (fd: number) => void): Socket {
  const fd = openTcpSocket(family);
  try {
    prepare(fd);
    return new Socket({ fd });
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

/** One whose packets have this `SO_MARK`; 0: none. @throws {SysError} */
export function openMarkedStream(family: 4 | 6, mark: number): Socket {
  return mark === 0 ? new Socket() : openStream(family, (fd) => setOption(fd, constant.SOL_SOCKET, constant.SO_MARK, mark));
}
