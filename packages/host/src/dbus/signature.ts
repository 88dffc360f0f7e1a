/** A complete type of the D-Bus type system (D-Bus specification, "Type System"). */
export type DbusType =
  | { readonly kind: 'basic'; readonly code: 'y' | 'b' | 'n' | 'q' | 'i' | 'u' | 'x' | 't' | 'd' | 's' | 'o' | 'g' }
  | { readonly kind: 'variant' }
  | { readonly kind: 'array'; readonly element: DbusType }
  | { readonly kind: 'struct'; readonly fields: readonly DbusType[]; readonly entry: boolean };

/** Of arrays and of structs, each; so the specification limits it. */
const maxDepth = 32;

/** @throws {RangeError} for what is not a signature */
export function parseSignature(text: string): readonly DbusType[] {
  if (text.length > 255) throw new RangeError('a signature of more than 255 characters');
  let at = 0;
  const types: DbusType[] = [];
  while (at < text.length) types.push(next(0, 0));
  return types;

  function next(arrays: number, structs: number): DbusType {
    const code = text[at++];
    switch (code) {
      case 'y':
      case 'b':
      case 'n':
      case 'q':
      case 'i':
      case 'u':
      case 'x':
      case 't':
      case 'd':
      case 's':
      case 'o':
      case 'g':
        return { kind: 'basic', code };
      case 'v':
        return { kind: 'variant' };
      case 'a':
        if (arrays >= maxDepth) throw new RangeError('arrays too deep');
        if (text[at] === '{') {
          at++;
          return { kind: 'array', element: fields('}', arrays + 1, structs) };
        }
        return { kind: 'array', element: next(arrays + 1, structs) };
      case '(':
        return fields(')', arrays, structs);
      case undefined:
      default:
        throw new RangeError(`"${code ?? 'nothing'}" in a signature`);
    }
  }

  function fields(end: ')' | '}', arrays: number, structs: number): DbusType {
    if (structs >= maxDepth) throw new RangeError('structs too deep');
    const found: DbusType[] = [];
    while (text[at] !== end) {
      if (at >= text.length) throw new RangeError('a signature without its end');
      found.push(next(arrays, structs + 1));
    }
    at++;
    const entry = end === '}';
    if (found.length === 0 || (entry && (found.length !== 2 || found[0]!.kind !== 'basic')))
      throw new RangeError('a struct or dictionary entry of the wrong length');
    return { kind: 'struct', fields: found, entry };
  }
}

/** Octets that values of this type begin at a multiple of. */
export function alignmentOf(type: DbusType): number {
  switch (type.kind) {
    case 'variant':
      return 1;
    case 'array':
      return 4;
    case 'struct':
      return 8;
    case 'basic':
      return { y: 1, b: 4, n: 2, q: 2, i: 4, u: 4, x: 8, t: 8, d: 8, s: 4, o: 4, g: 1 }[type.code];
  }
}
