import { rootGroup, type AnyRow, type Child, type Group } from '../compiled-schema.ts';
import type { ProfileLimits } from '../limits.ts';
import type { Report } from '../finding.ts';
import type { Profile, UnknownElement } from '../profile.ts';
import { quote } from '../quote.ts';
import {
  isNamespaceDeclaration,
  positionOf,
  standaloneContent,
  standaloneXml,
  trimBlanks,
  type XmlElement,
} from '../xml/element.ts';
import { readEapConfiguration } from '../eap/read-configuration.ts';
import { readValue } from './read-value.ts';
import { reportUnknownElement, type Place } from './unknown-element.ts';

/** Turns the root element into the typed profile by the schema. What cannot be typed is reported and kept as unknown. */
export function readProfile(root: XmlElement, limits: ProfileLimits, report: Report): Profile {
  const reader: Reader = { limits, report, unknown: [] };
  const place = { path: 'VPNProfile', schemaPath: 'VPNProfile', typedPath: 'VPNProfile' };
  const properties: Properties = new Map();
  readChildren(reader, root, rootGroup, place, properties);
  // The schema guarantees the types of the properties (see Table in schema.ts).
  return { ...Object.fromEntries(properties), unknown: reader.unknown } as unknown as Profile;
}

interface Reader {
  readonly limits: ProfileLimits;
  readonly report: Report;
  readonly unknown: UnknownElement[];
}

/** What an element gives to the typed object; keys come from the schema only, never from a file. */
type Properties = Map<string, unknown>;

interface TypedPlace extends Place {
  /** The path by which a typed profile finds its unknown elements: numbers count typed elements only. */
  readonly typedPath: string;
}

/** Whether everything required was there. */
type Outcome = 'complete' | 'incomplete';

function readChildren(reader: Reader, element: XmlElement, group: Group, place: TypedPlace, into: Properties): Outcome {
  const { report } = reader;
  checkAttributes(element, place, report);
  const text = trimBlanks(element.text);
  if (text !== '' && (place.schemaPath === 'VPNProfile' || element.children.length > 0)) {
    report(
      'strayText',
      element.source.position(element.textOffset ?? element.start),
      place.path,
      `${quote(text, 40)} is no element`,
    );
  } else if (text !== '') {
    const names = [...group.children.keys()];
    const cure =
      names.length === 1
        ? `Write <${names[0]}>…</${names[0]}> inside <${element.name}>.`
        : `<${element.name}> holds ${names.join(', ')}.`;
    const message = `${quote(text, 40)} stands in <${element.name}> as a bare value`;
    report('textInsteadOfElement', element.source.position(element.textOffset ?? element.start), place.path, message, { cure });
  }
  const byName = new Map<string, XmlElement[]>();
  for (const child of element.children) {
    if (child.uri !== '') continue;
    const same = byName.get(child.name);
    if (same) same.push(child);
    else byName.set(child.name, [child]);
  }
  const kept = new Set<XmlElement>();
  let outcome: Outcome = 'complete';
  for (const [name, child] of group.children) {
    const elements = byName.get(name) ?? [];
    if (readChild(reader, child, name, elements, element, place, into, kept) === 'incomplete') outcome = 'incomplete';
  }
  for (const child of element.children) {
    const known = child.uri === '' && group.children.has(child.name);
    if (!known) reportUnknownElement(child, place, group, report);
    if (!known || kept.has(child)) {
      reader.unknown.push({
        parent: place.typedPath,
        name: child.qualifiedName,
        xml: standaloneXml(child),
        at: positionOf(child),
      });
    }
  }
  return outcome;
}

function readChild(
  reader: Reader,
  child: Child,
  name: string,
  elements: readonly XmlElement[],
  parent: XmlElement,
  place: TypedPlace,
  into: Properties,
  kept: Set<XmlElement>,
): Outcome {
  const below = (suffix = ''): Place => ({ path: `${place.path}/${name}${suffix}`, schemaPath: `${place.schemaPath}/${name}` });
  if (child.kind === 'row' && child.row.kind === 'list') {
    into.set(child.property, readList(reader, child.group!, name, elements, place, kept));
    return 'complete';
  }
  if (child.kind === 'holder' && child.repeats) {
    for (const child_ of child.group.children.values()) if (child_.kind === 'row') into.set(child_.property, []);
    for (const [i, element] of elements.entries()) {
      const before = lengthOf(into, child.group);
      const typedPath = `${place.typedPath}/${name}[${before + 1}]`;
      const unknownBefore = reader.unknown.length;
      readChildren(reader, element, child.group, { ...below(`[${i + 1}]`), typedPath }, into);
      if (lengthOf(into, child.group) === before) {
        const inner = [...child.group.children.keys()][0]!;
        if (!element.children.some((grandchild) => grandchild.name === inner) && trimBlanks(element.text) === '') {
          reader.report('missingElement', positionOf(element), `${below().path}[${i + 1}]`, `<${name}> has no <${inner}>`);
        }
        reader.unknown.length = unknownBefore;
        kept.add(element);
      }
    }
    return 'complete';
  }
  const [first, ...others] = elements;
  for (const other of others) reportRepetition(first!, other, below().path, reader.report, kept);
  if (!first) {
    if (!isRequired(child)) return 'complete';
    // A bare value in its place has been reported already.
    if (isLeaf(parent) && trimBlanks(parent.text) !== '') return 'incomplete';
    const missing = requiredPath(name, child);
    const message = `<${parent.name}> has no <${missing}>`;
    reader.report('missingElement', positionOf(parent), place.path, message, { cure: `Add <${missing}>.` });
    return 'incomplete';
  }
  if (child.kind === 'holder') {
    return readChildren(reader, first, child.group, { ...below(), typedPath: `${place.typedPath}/${name}` }, into);
  }
  const { row } = child;
  switch (row.kind) {
    case 'group': {
      const properties: Properties = new Map([['at', positionOf(first)]]);
      readChildren(reader, first, child.group!, { ...below(), typedPath: `${place.typedPath}/${name}` }, properties);
      into.set(child.property, Object.fromEntries(properties));
      return 'complete';
    }
    case 'value': {
      checkAttributes(first, below(), reader.report);
      const value = readValue(first, row.type, below().path, reader.report);
      if (value !== undefined) into.set(child.property, { value, at: positionOf(first) });
      else kept.add(first);
      return value === undefined && row.required === true ? 'incomplete' : 'complete';
    }
    case 'values': {
      checkAttributes(first, below(), reader.report);
      const value = readValue(first, row.type, below().path, reader.report);
      if (value === undefined) kept.add(first);
      else (into.get(child.property) as unknown[]).push({ value, at: positionOf(first) });
      return 'complete';
    }
    case 'eap': {
      const typedPath = `${place.typedPath}/${name}`;
      const read = readEapConfiguration(first, below().path, reader.limits, reader.report);
      if (!read) {
        kept.add(first);
        return 'complete';
      }
      if (read.settings) into.set(child.property, { value: read.settings, at: positionOf(first) });
      into.set('eapXml', read.xml);
      for (const extra of read.extra) {
        reader.unknown.push({ parent: typedPath, name: extra.qualifiedName, xml: standaloneXml(extra), at: positionOf(extra) });
      }
      return 'complete';
    }
    case 'xml': {
      const value = first.children.length > 0 ? standaloneContent(first) : trimBlanks(first.text);
      into.set(child.property, { value, at: positionOf(first) });
      return 'complete';
    }
    case 'record':
      into.set(child.property, {
        value: readRecord(reader, first, row, { ...below(), typedPath: `${place.typedPath}/${name}` }),
        at: positionOf(first),
      });
      return 'complete';
    case 'list':
      throw new Error('lists were handled above');
  }
}

