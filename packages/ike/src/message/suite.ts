/** The algorithms of an IKE SA, by IKEv2 numbers. */
export interface IkeSuite {
  readonly encr: number;
  readonly keyBits: number;
  readonly prf: number;
  /** 0 with AEAD ciphers. */
  readonly integ: number;
  readonly ke: number;
  /** Additional key exchanges in the order in which they are done (RFC 9370); absent: none. */
  readonly additionalKe?: readonly number[];
}

/** The algorithms of a CHILD_SA (ESP), by IKEv2 numbers. */
export interface ChildSuite {
  readonly encr: number;
  readonly keyBits: number;
  /** 0 with AEAD ciphers. */
  readonly integ: number;
}

/** Keys of one direction. An AEAD's encryption key ends in its salt, and its integrity key is empty. */
export interface DirectionKeys {
  readonly encryptionKey: Uint8Array;
  readonly integrityKey: Uint8Array;
}
