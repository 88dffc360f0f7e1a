/** One attribute of a distinguished name. */
export interface SubjectPart {
  /** Object identifier. */
  readonly type: string;
  readonly text: string;
  /** Of a country or an e-mail address other kinds of strings are wanted than UTF-8 (RFC 5280 appendix A.1). */
  readonly as: 'utf8' | 'printable' | 'ia5';
}

/** RFC 4514 §3, with what everybody writes besides. In lower case. */
const attributes: Readonly<Record<string, Omit<SubjectPart, 'text'>>> = {
  cn: { type: '2.5.4.3', as: 'utf8' },
  sn: { type: '2.5.4.4', as: 'utf8' },
  serialnumber: { type: '2.5.4.5', as: 'printable' },
  c: { type: '2.5.4.6', as: 'printable' },
  l: { type: '2.5.4.7', as: 'utf8' },
  st: { type: '2.5.4.8', as: 'utf8' },
  street: { type: '2.5.4.9', as: 'utf8' },
  o: { type: '2.5.4.10', as: 'utf8' },
  ou: { type: '2.5.4.11', as: 'utf8' },
  givenname: { type: '2.5.4.42', as: 'utf8' },
  uid: { type: '0.9.2342.19200300.100.1.1', as: 'utf8' },
  dc: { type: '0.9.2342.19200300.100.1.25', as: 'ia5' },
  emailaddress: { type: '1.2.840.113549.1.9.1', as: 'ia5' },
};

const maxParts = 16;
/** Of a value: the upper bound of most attributes (RFC 5280 appendix A.1). */
const maxText = 64;
const longer: Readonly<Record<string, number>> = { emailaddress: 255, uid: 256, dc: 63, c: 2, street: 128, l: 128, st: 128 };

/**
 * Reads `CN=laptop.contoso.com,O=Contoso,C=DE`: parts in the order in which they are written, with RFC 4514's escapes of single characters. Of several values in one part (`+`) and values in
 * hexadecimal nothing is understood.
 * @returns what is wrong with it, for people, when it is a text
 */
export function parseSubject(source: string): readonly SubjectPart[] | string {
  if (source.trim() === '') return [];
  const parts: SubjectPart[] = [];
  for (const written of splitParts(source)) {
    const [, name, raw] = /^\s*([A-Za-z]{1,20})\s*=\s*(.*?)\s*$/su.exec(written) ?? [];
    if (name === undefined || raw === undefined) return `"${written.trim()}" is not NAME=VALUE`;
    const key = name.toLowerCase();
    const attribute = Object.hasOwn(attributes, key) ? attributes[key] : undefined;
    if (!attribute)
      return `"${name}" is not known in a subject; there are: CN, O, OU, C, ST, L, STREET, DC, UID, SN, givenName, serialNumber, emailAddress`;
    const text = raw.replaceAll(/\\([\\"+,;<>= #])/g, '$1');
    const most = longer[key] ?? maxText;
    if (text === '' || text.length > most || /\p{Cc}/u.test(text))
      return `${name}: a value of 1 to ${most} printable characters is wanted`;
    if (attribute.as === 'printable' && !/^[A-Za-z0-9 '()+,\-./:=?]+$/.test(text))
      return `${name}: only plain letters, digits and '()+,-./:=? fit`;
    if (attribute.as === 'ia5' && !/^[\x20-\x7e]+$/.test(text)) return `${name}: only ASCII fits`;
    parts.push({ ...attribute, text });
  }
  return parts.length <= maxParts ? parts : `it has ${parts.length} parts; ${maxParts} are allowed`;
}

/** At commas that no backslash precedes. */
function splitParts(source: string): string[] {
  return source.match(/(?:\\.|[^\\,])+/gsu) ?? [];
}
