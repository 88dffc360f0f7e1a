import type { EapFailure } from '../peer-contract.ts';

/** Error numbers of MS-CHAPv2 (RFC 2759 §6); Windows shows the same numbers as RAS errors. */
export const mschapV2Errors: Readonly<Record<number, { readonly kind: EapFailure['kind']; readonly what: string }>> = {
  646: { kind: 'account-restricted', what: 'the account may not log on at this hour' },
  647: { kind: 'account-restricted', what: 'the account is disabled' },
  648: { kind: 'password-expired', what: 'the password has expired' },
  649: { kind: 'account-restricted', what: 'the account has no dial-in permission' },
  691: { kind: 'wrong-password', what: 'user name or password is wrong, or the method is not allowed for this user' },
  709: { kind: 'password-expired', what: 'the server did not take the new password' },
};
