/** Numbers of OASIS PKCS#11 2.40 (pkcs11t.h) that we use, one row each. */

export const CKR = {
  OK: 0,
  SLOT_ID_INVALID: 0x3,
  GENERAL_ERROR: 0x5,
  FUNCTION_FAILED: 0x6,
  CANT_LOCK: 0xa,
  ATTRIBUTE_SENSITIVE: 0x11,
  ATTRIBUTE_TYPE_INVALID: 0x12,
  DEVICE_ERROR: 0x30,
  DEVICE_REMOVED: 0x32,
  KEY_HANDLE_INVALID: 0x60,
  KEY_FUNCTION_NOT_PERMITTED: 0x68,
  MECHANISM_INVALID: 0x70,
  OBJECT_HANDLE_INVALID: 0x82,
  PIN_INCORRECT: 0xa0,
  PIN_INVALID: 0xa1,
  PIN_LEN_RANGE: 0xa2,
  PIN_EXPIRED: 0xa3,
  PIN_LOCKED: 0xa4,
  SESSION_CLOSED: 0xb0,
  SESSION_HANDLE_INVALID: 0xb3,
  TOKEN_NOT_PRESENT: 0xe0,
  TOKEN_NOT_RECOGNIZED: 0xe1,
  USER_ALREADY_LOGGED_IN: 0x100,
  USER_NOT_LOGGED_IN: 0x101,
  USER_PIN_NOT_INITIALIZED: 0x102,
  CRYPTOKI_NOT_INITIALIZED: 0x190,
  CRYPTOKI_ALREADY_INITIALIZED: 0x191,
} as const;

/** CK_TOKEN_INFO.flags. */
export const CKF = {
  LOGIN_REQUIRED: 0x4,
  PROTECTED_AUTHENTICATION_PATH: 0x100,
  TOKEN_INITIALIZED: 0x400,
  USER_PIN_COUNT_LOW: 0x10000,
  USER_PIN_FINAL_TRY: 0x20000,
  USER_PIN_LOCKED: 0x40000,
} as const;

export const CKF_OS_LOCKING_OK = 2;
export const CKF_SERIAL_SESSION = 4;

export const CKU_USER = 1;

export const CKO_CERTIFICATE = 1;
export const CKO_PRIVATE_KEY = 3;
export const CKC_X_509 = 0;

export const CKA = {
  CLASS: 0,
  LABEL: 0x3,
  VALUE: 0x11,
  CERTIFICATE_TYPE: 0x80,
  ID: 0x102,
  ALWAYS_AUTHENTICATE: 0x202,
} as const;

export const CKM = {
  RSA_PKCS: 0x1,
  RSA_X_509: 0x3,
  RSA_PKCS_PSS: 0xd,
  ECDSA: 0x1041,
} as const;

/** CKM_SHA… and CKG_MGF1_SHA…, for CK_RSA_PKCS_PSS_PARAMS. */
export const pssHashes = {
  sha256: { hash: 0x250, mgf: 2, length: 32 },
  sha384: { hash: 0x260, mgf: 3, length: 48 },
  sha512: { hash: 0x270, mgf: 4, length: 64 },
} as const;

/** The name of a CK_RV, for people; a number where we have none. */
export function nameOfResult(result: number): string {
  const name = Object.entries(CKR).find(([, value]) => value === result)?.[0];
  return name === undefined ? `0x${result.toString(16)}` : `CKR_${name}`;
}
