/** Namespaces of Windows' EAP configuration schemas. */
export const provisioning = 'http://www.microsoft.com/provisioning/';

export const namespaces = {
  hostConfig: [`${provisioning}EapHostConfig`],
  common: [`${provisioning}EapCommon`],
  base: [`${provisioning}BaseEapConnectionPropertiesV1`],
  tls: [
    `${provisioning}EapTlsConnectionPropertiesV1`,
    `${provisioning}EapTlsConnectionPropertiesV2`,
    `${provisioning}EapTlsConnectionPropertiesV3`,
  ],
  peap: [
    `${provisioning}MsPeapConnectionPropertiesV1`,
    `${provisioning}MsPeapConnectionPropertiesV2`,
    `${provisioning}MsPeapConnectionPropertiesV3`,
  ],
  mschapv2: [`${provisioning}MsChapV2ConnectionPropertiesV1`],
  ttls: [`${provisioning}EapTtlsConnectionPropertiesV1`],
} as const satisfies Record<string, readonly string[]>;

export type NamespaceFamily = keyof typeof namespaces;

/** EAP method numbers (IANA "Method Types"). */
export const eapType = { gtc: 6, tls: 13, ttls: 21, peap: 25, mschapv2: 26 } as const;
