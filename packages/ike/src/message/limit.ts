/** Our own bounds on what a peer may make us hold or work through. No specification names these figures; those that one names are elsewhere. */

/** Payloads in one message. Gateways send some thirty at most, chains of certificates included. */
export const maxPayloads = 64;

/** Proposals in an SA payload. */
export const maxProposals = 32;

/** Transforms in a proposal. strongSwan's longest default offers have about thirty. */
export const maxTransforms = 64;

/** Attributes in a Configuration payload. */
export const maxConfigAttributes = 256;

/** Fragments of one message. Windows cuts at about 580 octets, so that this still carries 34 kB. */
export const maxFragments = 64;

/** Octets of a message put together from fragments. */
export const maxReassembledLength = 65536;

/** Resolvers, and trust anchors, that one gateway may name. */
export const mostResolvers = 16;
