import type { Report } from '../finding.ts';
import type { Position } from '../profile.ts';
import { positionOf, positionOfText, trimBlanks, type XmlElement } from '../xml/element.ts';
import { sourceOfContent, type Source } from '../xml/source.ts';
import type { ValueType } from '../value/value-type.ts';

/**
 * The value of an element that holds text. Undefined when there is none to use, which has been reported then: as an error, or as a
 * warning when the element is merely empty.
 */
export function readValue<T>(element: XmlElement, type: ValueType<T>, path: string, report: Report): T | undefined {
  const child = element.children[0];
  if (child) {
    report('elementInsteadOfText', positionOf(child), path, `<${element.name}> holds a value, not <${child.qualifiedName}>`);
    return undefined;
  }
  const text = trimBlanks(element.text);
  if (text === '' && !type.mayBeEmpty) {
    report('emptyElement', positionOf(element), path, `<${element.name}> is empty`);
    return undefined;
  }
  // Found once per element and only when something is wrong: a long list of mistakes stays linear.
  let content: Source | undefined;
  let textStart = 0;
  const positionIn = (offset: number): Position => {
    if (text === '') return positionOfText(element);
    if (!content) {
      content = sourceOfContent(element.source, element.contentStart, element.contentEnd);
      textStart = content.text.length - trimBlanks(`${content.text}|`).length + 1;
    }
    return content.position(textStart + offset);
  };
  return type.read({
    text,
    report: (name, message, offset = 0, words = {}) => report(name, positionIn(offset), path, message, words),
  });
}
