/** Numbers of <linux/xfrm.h>, and of <linux/if_link.h> for its devices. */

export const XFRM_MSG_NEWSA = 0x10;
export const XFRM_MSG_DELSA = 0x11;
export const XFRM_MSG_GETSA = 0x12;
export const XFRM_MSG_DELPOLICY = 0x14;
export const XFRM_MSG_GETPOLICY = 0x15;
export const XFRM_MSG_EXPIRE = 0x18;
export const XFRM_MSG_UPDPOLICY = 0x19;
export const XFRM_MSG_FLUSHSA = 0x1c;
export const XFRM_MSG_FLUSHPOLICY = 0x1d;

/** Multicast groups as bits: XFRMNLGRP_EXPIRE, XFRMNLGRP_SA, XFRMNLGRP_POLICY. */
export const groups = { expire: 1 << 1, sa: 1 << 2, policy: 1 << 3 } as const;

/** A multicast group as a number. */
export const XFRMNLGRP_SA = 3;

export const XFRMA_ALG_CRYPT = 2;
export const XFRMA_ENCAP = 4;
export const XFRMA_TMPL = 5;
export const XFRMA_SA = 6;
export const XFRMA_LTIME_VAL = 9;
export const XFRMA_LASTUSED = 15;
export const XFRMA_ALG_AEAD = 18;
export const XFRMA_ALG_AUTH_TRUNC = 20;
export const XFRMA_MARK = 21;
export const XFRMA_REPLAY_ESN_VAL = 23;
export const XFRMA_SA_EXTRA_FLAGS = 24;
export const XFRMA_SET_MARK = 29;
export const XFRMA_IF_ID = 31;

export const XFRM_MODE_TUNNEL = 1;
export const XFRM_STATE_AF_UNSPEC = 32;
export const XFRM_STATE_ESN = 128;
export const XFRM_SA_XFLAG_DONT_ENCAP_DSCP = 1;
export const IPPROTO_ESP = 50;
/** The only infinite lifetime. */
export const XFRM_INF = 0xffff_ffff_ffff_ffffn;

export const direction = { in: 0, out: 1, fwd: 2 } as const;

export const IFLA_STATS64 = 23;
export const IFLA_INFO_DATA = 2;
export const IFLA_XFRM_IF_ID = 2;

/** <linux/if_tunnel.h> */
export const IFLA_VTI_IKEY = 2;
export const IFLA_VTI_OKEY = 3;
export const IFLA_VTI_LOCAL = 4;

/**
 * Our own choice: every SA, policy and device of ours carries a number of this range ("av" in ASCII), as its interface id or as its mark, by which
 * they are found again with no memory of what ran before.
 */
export const ourNumbers = { first: 0x6176_0001, last: 0x6176_ffff } as const;

export function isOurNumber(id: number): boolean {
  return id >= ourNumbers.first && id <= ourNumbers.last;
}
