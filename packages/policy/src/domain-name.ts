/** Lower case without a dot at either end; undefined unless it is a DNS name (RFC 1035 §2.3.4 sizes; `_` is tolerated as in service names). */
export function normaliseDomain(text: string): string | undefined {
  const name = text.trim().replace(/^\.+/, '').replace(/\.$/, '').toLowerCase();
  if (name.length === 0 || name.length > 253) return undefined;
  const fits = name.split('.').every((label) => /^[a-z0-9_-]{1,63}$/.test(label));
  return fits ? name : undefined;
}

/** Reads the name of a rule: `.` for all, `.corp.example` for a suffix, anything else one exact name; undefined if it is none of them. */
export function normaliseRuleName(text: string): string | undefined {
  const trimmed = text.trim();
  if (trimmed === '.') return '.';
  const name = normaliseDomain(trimmed);
  return name !== undefined && trimmed.startsWith('.') ? `.${name}` : name;
}

/** Whether `name` is `domain` or below it; both normalised. */
export function isWithin(name: string, domain: string): boolean {
  return name === domain || name.endsWith(`.${domain}`);
}

/** Whether a rule of this name is for `name`, normalised. */
export function ruleCovers(ruleName: string, name: string): boolean {
  if (ruleName === '.') return true;
  return ruleName.startsWith('.') ? isWithin(name, ruleName.slice(1)) : ruleName === name;
}

/**
 * Compiles rules into a look-up whose cost depends on the number of labels asked for, never on the number of rules:
 * the exact name first, then the longest suffix, then `.`. When a name occurs twice, the first one counts.
 */
export function compileNameMatcher<R extends { readonly name: string }>(rules: readonly R[]): (name: string) => R | undefined {
  const exact = new Map<string, R>();
  const suffix = new Map<string, R>();
  let all: R | undefined;
  for (const rule of rules) {
    if (rule.name === '.') all ??= rule;
    else if (rule.name.startsWith('.')) {
      const domain = rule.name.slice(1);
      if (!suffix.has(domain)) suffix.set(domain, rule);
    } else if (!exact.has(rule.name)) exact.set(rule.name, rule);
  }
  return (name) => {
    const hit = exact.get(name);
    if (hit) return hit;
    if (suffix.size > 0) {
      for (let from = 0; from >= 0 && from < name.length;) {
        const found = suffix.get(from === 0 ? name : name.slice(from));
        if (found) return found;
        const dot = name.indexOf('.', from);
        from = dot < 0 ? -1 : dot + 1;
      }
    }
    return all;
  };
}
