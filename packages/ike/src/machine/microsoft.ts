/** Type of the private Notify. */
const microsoftError = 12345;

/** Windows' numbers that gateways send in their private Notify, as far as they change what we do. */
export const windowsError = {
  /** "Error processing KE payload": a key exchange where none was expected. */
  KE: 13816,
  /** A CHILD_SA is not rekeyed at our request behind a NAT: Windows does that itself. */
  NO_REKEY: 13863,
} as const;

/** The error of Windows in a private Notify 12345: four octets, in either order, since the order is written down nowhere. */
export function windowsErrorOf(type: number, data: Uint8Array): number | undefined {
  if (type !== microsoftError || data.length < 4) return undefined;
  const view = new DataView(data.buffer, data.byteOffset, 4);
  return [view.getUint32(0), view.getUint32(0, true)].find((number) => number >= 13_000 && number < 14_000);
}
