/**
 * A piece of a file, safe to put into a message: in quotes, shortened, and with everything that could steer a terminal or
 * reorder text (control characters, bidirectional overrides, invisible ones) spelled out as `U+XXXX`.
 */
export function quote(text: string, longest = 80): string {
  const characters = Array.from(text.slice(0, longest * 2));
  const cut = characters.length > longest || text.length > longest * 2;
  return `"${visible(characters.slice(0, longest).join(''))}${cut ? '…' : ''}"`;
}

/** The text with every unprintable character as `<U+XXXX>`. */
export function visible(text: string): string {
  return text.replaceAll(unprintable, (character) => `<${codePointName(character)}>`);
}

export function codePointName(character: string): string {
  return `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** Characters that are there but cannot be seen; in names, numbers and thumbprints they are never meant. */
export const invisible = /[\u0080-\u00a0\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;

// oxlint-disable-next-line no-control-regex -- control characters are what this is about
const unprintable = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;
