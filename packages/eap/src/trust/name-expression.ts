/**
 * Regular expressions for names, matched in time linear in the text whatever the expression: all states at once (Thompson,
 * CACM 11(6), 1968), nothing is ever tried twice. What needs more than that (references, look-around) is not understood.
 */
export interface NameExpression {
  readonly states: readonly State[];
  readonly start: number;
}

export type State =
  /** One character of a set. */
  | { readonly kind: 'one'; readonly set: CharacterSet; next: number }
  | { readonly kind: 'fork'; next: number; other: number }
  /** Nothing is consumed: `^` and `$`. */
  | { readonly kind: 'begin' | 'end'; next: number }
  | { readonly kind: 'accept' };

export interface CharacterSet {
  readonly negated: boolean;
  /** Pairs of code units, both inclusive. */
  readonly ranges: readonly (readonly [from: number, to: number])[];
}

/**
 * Whether the expression takes the whole name. `fold`: upper and lower case of ASCII are the same. `budget` is lowered by the
 * work done; false once it is used up.
 */
export function takesName(
  expression: NameExpression,
  name: string,
  fold: boolean,
  budget: { left: number } = { left: Number.POSITIVE_INFINITY },
): boolean {
  const { states } = expression;
  let current = closure(expression, [expression.start], true, name.length === 0);
  for (let i = 0; i < name.length; i++) {
    if ((budget.left -= current.size + 1) < 0) return false;
    const unit = name.charCodeAt(i);
    const targets: number[] = [];
    for (const index of current) {
      const state = states[index]!;
      if (state.kind === 'one' && inSet(state.set, unit, fold)) targets.push(state.next);
    }
    if (targets.length === 0) return false;
    current = closure(expression, targets, false, i === name.length - 1);
  }
  return [...current].some((index) => states[index]!.kind === 'accept');
}

/** Whether there is any host name (1 to 253 of letters, digits, `-`, `_`, `.` or `*`) that the expression takes. */
export function takesAnyHostName(expression: NameExpression): boolean {
  const { states } = expression;
  let current = closure(expression, [expression.start], true, false);
  for (let length = 1; length <= 253; length++) {
    const targets: number[] = [];
    for (const index of current) {
      const state = states[index]!;
      if (state.kind === 'one' && hostNameUnits.some((unit) => inSet(state.set, unit, true))) targets.push(state.next);
    }
    if (targets.length === 0) return false;
    if ([...closure(expression, targets, false, true)].some((index) => states[index]!.kind === 'accept')) return true;
    current = closure(expression, targets, false, false);
  }
  return false;
}

const hostNameUnits: readonly number[] = Array.from('abcdefghijklmnopqrstuvwxyz0123456789-_.*', (character) =>
  character.charCodeAt(0),
);

/** All states that can be reached without consuming anything. */
function closure({ states }: NameExpression, from: readonly number[], atBegin: boolean, atEnd: boolean): ReadonlySet<number> {
  const reached = new Set<number>();
  const open = [...from];
  while (open.length > 0) {
    const index = open.pop()!;
    if (reached.has(index)) continue;
    reached.add(index);
    const state = states[index]!;
    if (state.kind === 'fork') open.push(state.next, state.other);
    else if ((state.kind === 'begin' && atBegin) || (state.kind === 'end' && atEnd)) open.push(state.next);
  }
  return reached;
}

function inSet({ ranges, negated }: CharacterSet, unit: number, fold: boolean): boolean {
  const has = (wanted: number): boolean => ranges.some(([from, to]) => wanted >= from && wanted <= to);
  const other = fold ? otherCase(unit) : unit;
  return (has(unit) || (other !== unit && has(other))) !== negated;
}

function otherCase(unit: number): number {
  if (unit >= 0x41 && unit <= 0x5a) return unit + 0x20;
  return unit >= 0x61 && unit <= 0x7a ? unit - 0x20 : unit;
}
