import {
  encrRows,
  integRows,
  isAdditionalKe,
  keRows,
  prfRows,
  TransformType,
  type EncrRow,
  type IntegRow,
  type KeRow,
  type PrfRow,
} from './transform.ts';

/** The row of an algorithm that was negotiated before, so that it must be there. @throws {RangeError} when it is not */
export function encrRow(id: number): EncrRow {
  return found(encrRows, id, 'encryption');
}

export function prfRow(id: number): PrfRow {
  return found(prfRows, id, 'PRF');
}

export function integRow(id: number): IntegRow {
  return found(integRows, id, 'integrity');
}

export function keRow(id: number): KeRow {
  return found(keRows, id, 'key exchange');
}

/** Such as `AES-GCM-16`, or `transform(1, 99)` for what we do not implement. */
export function nameOfTransform(type: number, id: number): string {
  const rows: Readonly<Record<number, readonly { readonly id: number; readonly name: string }[]>> = {
    [TransformType.ENCR]: encrRows,
    [TransformType.PRF]: prfRows,
    [TransformType.INTEG]: integRows,
    [TransformType.KE]: keRows,
  };
  const known = isAdditionalKe(type) ? keRows : rows[type];
  return known?.find((row) => row.id === id)?.name ?? `transform(${type}, ${id})`;
}

function found<Row extends { readonly id: number }>(rows: readonly Row[], id: number, what: string): Row {
  const row = rows.find((candidate) => candidate.id === id);
  if (!row) throw new RangeError(`no ${what} transform ${id}`);
  return row;
}
