/** What the API of a captive portal says: RFC 8908 §5. */
export interface PortalApiAnswer {
  readonly captive: boolean;
  /** Where a person signs in. */
  readonly userPortalUrl?: string;
  /** Seconds until the network closes again. */
  readonly secondsRemaining?: number;
}

/** Octets; an answer of the RFC's kind has some hundreds. */
export const maxApiOctets = 16 * 1024;

/** RFC 8908 §4.1. */
const mediaType = 'application/captive+json';

/** The answer, or what is wrong with it. */
export function readPortalApi(contentType: string, octets: Uint8Array): PortalApiAnswer | { readonly problem: string } {
  if (contentType.split(';')[0]!.trim().toLowerCase() !== mediaType) return { problem: `its answer is not of type ${mediaType}` };
  let value: unknown;
  try {
    value = JSON.parse(String.fromCharCode(...octets));
  } catch {
    return { problem: 'its answer is not JSON' };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { problem: 'its answer is no JSON object' };
  const { captive, 'user-portal-url': portal, 'seconds-remaining': seconds } = value as { readonly [key: string]: unknown };
  if (typeof captive !== 'boolean') return { problem: 'its answer does not say whether the network is captive' };
  return {
    captive,
    // RFC 8908 §5: it must be reached over TLS.
    ...(typeof portal === 'string' && isWebUrl(portal, ['https:']) && { userPortalUrl: portal }),
    ...(typeof seconds === 'number' && seconds >= 0 && { secondsRemaining: seconds }),
  };
}

const longestUrl = 2000;

/** Whether this is an absolute URL of one of these schemes that a browser may be given: no credentials, no control characters. */
export function isWebUrl(text: string, schemes: readonly string[] = ['http:', 'https:']): boolean {
  return webUrl(text, schemes) !== undefined;
}

export interface WebUrl {
  readonly scheme: 'http:' | 'https:';
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Path and query. */
  readonly path: string;
}

/** RFC 3986 §3, as far as http and https have it. */
export function webUrl(text: string, schemes: readonly string[] = ['http:', 'https:']): WebUrl | undefined {
  if (text.length > longestUrl || !/^[\u0021-\u007e]+$/.test(text) || /["'<>\\^`{|}]/.test(text)) return undefined;
  const found = /^(https?:)\/\/(\[[0-9a-f:.]+\]|[^/?#@:[\]]+)(?::(\d{1,5}))?([/?][^#]*)?(?:#.*)?$/i.exec(text);
  if (!found) return undefined;
  const scheme = found[1]!.toLowerCase() as WebUrl['scheme'];
  const port = found[3] === undefined ? (scheme === 'http:' ? 80 : 443) : Number(found[3]);
  if (!schemes.includes(scheme) || port < 1 || port > 65_535) return undefined;
  const rest = found[4] ?? '/';
  const host = found[2]!.replaceAll(/^\[|\]$/g, '').toLowerCase();
  return { scheme, host, port, path: rest.startsWith('/') ? rest : `/${rest}` };
}
