const RTM_SETLINK = 19;
const NLMSG_ERROR = 2;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const IFLA_AF_SPEC = 26;
const IFLA_GSO_MAX_SIZE = 41;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;
const AF_INET6 = 10;

/** Two RTM_SETLINK requests (<linux/rtnetlink.h>, <linux/if_link.h>): the size of joined packets, and no link-local address made by itself. */
export function linkSettings(index: number, gsoMaxSize: number): readonly Uint8Array[] {
  const size = attribute(IFLA_GSO_MAX_SIZE, Uint8Array.from([gsoMaxSize & 0xff, (gsoMaxSize >> 8) & 0xff, gsoMaxSize >> 16, 0]));
  const mode = attribute(IFLA_INET6_ADDR_GEN_MODE, Uint8Array.of(IN6_ADDR_GEN_MODE_NONE));
  return [setLink(index, size), setLink(index, attribute(IFLA_AF_SPEC, attribute(AF_INET6, mode)))];
}

/** 0 for an acknowledgment, or the errno; −1 when the answer is none. */
export function netlinkAnswer(answer: Uint8Array): number {
  const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
  if (answer.length < 20 || view.getUint16(4, true) !== NLMSG_ERROR) return -1;
  return Math.abs(view.getInt32(16, true));
}

function setLink(index: number, attributes: Uint8Array): Uint8Array {
  const message = new Uint8Array(32 + attributes.length);
  const view = new DataView(message.buffer);
  view.setUint32(0, message.length, true);
  view.setUint16(4, RTM_SETLINK, true);
  view.setUint16(6, NLM_F_REQUEST | NLM_F_ACK, true);
  view.setUint32(8, 1, true);
  view.setInt32(20, index, true);
  message.set(attributes, 32);
  return message;
}

function attribute(type: number, value: Uint8Array): Uint8Array {
  const octets = new Uint8Array(4 + Math.ceil(value.length / 4) * 4);
  const view = new DataView(octets.buffer);
  view.setUint16(0, 4 + value.length, true);
  view.setUint16(2, type, true);
  octets.set(value, 4);
  return octets;
}
