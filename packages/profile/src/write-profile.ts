import { rootGroup, type Child, type Group } from './compiled-schema.ts';
import { defaultLimits } from './limits.ts';
import { writeEapHostConfig } from './eap/write-host-config.ts';
import type { EapSettings, Profile, UnknownElement } from './profile.ts';
import { parseXml } from './xml/parse.ts';
import { sourceOfFile } from './xml/source.ts';
import { writeElement, type OutputElement } from './xml/write.ts';

/**
 * Writes a profile in the order that Windows 11 gives back, so that Intune's comparison finds no difference. Reading the result
 * gives the same profile, positions apart. Unknown elements come last in their parents. Comments are not part of a profile.
 *
 * @throws {RangeError} for a text that XML cannot hold, and for EAP settings without words and without their original text
 */
export function writeProfile(profile: Profile): string {
  const unknown = new Map<string, UnknownElement[]>();
  for (const element of profile.unknown) {
    const same = unknown.get(element.parent);
    if (same) same.push(element);
    else unknown.set(element.parent, [element]);
  }
  const root = element('VPNProfile');
  addChildren(root, 'VPNProfile', rootGroup, profile as unknown as Properties, unknown);
  return `${writeElement(root)}\n`;
}

type Properties = Readonly<Record<string, unknown>>;
type Unknown = ReadonlyMap<string, readonly UnknownElement[]>;

function addChildren(parent: OutputElement, path: string, group: Group, properties: Properties, unknown: Unknown): void {
  for (const [name, child] of group.children) addChild(parent, path, name, child, properties, unknown);
  addUnknown(parent, path, unknown);
}

function addUnknown(parent: OutputElement, path: string, unknown: Unknown): void {
  for (const { xml } of unknown.get(path) ?? []) parent.content.push({ xml });
}

function addChild(
  parent: OutputElement,
  path: string,
  name: string,
  child: Child,
  properties: Properties,
  unknown: Unknown,
): void {
  const below = `${path}/${name}`;
  if (child.kind === 'holder') {
    if (child.repeats) addRepeated(parent, below, name, child.group, properties, unknown);
    else {
      const holder = element(name);
      addChildren(holder, below, child.group, properties, unknown);
      if (holder.content.length > 0) parent.content.push(holder);
    }
    return;
  }
  const value = properties[child.property];
  if (value === undefined && child.row.kind !== 'eap') return;
  const { row } = child;
  switch (row.kind) {
    case 'value':
    case 'values':
      parent.content.push({ ...element(name), text: row.type.write(located(value)) });
      return;
    case 'group': {
      const inner = element(name);
      addChildren(inner, below, child.group!, value as Properties, unknown);
      parent.content.push(inner);
      return;
    }
    case 'list':
      for (const [i, item] of (value as readonly Properties[]).entries()) {
        const inner = element(name);
        addChildren(inner, `${below}[${i + 1}]`, child.group!, item, unknown);
        parent.content.push(inner);
      }
      return;
    case 'record': {
      const record = element(name);
      const texts = new Map(Object.entries(located(value) as Readonly<Record<string, string>>));
      for (const key of row.names ?? []) {
        const text = texts.get(key);
        if (text !== undefined) record.content.push({ ...element(key), text });
      }
      addUnknown(record, below, unknown);
      parent.content.push(record);
      return;
    }
    case 'xml': {
      const text = located(value) as string;
      parent.content.push(isOneElement(text) ? { ...element(name), content: [{ xml: text }] } : { ...element(name), text });
      return;
    }
    case 'eap': {
      const written = properties['eapXml'] as string | undefined;
      if (value === undefined && written === undefined) return;
      const configuration = element(name);
      configuration.content.push({ xml: written ?? writeEapHostConfig(located(value) as EapSettings) });
      addUnknown(configuration, below, unknown);
      parent.content.push(configuration);
      return;
    }
  }
}

/** `NativeProtocol/Type`: one holder for every value. */
function addRepeated(
  parent: OutputElement,
  path: string,
  name: string,
  group: Group,
  properties: Properties,
  unknown: Unknown,
): void {
  for (const [innerName, child] of group.children) {
    if (child.kind !== 'row' || child.row.kind !== 'values') continue;
    const { type } = child.row;
    for (const [i, value] of (properties[child.property] as readonly unknown[]).entries()) {
      const holder = element(name);
      holder.content.push({ ...element(innerName), text: type.write(located(value)) });
      addUnknown(holder, `${path}[${i + 1}]`, unknown);
      parent.content.push(holder);
    }
  }
}

function located(value: unknown): unknown {
  return (value as { readonly value: unknown }).value;
}

function element(name: string): OutputElement {
  return { name, content: [] };
}

/** Whether a text is one element that can stand as it is where text stood. */
function isOneElement(text: string): boolean {
  if (!text.startsWith('<') || text.startsWith('<?') || !text.endsWith('>')) return false;
  const parsed = parseXml(sourceOfFile(text), defaultLimits);
  return parsed.kind === 'document' && parsed.root.start === 0 && parsed.root.end === text.length;
}
