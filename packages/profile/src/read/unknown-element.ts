import { knownPlaces, type Group } from '../compiled-schema.ts';
import type { Report } from '../finding.ts';
import { quote } from '../quote.ts';
import { elementsWithoutEffect, listNodes } from '../schema.ts';
import { positionOf, type XmlElement } from '../xml/element.ts';
import { suggestName } from './suggest.ts';

/** Where an element stands, for messages. */
export interface Place {
  /** With the numbers of repeated elements: `VPNProfile/Route[2]`. */
  readonly path: string;
  /** Without: `VPNProfile/Route`. */
  readonly schemaPath: string;
}

/** Says why an element that the schema does not have at this place is not understood, and what may have been meant. */
export function reportUnknownElement(element: XmlElement, parent: Place, group: Group, report: Report): void {
  const { name } = element;
  const at = positionOf(element);
  const path = `${parent.path}/${quote(element.qualifiedName).slice(1, -1)}`;
  const shown = `<${quote(element.qualifiedName).slice(1, -1)}>`;
  const parentName = parent.schemaPath.slice(parent.schemaPath.lastIndexOf('/') + 1);
  const restricts = parent.schemaPath.startsWith('VPNProfile/TrafficFilter');
  if (element.uri !== '') {
    const message = `${shown} is in the namespace ${quote(element.uri)}`;
    report(restricts ? 'misspeltProtection' : 'namespacedElement', at, path, message);
    return;
  }
  const without = elementsWithoutEffect.get(`${parent.schemaPath}/${name}`);
  if (without) {
    report(without, at, path, `${shown} has no effect`);
    return;
  }
  const singular = listNodes.get(name);
  if (singular !== undefined) {
    const restrictsToo = restricts || singular === 'TrafficFilter';
    const cure = `Remove <${name}> and the row numbers; repeat <${singular}> instead.`;
    report(
      restrictsToo ? 'misspeltProtection' : 'nodeNameOfCsp',
      at,
      path,
      `${shown} is a list node, not an element of ProfileXML`,
      { cure },
    );
    return;
  }
  const near = suggestName(name, group.children.keys());
  const places = knownPlaces.get(name);
  if (places && !(near !== undefined && near.toLowerCase() === name.toLowerCase())) {
    const cure = `Move it to ${places.map((place) => place.replaceAll('/', ' > ')).join(' or ')}.`;
    report(
      restricts || protections.has(name) ? 'misspeltProtection' : 'misplacedElement',
      at,
      path,
      `${shown} does not belong in <${parentName}>`,
      {
        cure,
      },
    );
    return;
  }
  const meant = near ?? suggestName(name, knownPlaces.keys());
  if (meant === undefined) {
    report(restricts ? 'misspeltProtection' : 'unknownElement', at, path, `${shown} is not known in <${parentName}>`);
    return;
  }
  const there = near === undefined ? `, which belongs in ${knownPlaces.get(meant)!.join(' or ')}` : '';
  report(
    restricts || protections.has(meant) ? 'misspeltProtection' : 'misspeltElement',
    at,
    path,
    `${shown} is not known; did you mean <${meant}>${there}?`,
    {
      cure: `Write <${meant}>${there}.`,
    },
  );
}

/** Elements whose loss would open what the author wanted closed. */
const protections: ReadonlySet<string> = new Set(['LockDown', 'TrafficFilter']);
