/** Numbers of the Linux system-call interface that we use; the same on x86-64, arm64 and riscv64. One row a number, by header. */

/** <sys/socket.h>, <linux/netlink.h> */
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;
export const SOCK_STREAM = 1;
export const SOCK_SEQPACKET = 5;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

export const SOL_SOCKET = 1;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_PEERCRED = 17;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_ATTACH_FILTER = 26;
export const SO_TIMESTAMPNS = 35;
export const SO_MARK = 36;
export const SO_BINDTODEVICE = 25;

export const MSG_DONTWAIT = 0x40;
export const MSG_TRUNC = 0x20;
export const MSG_CTRUNC = 8;
export const MSG_ERRQUEUE = 0x2000;
export const MSG_NOSIGNAL = 0x4000;

/** <linux/if_packet.h>, <linux/if_ether.h>, <linux/if_arp.h> */
export const SOL_PACKET = 263;
export const PACKET_STATISTICS = 6;
export const PACKET_OUTGOING = 4;
export const ETH_P_ALL = 3;
export const ETH_P_IP = 0x0800;
export const ETH_P_IPV6 = 0x86dd;
export const ARPHRD_ETHER = 1;

/** <linux/in.h>, <linux/in6.h>, <linux/errqueue.h> */
export const IPPROTO_ICMP = 1;
export const IPPROTO_ESP = 50;
export const IPPROTO_ICMPV6 = 58;
export const SOL_IP = 0;
export const IP_TOS = 1;
export const IP_RECVTOS = 13;
export const IP_MTU_DISCOVER = 10;
export const IPV6_RECVTCLASS = 66;
export const IPV6_TCLASS = 67;
export const IP_RECVERR = 11;
export const IP_MTU = 14;
export const IP_PMTUDISC_WANT = 1;
export const SOL_IPV6 = 41;
export const IPV6_MTU_DISCOVER = 23;
export const IPV6_MTU = 24;
export const IPV6_RECVERR = 25;
export const IPV6_V6ONLY = 26;
export const IPV6_PMTUDISC_WANT = 1;
/** <linux/icmp.h>, <linux/icmpv6.h>: level and name of the filter of a raw socket. */
export const SOL_RAW = 255;
export const ICMP_FILTER = 1;
export const ICMPV6_FILTER = 1;

/** <linux/udp.h> */
export const SOL_UDP = 17;
export const UDP_ENCAP = 100;
export const UDP_ENCAP_ESPINUDP = 2;
export const UDP_SEGMENT = 103;
export const UDP_GRO = 104;

/** <linux/netlink.h> */
export const NETLINK_ROUTE = 0;
export const NETLINK_XFRM = 6;
export const SOL_NETLINK = 270;
export const NETLINK_ADD_MEMBERSHIP = 1;
export const NETLINK_DROP_MEMBERSHIP = 2;
export const NETLINK_EXT_ACK = 11;
export const NETLINK_GET_STRICT_CHK = 12;

/** <fcntl.h>, <poll.h>, <sys/eventfd.h> */
export const O_RDONLY = 0;
export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const EFD_NONBLOCK = 0o4000;
export const EFD_CLOEXEC = 0o2000000;

/** <linux/if_tun.h> */
export const TUNSETIFF = 0x400454ca;
export const TUNSETOFFLOAD = 0x400454d0;
export const IFF_TUN = 1;
export const IFF_NO_PI = 0x1000;
export const IFF_VNET_HDR = 0x4000;
export const IFF_TUN_EXCL = 0x8000;
export const TUN_F_CSUM = 1;
export const TUN_F_TSO4 = 2;
export const TUN_F_TSO6 = 4;
export const TUN_F_TSO_ECN = 8;
export const TUN_F_USO4 = 0x20;
export const TUN_F_USO6 = 0x40;

/** <linux/sockios.h> */
export const SIOCSIFMTU = 0x8922;
export const SIOCGIFHWADDR = 0x8927;
export const SIOCSIFTXQLEN = 0x8943;
export const SIOCETHTOOL = 0x8946;
/** <linux/ethtool.h> */
export const ETHTOOL_STSO = 0x1f;
export const ETHTOOL_SGSO = 0x24;

/** <sched.h>, <linux/prctl.h> */
export const CLONE_NEWNET = 0x40000000;
export const MEMBARRIER_CMD_GLOBAL = 1;
export const PR_SET_DUMPABLE = 4;
export const PR_SET_NO_NEW_PRIVS = 38;

/** <linux/time.h>, <linux/timerfd.h> */
export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
export const CLOCK_BOOTTIME = 7;
export const TFD_NONBLOCK = 0x800;
export const TFD_CLOEXEC = 0x80000;
export const TFD_TIMER_ABSTIME = 1;
export const TFD_TIMER_CANCEL_ON_SET = 2;