function readList(
  reader: Reader,
  group: Group,
  name: string,
  elements: readonly XmlElement[],
  place: TypedPlace,
  kept: Set<XmlElement>,
): readonly unknown[] {
  const items: unknown[] = [];
  for (const [i, element] of elements.entries()) {
    const properties: Properties = new Map([['at', positionOf(element)]]);
    const here: TypedPlace = {
      path: `${place.path}/${name}[${i + 1}]`,
      schemaPath: `${place.schemaPath}/${name}`,
      typedPath: `${place.typedPath}/${name}[${items.length + 1}]`,
    };
    const unknownBefore = reader.unknown.length;
    if (readChildren(reader, element, group, here, properties) === 'complete') {
      items.push(Object.fromEntries(properties));
    } else {
      // Kept whole, so what was kept of its inside must go.
      reader.unknown.length = unknownBefore;
      kept.add(element);
    }
  }
  return items;
}

/** Text elements by name, from a closed list of names. */
function readRecord(reader: Reader, element: XmlElement, row: AnyRow, place: TypedPlace): Readonly<Record<string, string>> {
  const names = 'names' in row && row.names ? row.names : [];
  const record: [string, string][] = [];
  const seen = new Set<string>();
  for (const child of element.children) {
    if (child.uri === '' && names.includes(child.name) && child.children.length === 0 && !seen.has(child.name)) {
      seen.add(child.name);
      record.push([child.name, trimBlanks(child.text)]);
    } else {
      reader.report(
        'unknownElement',
        positionOf(child),
        place.path,
        `<${quote(child.qualifiedName).slice(1, -1)}> is not known in <${element.name}>`,
      );
      reader.unknown.push({
        parent: place.typedPath,
        name: child.qualifiedName,
        xml: standaloneXml(child),
        at: positionOf(child),
      });
    }
  }
  return Object.fromEntries(record.toSorted(([a], [b]) => names.indexOf(a) - names.indexOf(b)));
}

function reportRepetition(first: XmlElement, other: XmlElement, path: string, report: Report, kept: Set<XmlElement>): void {
  // Both have the same parent, so the same text means the same.
  const same =
    asWritten(first) === asWritten(other) ||
    (isLeaf(first) && isLeaf(other) && trimBlanks(first.text) === trimBlanks(other.text));
  const message = `<${other.name}> is already in line ${positionOf(first).line}`;
  report(same ? 'writtenTwice' : 'writtenTwiceDifferently', positionOf(other), path, message);
  if (!same) kept.add(other);
}

function asWritten(element: XmlElement): string {
  return element.source.text.slice(element.start, element.end);
}

function isLeaf(element: XmlElement): boolean {
  return element.children.length === 0;
}

function checkAttributes(element: XmlElement, place: Place, report: Report): void {
  for (const attribute of element.attributes) {
    if (isNamespaceDeclaration(attribute)) continue;
    report('unexpectedAttribute', positionOf(element), place.path, `the attribute ${quote(attribute.name)} means nothing here`);
  }
}

function isRequired(child: Child): boolean {
  return child.kind === 'row'
    ? child.row.required === true
    : [...child.group.children.values()].some((inner) => isRequired(inner));
}

function requiredPath(name: string, child: Child): string {
  if (child.kind === 'row') return name;
  for (const [innerName, inner] of child.group.children)
    if (isRequired(inner)) return `${name}><${requiredPath(innerName, inner)}`;
  return name;
}

function lengthOf(properties: Properties, group: Group): number {
  for (const child of group.children.values()) {
    if (child.kind === 'row') return (properties.get(child.property) as readonly unknown[]).length;
  }
  return 0;
}
