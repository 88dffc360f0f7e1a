import { isForServerName } from '../trust/name-match.ts';
import type { ParsedCertificate } from '../trust/certificate.ts';

/** Longest pattern that is tried as a regular expression. */
const patternLimit = 256;
/** Quantifiers without an upper bound; with the limit on names this bounds the work of matching. */
const unboundedLimit = 3;

/**
 * Whether a RADIUS server's certificate has one of the names of `ServerNames`: host names, host names with `*.` in front, or
 * regular expressions for the whole name. Upper and lower case are the same, unlike on Windows 11.
 */
export function matchesServerNames(certificate: ParsedCertificate, serverNames: readonly string[]): boolean {
  const dnsNames = certificate.names.flatMap((name) => (name.kind === 'dns' ? [name.text] : []));
  const candidates = dnsNames.length > 0 ? dnsNames : certificate.commonName === undefined ? [] : [certificate.commonName];
  return serverNames.some((wanted) => {
    if (isForServerName(certificate, wanted)) return true;
    const expression = compilePattern(wanted);
    return expression !== undefined && candidates.some((name) => name.length <= 253 && expression.test(name));
  });
}

/**
 * A regular expression that cannot be made to run for ever: characters, classes and groups, quantifiers on single characters
 * and classes only, no references, no look-around. Undefined for what is none of that, or plain text.
 */
export function compilePattern(pattern: string): RegExp | undefined {
  if (pattern.length > patternLimit) return undefined;
  if (/^\*\.[a-z0-9.-]+$/i.test(pattern)) return new RegExp(`^[^.]+\\.${pattern.slice(2).replaceAll('.', '\\.')}$`, 'i');
  const body = pattern.replace(/^\^/, '').replace(/(?<!\\)\$$/, '');
  let unbounded = 0;
  let rest = body;
  let previous: 'atom' | 'group' | 'quantifier' | 'nothing' = 'nothing';
  while (rest !== '') {
    const token = tokens.find(({ form }) => form.test(rest));
    if (!token) return undefined;
    const [text] = token.form.exec(rest)!;
    rest = rest.slice(text.length);
    if (token.kind === 'quantifier') {
      if (previous !== 'atom') return undefined;
      if (/^[*+]|,\}/.test(text) && ++unbounded > unboundedLimit) return undefined;
    }
    previous = token.kind;
  }
  try {
    return new RegExp(`^(?:${body})$`, 'i');
  } catch {
    return undefined;
  }
}

const tokens: readonly { readonly kind: 'atom' | 'group' | 'quantifier' | 'nothing'; readonly form: RegExp }[] = [
  { kind: 'quantifier', form: /^(?:[*+?]|\{\d{1,2}(?:,\d{0,2})?\})\??/ },
  { kind: 'nothing', form: /^(?:\((?:\?:)?|\|)/ },
  { kind: 'group', form: /^\)/ },
  { kind: 'atom', form: /^\[\^?(?:[A-Za-z0-9_.-]|\\[dwsDWS.-])+\]/ },
  { kind: 'atom', form: /^\\[dwsDWS.*+?()[\]{}|^$\\/-]/ },
  { kind: 'atom', form: /^[A-Za-z0-9_.:/@ -]/ },
];
