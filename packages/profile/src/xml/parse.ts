import { SaxesParser, type SaxesAttributeNS, type SaxesTagNS, type XMLDecl } from 'saxes';
import type { FindingName } from '../diagnostic-catalogue.ts';
import type { ProfileLimits } from '../limits.ts';
import { codePointName, quote } from '../quote.ts';
import { isBlank, type XmlElement } from './element.ts';
import type { Source } from './source.ts';

/** Why a text is not used as XML. `offset` counts in the text of the source. */
interface XmlFailure {
  readonly name: Extract<
    FindingName,
    'illFormed' | 'doctype' | 'undefinedEntity' | 'bareAmpersand' | 'tooDeep' | 'tooManyElements'
  >;
  readonly offset: number;
  readonly message: string;
}

export type XmlResult =
  | { readonly kind: 'document'; readonly root: XmlElement; readonly declaration: XMLDecl; readonly declarationOffset: number }
  | { readonly kind: 'failure'; readonly failure: XmlFailure };

/**
 * Parses a text strictly (XML 1.0 with namespaces) and stops at the first error. A document type declaration is an error, so there
 * are no entities but the five of XML. Blanks before an XML declaration are let pass; `declarationOffset` tells how many.
 */
export function parseXml(source: Source, limits: ProfileLimits): XmlResult {
  const { text } = source;
  let base = 0;
  while (base < text.length && isBlank(text.charCodeAt(base))) base++;
  const parser = new SaxesParser({ xmlns: true, forceXMLVersion: true, defaultXMLVersion: '1.0' });
  let root: XmlElement | undefined;
  let open: XmlElement | undefined;
  let closing: XmlElement | undefined;
  let declaration: XMLDecl = {};
  let depth = 0;
  let elements = 0;
  let attributes = 0;
  let start = 0;
  let lastEnd = base;
  const here = (): number => parser.position + base;
  const stop = (name: XmlFailure['name'], offset: number, message: string): never => {
    throw new XmlStop({ name, offset, message });
  };
  parser.on('xmldecl', (found) => {
    declaration = found;
    lastEnd = here();
  });
  parser.on('doctype', () => stop('doctype', Math.max(base, text.lastIndexOf('<!DOCTYPE', here())), 'document type declaration'));
  parser.on('comment', () => {
    // Told at "--", one character before the end.
    lastEnd = here() + 1;
  });
  parser.on('processinginstruction', () => {
    lastEnd = here();
  });
  parser.on('opentagstart', () => {
    start = text.lastIndexOf('<', here() - 1);
    attributes = 0;
  });
  parser.on('attribute', ({ name, value }) => {
    if (++attributes > limits.attributes)
      stop('tooManyElements', start, `more than ${limits.attributes} attributes in one element`);
    if (value.length > longestNamespace && name.startsWith('xmlns')) {
      stop('tooManyElements', start, `a namespace of more than ${longestNamespace} characters`);
    }
    if (++elements > limits.elements) stop('tooManyElements', start, `more than ${limits.elements} elements and attributes`);
  });
  parser.on('opentag', (tag: SaxesTagNS) => {
    if (++elements > limits.elements) stop('tooManyElements', start, `more than ${limits.elements} elements and attributes`);
    if (++depth > limits.depth) stop('tooDeep', start, `more than ${limits.depth} levels of elements`);
    const element: XmlElement = {
      source,
      qualifiedName: tag.name,
      prefix: tag.prefix,
      name: tag.local,
      uri: tag.uri,
      attributes: Object.values(tag.attributes).map(({ name, prefix, local, value }: SaxesAttributeNS) => ({
        name,
        prefix,
        local,
        value,
      })),
      parent: open,
      children: [],
      text: '',
      textOffset: undefined,
      start,
      contentStart: here(),
      contentEnd: here(),
      end: here(),
    };
    open?.children.push(element);
    root ??= element;
    open = element;
    lastEnd = here();
  });
  parser.on('closetag', (tag: SaxesTagNS) => {
    closing = open;
    if (!open) return;
    depth--;
    open.end = here();
    if (!tag.isSelfClosing) open.contentEnd = text.lastIndexOf('</', here() - 1);
    open = open.parent;
    lastEnd = here();
  });
  const characters = (value: string, from: number): void => {
    if (!open) return;
    open.text += value;
    if (open.textOffset === undefined) {
      let at = from;
      while (at < text.length && isBlank(text.charCodeAt(at))) at++;
      if (at < here()) open.textOffset = hasContent(value) ? at : undefined;
    }
  };
  parser.on('text', (value) => characters(value, lastEnd));
  parser.on('cdata', (value) => {
    characters(value, text.lastIndexOf('<![CDATA[', here() - 1 - value.length) + 9);
    lastEnd = here();
  });
  parser.on('error', (error) => {
    throw new XmlStop(explain(error.message));
  });
  const explain = (raw: string): XmlFailure => {
    const reason = raw.slice(raw.indexOf(': ') + 2);
    const offset = Math.min(Math.max(base, here() - 1), Math.max(0, text.length - 1));
    const ampersand = firstBareAmpersand(text, lastEnd, here());
    if (ampersand !== undefined && /entity|unclosed tag|unexpected end/.test(reason)) {
      const name = /^&([A-Za-z][\w.-]{0,40});/.exec(text.slice(ampersand, ampersand + 64))?.[1];
      return name === undefined
        ? { name: 'bareAmpersand', offset: ampersand, message: 'an ampersand that begins no reference' }
        : { name: 'undefinedEntity', offset: ampersand, message: `the entity &${name}; is not defined` };
    }
    if (reason.startsWith('unclosed tag') && open) {
      return illFormed(text.length, `the text ends before <${open.qualifiedName}> of line ${lineOf(open)} is closed`);
    }
    if (reason === 'unexpected close tag.' && closing) {
      const at = text.lastIndexOf('</', offset);
      const found = /^[^\s>]*/.exec(text.slice(at + 2, at + 102))![0];
      const sibling = closing.children.findLast((child) => child.qualifiedName === found);
      const again = closing.children.find((child) => child.qualifiedName === closing!.qualifiedName);
      const why = sibling
        ? `<${found}> of line ${lineOf(sibling)} is already closed; the element still open is <${closing.qualifiedName}> of line ${lineOf(closing)}`
        : `<${closing.qualifiedName}> of line ${lineOf(closing)} is still open${again ? `; another <${again.qualifiedName}> begins in it in line ${lineOf(again)}: opened twice?` : ''}`;
      return illFormed(at, `</${found}> closes nothing: ${why}`);
    }
    if (reason.startsWith('unmatched closing tag')) {
      return illFormed(text.lastIndexOf('</', offset), 'a closing tag behind the end of the root element');
    }
    if (reason.startsWith('documents may contain only one root')) {
      return illFormed(start, 'a second root element; a file holds one profile');
    }
    if (reason === 'document must contain a root element.') return illFormed(offset, 'there is no element');
    if (reason === 'text data outside of root node.') {
      return illFormed(firstContent(text, lastEnd), root ? 'text behind the root element' : 'text before the root element');
    }
    if (reason === 'malformed character entity.') {
      return illFormed(text.lastIndexOf('&', offset), 'a reference to a character that XML does not allow');
    }
    if (reason === 'disallowed character.') {
      return illFormed(offset, `the character ${codePointName(text.slice(offset, offset + 2))} is not allowed in XML`);
    }
    return illFormed(offset, visibleReason(reason));
  };
  try {
    parser.write(text.slice(base));
    // Nothing was written when the text is blank only.
    parser.close();
  } catch (error) {
    if (error instanceof XmlStop) return { kind: 'failure', failure: error.failure };
    throw error;
  }
  if (!root) return { kind: 'failure', failure: illFormed(0, 'there is no element') };
  return { kind: 'document', root, declaration, declarationOffset: declaration.version === undefined ? 0 : base };
}

