/** `struct virtio_net_hdr` before every packet of a TUN device with IFF_VNET_HDR; its fields are in the machine's order. <linux/virtio_net.h> */
export const virtioHeaderLength = 10;

export const virtioField = { flags: 0, gsoType: 1, headerLength: 2, gsoSize: 4, checksumStart: 6, checksumOffset: 8 } as const;

export const NEEDS_CHECKSUM = 1;

export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_TCPV6 = 4;
export const GSO_UDP = 5;
/** Set beside a TCP type when the segments carry CWR: the first only keeps it (RFC 3168). */
export const GSO_ECN = 0x80;
