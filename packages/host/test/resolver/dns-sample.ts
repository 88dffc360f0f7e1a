/** A query as the C library sends it: recursion desired, one question of class IN. */
export function query(name: string, id: number, type = 1): Uint8Array {
  const labels = name === '' ? [] : name.split('.');
  const octets: number[] = [id >> 8, id & 0xff, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  for (const label of labels) octets.push(label.length, ...Buffer.from(label, 'latin1'));
  return Uint8Array.from([...octets, 0, type >> 8, type & 0xff, 0, 1]);
}

/** The answer with one A record to a query of ours. */
export function answerTo(
  question: Uint8Array,
  ip: readonly [number, number, number, number],
  flags: { readonly tc?: boolean; readonly rcode?: number } = {},
): Uint8Array {
  const record = flags.rcode ? [] : [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, ...ip];
  const answer = Uint8Array.from([...question, ...record]);
  answer[2] = 0x81 | (flags.tc ? 2 : 0);
  answer[3] = 0x80 | (flags.rcode ?? 0);
  answer[7] = flags.rcode ? 0 : 1;
  return answer;
}