/** Namespaces are copied into every unknown element that uses them. */
const longestNamespace = 1024;

class XmlStop extends Error {
  readonly failure: XmlFailure;
  constructor(failure: XmlFailure) {
    super(failure.message);
    this.failure = failure;
  }
}

function illFormed(offset: number, message: string): XmlFailure {
  return { name: 'illFormed', offset, message };
}

function lineOf(element: XmlElement): number {
  return element.source.position(element.start).line;
}

/** The parser's own words: lower-case, no full stop, with any name in them made harmless. */
function visibleReason(reason: string): string {
  const words = quote(reason, 120).slice(1, -1);
  return words.endsWith('.') ? words.slice(0, -1) : words;
}

function hasContent(value: string): boolean {
  for (let i = 0; i < value.length; i++) if (!isBlank(value.charCodeAt(i))) return true;
  return false;
}

function firstContent(text: string, from: number): number {
  let at = from;
  while (at < text.length - 1 && isBlank(text.charCodeAt(at))) at++;
  return at;
}

function firstBareAmpersand(text: string, from: number, to: number): number | undefined {
  const reference = /&(?:#\d+|#x[\da-fA-F]+|lt|gt|amp|quot|apos);/y;
  for (let at = text.indexOf('&', from); at >= 0 && at < to; at = text.indexOf('&', at + 1)) {
    reference.lastIndex = at;
    if (!reference.test(text)) return at;
  }
  return undefined;
}
