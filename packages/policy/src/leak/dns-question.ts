/**
 * The name that a DNS query asks for, lower case without a dot at the end; undefined when this is no query of one question
 * (RFC 1035 §4.1). `framed`: two octets of length come first (over TCP, §4.2.2).
 */
export function dnsQuestionName(payload: Uint8Array, framed: boolean): string | undefined {
  const message = framed ? payload.subarray(2) : payload;
  if (message.length < 17 || (message[2]! & 0x80) !== 0 || message[4] !== 0 || message[5] !== 1) return undefined;
  const labels: string[] = [];
  for (let at = 12; at < message.length;) {
    const length = message[at]!;
    if (length === 0) return labels.join('.');
    if (length > 63 || at + 1 + length > message.length || labels.length > 126) return undefined;
    labels.push(String.fromCharCode(...message.subarray(at + 1, at + 1 + length)).toLowerCase());
    at += 1 + length;
  }
  return undefined;
}
