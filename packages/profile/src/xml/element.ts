import type { Position } from '../profile.ts';
import type { Source } from './source.ts';

export interface XmlAttribute {
  /** As written, prefix included. */
  readonly name: string;
  readonly prefix: string;
  readonly local: string;
  readonly value: string;
}

/** One element of a parsed text. Offsets count in `source.text`. */
export interface XmlElement {
  readonly source: Source;
  /** As written, prefix included. */
  readonly qualifiedName: string;
  readonly prefix: string;
  /** The name without prefix. */
  readonly name: string;
  /** Namespace; empty when there is none. */
  readonly uri: string;
  readonly attributes: readonly XmlAttribute[];
  readonly parent: XmlElement | undefined;
  readonly children: XmlElement[];
  /** Its own character data, joined; references resolved. */
  text: string;
  /** Where the first character that is not blank stands; undefined when there is none. */
  textOffset: number | undefined;
  /** Of its "<". */
  readonly start: number;
  contentStart: number;
  contentEnd: number;
  /** Behind its last ">". */
  end: number;
}

/** Where an element begins in the file. */
export function positionOf(element: XmlElement): Position {
  return element.source.position(element.start);
}

/** Where the value of an element begins in the file; the element itself when it has none. */
export function positionOfText(element: XmlElement): Position {
  return element.source.position(element.textOffset ?? element.start);
}

/** Without XML's blanks at both ends. (JavaScript's trim would remove more.) */
export function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

export function isBlank(unit: number): boolean {
  return unit === 32 || unit === 10 || unit === 9 || unit === 13;
}

/**
 * The element as text that can stand anywhere: exactly as written, plus the namespace declarations that it had from outside.
 */
export function standaloneXml(element: XmlElement): string {
  const written = element.source.text.slice(element.start, element.end);
  const missing = freePrefixes(element);
  if (missing.size === 0) return written;
  const declarations = [...missing].sort().map((prefix) => {
    const uri = namespaceInScope(element.parent, prefix) ?? '';
    return ` xmlns${prefix === '' ? '' : `:${prefix}`}="${escapeAttribute(uri)}"`;
  });
  const nameEnd = 1 + element.qualifiedName.length;
  return written.slice(0, nameEnd) + declarations.join('') + written.slice(nameEnd);
}

/** The content of an element as written, without blanks at both ends, able to stand anywhere. */
export function standaloneContent(element: XmlElement): string {
  const { text } = element.source;
  const parts: string[] = [];
  let at = element.contentStart;
  for (const child of element.children) {
    parts.push(text.slice(at, child.start), standaloneXml(child));
    at = child.end;
  }
  parts.push(text.slice(at, element.contentEnd));
  return trimBlanks(parts.join(''));
}

function escapeAttribute(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

/** Prefixes that the element or something in it uses without declaring them; '' is the default namespace. */
function freePrefixes(root: XmlElement): Set<string> {
  const free = new Set<string>();
  const visit = (element: XmlElement, outer: Scope | undefined): void => {
    const own = element.attributes.filter((attribute) => isNamespaceDeclaration(attribute)).map(declaredPrefix);
    const scope = own.length > 0 ? { declared: own, outer } : outer;
    const use = (prefix: string): void => {
      if (!free.has(prefix) && !isDeclared(scope, prefix) && prefix !== 'xml') free.add(prefix);
    };
    if (element.prefix !== '' || element.uri !== '') use(element.prefix);
    for (const attribute of element.attributes) {
      if (attribute.prefix !== '' && !isNamespaceDeclaration(attribute)) use(attribute.prefix);
    }
    for (const child of element.children) visit(child, scope);
  };
  visit(root, undefined);
  return free;
}

interface Scope {
  readonly declared: readonly string[];
  readonly outer: Scope | undefined;
}

function isDeclared(scope: Scope | undefined, prefix: string): boolean {
  for (let inner = scope; inner !== undefined; inner = inner.outer) if (inner.declared.includes(prefix)) return true;
  return false;
}

export function isNamespaceDeclaration(attribute: XmlAttribute): boolean {
  return attribute.prefix === 'xmlns' || attribute.name === 'xmlns';
}

function declaredPrefix(attribute: XmlAttribute): string {
  return attribute.prefix === 'xmlns' ? attribute.local : '';
}

function namespaceInScope(from: XmlElement | undefined, prefix: string): string | undefined {
  for (let element = from; element !== undefined; element = element.parent) {
    const declaration = element.attributes.find(
      (attribute) => isNamespaceDeclaration(attribute) && declaredPrefix(attribute) === prefix,
    );
    if (declaration) return declaration.value;
  }
  return undefined;
}
