/** Our own choices, as opposed to constants of a specification. Times are milliseconds. */

/**
 * Errors in IKE_SA_INIT are not authenticated, so anybody who sees the request can forge one. An error is believed only when no better
 * answer has come this long after it (RFC 7296 §2.21.1); retransmissions go on meanwhile.
 */
export const betterAnswerMs = 2_000;
/**
 * A cookie is not authenticated either, and AUTH covers the request that the gateway took: after a forged one it would be the wrong
 * request. It goes back only when no answer to the request itself has come this long after it.
 */
export const cookieWaitMs = 250;
/** A gateway that keeps asking for new cookies, or other groups, is given up after this many. */
export const cookieLimit = 4;
/** How long a close waits for the answer to its Delete. */
export const closingMs = 1_500;
/** Retransmission of the Delete while closing. */
export const closingRetransmitMs = 500;
/** Packets in flight on a replaced CHILD_SA are still received for this long. */
export const lingerMs = 5_000;
/** How long the peer may take to delete what its rekey replaced, before we take over. */
export const standbyMs = 30_000;
/** How long the peer may take from one exchange of its rekey to the next (RFC 9370 §2.2.4). */
export const followUpMs = 20_000;
/**
 * The peer gets so much more before anything is concluded from its silence: this machine may have slept through the time that it had, and the peer may
 * not even have our answer yet.
 */
export const lastCallMs = 5_000;
/** A last call that ends so much too late was slept through as well. */
export const sleptMs = 1_000;
/** A replaced IKE SA answers retransmitted requests for this long. */
export const formerMs = 30_000;
/** How long the host may take to answer `ask-traffic` before a probe is sent anyway. */
export const trafficAnswerMs = 1_000;
/** After a move the host may still receive, and count, what was under way to the old address: no proof that the gateway follows. */
export const underWayMs = 4_000;
/** After a move, and after new CHILD_SAs: the gateway's ESP, where ours asks for it, is there within this time, or does not come. */
export const carriesMs = 3_000;
/** Wait after TEMPORARY_FAILURE or a refused rekey; up to half as much again is added at random, so that both sides do not meet again. */
export const retryMs = 10_000;
/** A CHILD_SA that is made from scratch and put off with TEMPORARY_FAILURE is asked for again after so long: nothing carries traffic meanwhile. */
export const createRetryMs = 1_000;
/** A rekey that the peer keeps putting off is asked for until the interval is over by so much of itself; then the SA ends. */
export const lifetimeGrace = 0.25;
/** A rekey refused this often ends the SA: a new one gets new keys. */
export const refusalLimit = 3;
/** Rekeys begin up to this fraction of their interval early, at random. */
export const rekeyJitter = 0.1;
/** How long the host may work on a puzzle (RFC 8019); then we go on without. */
export const puzzleMs = 20_000;
/** Octets of our nonces: at least half the key of every PRF (RFC 7296 §2.10). */
export const nonceLength = 32;
/** Certificates of one gateway that are handed to the host. */
export const certificateLimit = 16;
/** A ticket is good for at most so long, whatever the gateway says: a resumed session passes over certificates and revocation. */
export const ticketLimitMs = 24 * 3_600_000;
/** A new ticket is asked for after this part of the last one's life. */
export const ticketRenewal = 0.75;
/** A new authentication begins so long before the old one runs out, but after half of its life at the earliest: people look for passwords. */
export const reauthMarginMs = 300_000;
/** When a new authentication has not come about, it is wanted again after this. */
export const reauthRetryMs = 60_000;
/** Retransmissions of what presents a ticket: the full exchange is not far off. */
export const resumeTries = 2;
/** Certificates and bundles of one gateway that the host is asked to fetch from elsewhere; those beyond are passed over. */
export const referenceLimit = 4;
/** OCSP responses of one gateway that are handed to the host. */
export const ocspLimit = 8;
/** From here on an IKE SA is rekeyed whatever its age; at `messageIdEnd` it is given up. Message IDs never wrap (RFC 7296 §2.2). */
export const messageIdHigh = 0x8000_0000;
export const messageIdEnd = 0xffff_fff0;
/** SPIs taken from one Delete payload's list per message; beyond it the rest is ignored. */
export const deleteLimit = 64;

/** How long an authentic answer may still take after an unproven hint that the peer has lost the SA: longer than any path worth keeping. */
export const hintPatienceMs = 2_000;

/** EAP: a gateway that has not answered for so long is said to be waiting, for its RADIUS server or for a person. */
export const eapQuietMs = 2_500;
/** EAP: retransmissions of a request whose answer takes a person's time are at most this far apart: an answer that was lost is had after it. */
export const eapRetransmitMs = 15_000;
