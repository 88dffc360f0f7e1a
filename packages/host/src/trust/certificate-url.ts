/** URLs below which certificates may be fetched, as the administrator wrote them; undefined for what is none (RFC 7296 §3.6 asks for http). */
export function readUrlPrefix(text: string): URL | undefined {
  const url = isPlain(text) ? URL.parse(text) : null;
  return url !== null && isHttp(url) && url.search === '' && url.hash === '' ? url : undefined;
}

/**
 * Whether a stranger may have us fetch from there: the same origin as a prefix, and the prefix's path or something below it. What a server could read in more than one
 * way is not fetched: a name of a user, a fragment, encoded slashes and dots.
 */
export function isBelow(text: string, prefixes: readonly URL[]): boolean {
  const url = isPlain(text) ? URL.parse(text) : null;
  if (url === null || !isHttp(url) || url.hash !== '') return false;
  return prefixes.some(({ origin, pathname }) => {
    const directory = pathname.endsWith('/') ? pathname : `${pathname}/`;
    return url.origin === origin && (url.pathname === pathname || url.pathname.startsWith(directory));
  });
}

function isPlain(text: string): boolean {
  return text.length <= 1024 && /^http:\/\/[\u0021-\u007e]+$/i.test(text) && !/\\|%2[ef]|%5c/i.test(text);
}

function isHttp({ protocol, username, password }: URL): boolean {
  return protocol === 'http:' && username === '' && password === '';
}
