/** An element to be written: with a text, or with elements and pieces of finished XML. */
export interface OutputElement {
  readonly name: string;
  text?: string;
  readonly content: (OutputElement | { readonly xml: string })[];
}

/** The element as indented text. Only blanks between elements are added, never inside a text. */
export function writeElement(element: OutputElement, indent = ''): string {
  const { name, text, content } = element;
  if (content.length === 0)
    return text === undefined ? `${indent}<${name} />` : `${indent}<${name}>${escapeText(text)}</${name}>`;
  const inner = content.map((part) => ('xml' in part ? `${indent}  ${part.xml}` : writeElement(part, `${indent}  `)));
  return `${indent}<${name}>\n${inner.join('\n')}\n${indent}</${name}>`;
}

/**
 * Text as XML character data; what a parser would normalise is written as a reference.
 *
 * @throws {RangeError} for a character that XML 1.0 cannot hold
 */
export function escapeText(text: string): string {
  if (forbidden.test(text)) throw new RangeError('the text has a character that XML cannot hold');
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('\r', '&#13;');
}

const forbidden =
  // oxlint-disable-next-line no-control-regex -- XML 1.0 §2.2 forbids them
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
