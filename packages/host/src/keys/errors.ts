/** What can go wrong with credential files, trust anchors and the TLS engine: 100–199. */
export const keysErrors = [
  {
    code: 'AOV-HOST-100',
    title: 'A credential file cannot be read',
    cure: 'Check that the path is right and that the file is readable by root.',
  },
  { code: 'AOV-HOST-101', title: 'A secret file is open to other users', cure: 'Run: chmod 600 FILE' },
  {
    code: 'AOV-HOST-102',
    title: 'A secret file belongs to another user',
    cure: 'Run: chown root:root FILE (or the user that the daemon runs as).',
  },
  {
    code: 'AOV-HOST-103',
    title: 'A credential path is not a regular file',
    cure: 'Name a regular file; a link is followed, a directory or device is not.',
  },
  {
    code: 'AOV-HOST-104',
    title: 'A credential file is larger than any credential',
    cure: 'Check that the path names the credential; the limit is 1 MiB (64 KiB for a secret).',
  },
  { code: 'AOV-HOST-105', title: 'A secret file is empty', cure: 'Write the secret into the file, on one line.' },
  {
    code: 'AOV-HOST-110',
    title: 'No certificate in the file',
    cure: 'The file must hold at least one PEM block "CERTIFICATE", or one DER certificate.',
  },
  {
    code: 'AOV-HOST-111',
    title: 'No private key in the file',
    cure: 'The file must hold one unencrypted PEM private key (PKCS#8, PKCS#1 or SEC1).',
  },
  {
    code: 'AOV-HOST-112',
    title: 'A certificate cannot be decoded',
    cure: 'Issue the certificate again; this one is not valid X.509 DER.',
  },
  {
    code: 'AOV-HOST-113',
    title: 'The private key is encrypted',
    cure: 'Decrypt it (openssl pkcs8 -in FILE -out NEW) or use a PKCS#12 file with a password file.',
  },
  {
    code: 'AOV-HOST-114',
    title: 'Certificate and private key do not belong together',
    cure: 'Name the key that the certificate was issued for.',
  },
  {
    code: 'AOV-HOST-115',
    title: 'The kind of key is not supported',
    cure: 'Use RSA (2048 bits or more), ECDSA P-256, P-384 or P-521, or Ed25519.',
  },
  {
    code: 'AOV-HOST-116',
    title: 'The credential names no key',
    cure: 'Give a certificate with its key (PEM), or a PKCS#12 file.',
  },
  {
    code: 'AOV-HOST-117',
    title: 'The certificate is in none of the key sources',
    cure: 'See which certificates there are: aovpn explain certificate PROFILE. Insert the token, or put the file back.',
  },
  {
    code: 'AOV-HOST-120',
    title: 'The PKCS#12 password is wrong',
    cure: 'Put the right password into the PKCS#12 password file.',
  },
  {
    code: 'AOV-HOST-121',
    title: 'The PKCS#12 file cannot be decoded',
    cure: 'Export it again: openssl pkcs12 -export -in chain.pem -inkey key.pem -out FILE',
  },
  {
    code: 'AOV-HOST-122',
    title: 'The PKCS#12 file is protected in a way that is not supported',
    cure: 'Export it again with a current OpenSSL (AES-256, PBKDF2).',
  },
  {
    code: 'AOV-HOST-130',
    title: 'Signing with the private key failed',
    cure: 'See the detail; check that the key can do the algorithm that the gateway asks for.',
  },
  {
    code: 'AOV-HOST-140',
    title: 'No trust anchors',
    cure: "Install ca-certificates, or name the anchor file of the gateway's certificate authority.",
  },
  { code: 'AOV-HOST-141', title: 'A trust anchor cannot be decoded', cure: 'The anchor must be a PEM or DER certificate.' },
  {
    code: 'AOV-HOST-150',
    title: 'A PKCS#11 module cannot be used',
    cure: 'Name the full path of the module; it and all directories above it must belong to root and be writable by root alone.',
  },
  {
    code: 'AOV-HOST-151',
    title: 'The token is not there',
    cure: 'Insert the smart card or token; compare its label with the one in the settings (pkcs11-tool --list-slots).',
  },
  {
    code: 'AOV-HOST-152',
    title: 'The PIN is wrong',
    cure: 'Give the right PIN. A token locks itself after a few wrong ones, so this one is not tried again.',
  },
  {
    code: 'AOV-HOST-153',
    title: 'The PIN is locked',
    cure: 'Unblock the token with its PUK or by its administrator; no PIN opens it until then.',
  },
  {
    code: 'AOV-HOST-154',
    title: 'The token wants a PIN',
    cure: 'Answer the question (aovpn prompt), or write the PIN into a PIN file that only root can read.',
  },
  {
    code: 'AOV-HOST-155',
    title: 'The token was taken out',
    cure: 'Insert it again; the connection comes back by itself.',
  },
  {
    code: 'AOV-HOST-156',
    title: 'The token cannot do what is needed',
    cure: 'See the detail; check the token with pkcs11-tool --test --login.',
  },
  {
    code: 'AOV-HOST-157',
    title: 'The PIN in the file is not tried',
    cure: 'Put the right PIN into the PIN file; if it is right after all (the token was unblocked), restart aovpnd.',
  },
] as const;
