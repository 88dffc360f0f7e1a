/** Which signals of a service are wanted (D-Bus specification, "Match Rules"). */
export interface SignalMatch {
  readonly interface: string;
  readonly member?: string;
  readonly path?: string;
  /** The object of this path and all below it. */
  readonly pathNamespace?: string;
  readonly arg0?: string;
}

/** The rule for AddMatch. `sender`: a well-known name stands for whoever owns it. @throws {TypeError} our bug: a value that would end its quotes */
export function formatMatchRule(sender: string, match: SignalMatch): string {
  const keys: readonly (readonly [string, string | undefined])[] = [
    ['type', 'signal'],
    ['sender', sender],
    ['interface', match.interface],
    ['member', match.member],
    ['path', match.path],
    ['path_namespace', match.pathNamespace],
    ['arg0', match.arg0],
  ];
  return keys
    .flatMap(([key, value]) => {
      if (value === undefined) return [];
      if (value.includes("'")) throw new TypeError(`"${value}" in a match rule`);
      return [`${key}='${value}'`];
    })
    .join(',');
}
