import { profileTable, type SpecialRow } from './schema.ts';
import type { ValueType } from './value/value-type.ts';

/** A row of the schema without its static type. */
export type AnyRow = (
  | { readonly kind: 'value' | 'values'; readonly type: ValueType<unknown> }
  | { readonly kind: 'group' | 'list'; readonly table: Readonly<Record<string, AnyRow>> }
  | Pick<SpecialRow, 'kind' | 'names'>
) & { readonly path: string; readonly since?: string; readonly required?: boolean };

/** What may stand directly below an element. */
export type Child =
  | { readonly kind: 'row'; readonly property: string; readonly row: AnyRow; readonly group?: Group }
  /** An element that only holds others and is no property itself, such as `Proxy/Manual`. */
  | { readonly kind: 'holder'; readonly group: Group; readonly repeats: boolean };

/** The schema of one element: its children by name, in the order of writing. */
export interface Group {
  readonly children: ReadonlyMap<string, Child>;
}

/** The schema of the root element. */
export const rootGroup: Group = compileTable(profileTable as unknown as Readonly<Record<string, AnyRow>>);

/** Every element of ProfileXML: its path, its type in words, the first Windows with it. For documentation and completion. */
export interface ProfileElement {
  readonly path: string;
  readonly type: string;
  readonly since: string;
  readonly repeats: boolean;
}

/** All elements that have a value, in the order of writing. */
export const profileElements: readonly ProfileElement[] = listElements(rootGroup, 'VPNProfile');

/** Full paths at which an element name is known, for "it belongs there". */
export const knownPlaces: ReadonlyMap<string, readonly string[]> = collectPlaces();

function compileTable(table: Readonly<Record<string, AnyRow>>): Group {
  const children = new Map<string, Child>();
  for (const [property, row] of Object.entries(table)) {
    const names = row.path.split('/');
    let level = children;
    for (const holder of names.slice(0, -1)) {
      let entry = level.get(holder);
      if (entry?.kind !== 'holder') {
        entry = { kind: 'holder', group: { children: new Map<string, Child>() }, repeats: row.kind === 'values' };
        level.set(holder, entry);
      }
      level = entry.group.children as Map<string, Child>;
    }
    const group = 'table' in row ? compileTable(row.table) : undefined;
    level.set(names.at(-1)!, group ? { kind: 'row', property, row, group } : { kind: 'row', property, row });
  }
  return { children };
}

function listElements(group: Group, path: string): readonly ProfileElement[] {
  return [...group.children].flatMap(([name, child]) => {
    const below = `${path}/${name}`;
    if (child.group) return listElements(child.group, below);
    if (child.kind !== 'row') return [];
    const type = 'type' in child.row ? child.row.type.name : child.row.kind === 'eap' ? 'EapHostConfig' : 'XML';
    return [{ path: below, type, since: child.row.since ?? 'Windows 10 1511', repeats: child.row.kind === 'values' }];
  });
}

function collectPlaces(): ReadonlyMap<string, readonly string[]> {
  const places = new Map<string, string[]>();
  const visit = (group: Group, path: string): void => {
    for (const [name, child] of group.children) {
      places.set(name, [...(places.get(name) ?? []), path]);
      if (child.group) visit(child.group, `${path}/${name}`);
    }
  };
  visit(rootGroup, 'VPNProfile');
  return places;
}
