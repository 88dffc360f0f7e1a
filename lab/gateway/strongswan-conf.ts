/** The nested `name { key = value }` format of strongswan.conf and swanctl.conf. */
export interface Settings {
  readonly [key: string]: string | number | Settings;
}

export function section(settings: Settings, indent = ''): string {
  return Object.entries(settings)
    .map(([key, value]) =>
      typeof value === 'object'
        ? `${indent}${key} {\n${section(value, `${indent}  `)}${indent}}\n`
        : `${indent}${key} = ${value}\n`,
    )
    .join('');
}
