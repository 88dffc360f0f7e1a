import type { TlsFailure } from '@aovpn/eap';

/** Alerts (RFC 8446 §6.2) that a server sends about the client's certificate. */
const aboutClientCertificate =
  /ALERT_(BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_REVOKED|CERTIFICATE_EXPIRED|CERTIFICATE_UNKNOWN|UNKNOWN_CA|ACCESS_DENIED)$/;

/** What an error of Node's TLS means. OpenSSL's reason is in `code`, such as `ERR_SSL_TLSV1_ALERT_UNKNOWN_CA`. */
export function tlsFailureOf(error: unknown): TlsFailure {
  const failure = meaningOf(error);
  // Whatever OpenSSL calls it, the number is the server's.
  const number = error instanceof Error ? /\bSSL alert number (\d{1,3})\b/.exec(error.message)?.[1] : undefined;
  return number === undefined ? failure : { ...failure, alert: Number(number) };
}

function meaningOf(error: unknown): TlsFailure {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const reason = code
    .replace(/^ERR_SSL_(SSLV3_|TLSV1_|TLSV13_)?/, '')
    .replaceAll('_', ' ')
    .toLowerCase();
  if (/ALERT_CERTIFICATE_REQUIRED$|ALERT_NO_CERTIFICATE$/.test(code)) {
    return { reason: 'no-client-certificate', detail: `the server asked for a client certificate and got none (${reason})` };
  }
  if (aboutClientCertificate.test(code)) {
    return { reason: 'client-certificate-refused', detail: `the server refused our certificate: ${reason}` };
  }
  if (code.includes('_ALERT_')) return { reason: 'alert', detail: `the server ended TLS: ${reason}` };
  return { reason: 'protocol', detail: `TLS failed: ${reason || (error instanceof Error ? error.message : String(error))}` };
}

/** The alert that OpenSSL ends with, if it is all that OpenSSL has to say and goes in the clear; otherwise nothing. */
export function onlyAlert(records: Uint8Array): Uint8Array {
  return records.length === 7 && records[0] === 21 ? records : new Uint8Array();
}

/** A plaintext fatal alert record for the server's logs: our own flight is not sent, so keys never came into use. */
export function alertFor(failure: TlsFailure): Uint8Array {
  const descriptions: Partial<Record<TlsFailure['reason'], number>> = {
    weak: 43,
    'wrong-eku': 43,
    revoked: 44,
    expired: 45,
    'not-yet-valid': 45,
    'invalid-root': 45,
    'wrong-name': 46,
    'revocation-unknown': 46,
  };
  return Uint8Array.of(21, 3, 3, 0, 2, 2, descriptions[failure.reason] ?? 48);
}
