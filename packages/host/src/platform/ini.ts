/**
 * The dialect that sssd.conf, smb.conf and their like share: sections, `key = value`, comments after `#` or `;` at the beginning of a line,
 * a value goes on behind a backslash. Names of sections and keys are lower case in what comes back, with single blanks.
 */
export function readIni(text: string): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const sections = new Map<string, Map<string, string>>();
  let section = new Map<string, string>();
  for (const line of text.replaceAll(/\\\r?\n/g, ' ').split(/\r?\n/)) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#') || trimmed.startsWith(';')) continue;
    const name = /^\[([^\]]*)\]/.exec(trimmed)?.[1];
    if (name !== undefined) {
      const key = tidy(name);
      section = sections.get(key) ?? new Map<string, string>();
      sections.set(key, section);
      continue;
    }
    const [, key, value] = /^([^=]+)=(.*)$/.exec(trimmed) ?? [];
    if (key !== undefined && value !== undefined) section.set(tidy(key), value.trim());
  }
  return sections;
}

function tidy(name: string): string {
  return name.trim().toLowerCase().replaceAll(/\s+/g, ' ');
}
