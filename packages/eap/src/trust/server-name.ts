import { compileNameExpression, type ExpressionFault } from './compile-name-expression.ts';
import { takesAnyHostName, takesName, type NameExpression } from './name-expression.ts';

/** The names of a RADIUS server's certificate. */
export interface CertificateNames {
  /** Every dNSName of the subject alternative name. */
  readonly dns: readonly string[];
  /** Counts only when there is no dNSName (RFC 6125 §6.4.4). */
  readonly commonName?: string;
}

export interface ServerNameVerdict {
  /** The entry of `ServerNames` and the name of the certificate that met; undefined: none did. */
  readonly matched?: {
    readonly pattern: string;
    readonly name: string;
    /** Equal only without regard to case: Windows 11 would refuse this server (853). */
    readonly caseDiffers: boolean;
  };
  /** What was compared with what, one sentence each. */
  readonly trace: readonly string[];
}

/** What one entry of `ServerNames` turns out to be. */
export type ServerNameReading =
  /** One host name, literally: its dots are dots. */
  | { readonly kind: 'name' }
  /** `*.` and a domain: exactly one label in the place of the star. */
  | { readonly kind: 'wildcard' }
  /** A regular expression for a whole name. */
  | { readonly kind: 'expression'; readonly canMatch: boolean; readonly matchesAll: boolean }
  /** Not understood; takes no name. */
  | { readonly kind: 'unusable'; readonly fault: ExpressionFault };

/** More entries or names than these are not looked at. */
const entryLimit = 64;
const nameLimit = 256;
/** Steps of all expressions together; a hundred times what sensible ones take. */
const workLimit = 500_000;

/**
 * Whether a RADIUS server's certificate has one of the names of `ServerNames`: host names, host names with `*.` in front, or
 * regular expressions for the whole name, without regard to case. The work has a bound whatever the entries and the names are;
 * beyond it nothing matches. An empty `wanted` matches nothing: that any name will do is for the caller to say.
 */
export function matchServerNames(wanted: readonly string[], names: CertificateNames): ServerNameVerdict {
  const trace: string[] = [];
  const candidates = (names.dns.length > 0 ? names.dns : names.commonName === undefined ? [] : [names.commonName])
    // What is not ASCII is no host name, and must not become one by folding (the Kelvin sign is no "k").
    .filter((name) => name.length <= 254 && /^[\x21-\x7e]+$/.test(name))
    .map((name) => name.replace(/\.$/, ''))
    .slice(0, nameLimit);
  if (candidates.length === 0) trace.push('The certificate has no name that could be compared.');
  else if (names.dns.length === 0) trace.push('The certificate has no dNSName, so its common name counts.');
  const budget = { left: workLimit };
  let folded: ServerNameVerdict['matched'];
  for (const pattern of wanted.slice(0, entryLimit)) {
    const matcher = matcherOf(pattern);
    if (matcher.kind === 'unusable') {
      trace.push(`${shown(pattern)} is not understood (${matcher.fault.why}) and takes no name.`);
      continue;
    }
    const taken = candidates.filter((name) => matcher.takes(name, true, budget));
    const exact = taken.find((name) => matcher.takes(name, false, budget));
    if (budget.left < 0) break;
    const what = `${shown(pattern)} (${wordOf[matcher.kind]})`;
    if (exact !== undefined) {
      trace.push(`${what} takes ${exact}.`);
      return { matched: { pattern, name: exact, caseDiffers: false }, trace };
    }
    const [near] = taken;
    if (near === undefined) {
      trace.push(`${what} takes none of ${candidates.slice(0, 4).map(shortened).join(', ') || 'no names'}.`);
    } else {
      trace.push(`${what} takes ${near} when case is ignored.`);
      folded ??= { pattern, name: near, caseDiffers: true };
    }
  }
  if (budget.left < 0) {
    trace.push('The expressions take more work than is allowed: nothing matches.');
    return { trace };
  }
  return { ...(folded && { matched: folded }), trace };
}

/** What an entry of `ServerNames` is, for whoever reviews a profile. */
export function readServerName(pattern: string): ServerNameReading {
  const matcher = matcherOf(pattern);
  if (matcher.kind !== 'expression') return matcher.kind === 'unusable' ? matcher : { kind: matcher.kind };
  const { expression } = matcher;
  return {
    kind: 'expression',
    canMatch: takesAnyHostName(expression),
    matchesAll: strangers.every((name) => takesName(expression, name, true)),
  };
}

/** Names that have nothing in common; what takes all of them takes every name. */
const strangers: readonly string[] = ['a.invalid', 'zz-9.q7.example', '0x.4k.test', 'unrelated'];

type Takes = (name: string, fold: boolean, budget: { left: number }) => boolean;

type Matcher =
  | { readonly kind: 'name' | 'wildcard'; readonly takes: Takes }
  | { readonly kind: 'expression'; readonly expression: NameExpression; readonly takes: Takes }
  | { readonly kind: 'unusable'; readonly fault: ExpressionFault };

const wordOf = { name: 'name', wildcard: 'wildcard', expression: 'expression' } as const;

const label = /^[a-z0-9_-]{1,63}$/i;

function matcherOf(pattern: string): Matcher {
  const plain = pattern.replace(/\.$/, '');
  const isWildcard = plain.startsWith('*.');
  const parent = isWildcard ? plain.slice(2) : plain;
  // A plain name is no expression although its dots would be valid in one: "nps.example" must not take "npsxexample".
  if (parent.length <= 253 && parent.split('.').every((part) => label.test(part))) {
    if (!isWildcard) return { kind: 'name', takes: (name, fold) => isNamed(name, plain, fold) };
    return {
      kind: 'wildcard',
      takes: (name, fold) => /^(\*|[a-z0-9_-]{1,63})$/i.test(labelOf(name)) && same(parentOf(name), parent, fold),
    };
  }
  const expression = compileNameExpression(pattern);
  if ('fault' in expression) return { kind: 'unusable', fault: expression.fault };
  return { kind: 'expression', expression, takes: (name, fold, budget) => takesName(expression, name, fold, budget) };
}

/** `name` is the certificate's: it may have a wildcard of its own, the whole left-most label, above at least two others. */
function isNamed(name: string, wanted: string, fold: boolean): boolean {
  if (same(name, wanted, fold)) return true;
  const parent = name.slice(2);
  return name.startsWith('*.') && parent.includes('.') && labelOf(wanted) !== '' && same(parentOf(wanted), parent, fold);
}

function shown(pattern: string): string {
  return `"${shortened(pattern)}"`;
}

function shortened(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 80)}…`;
}

function labelOf(name: string): string {
  const dot = name.indexOf('.');
  return dot < 0 ? '' : name.slice(0, dot);
}

function parentOf(name: string): string {
  return name.slice(name.indexOf('.') + 1);
}

function same(a: string, b: string, fold: boolean): boolean {
  return a === b || (fold && a.toLowerCase() === b.toLowerCase());
}
