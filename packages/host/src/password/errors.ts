/** What can go wrong with a password source: 500–519. */
export const passwordErrors = [
  {
    code: 'AOV-HOST-500',
    title: 'The secret service of the desktop cannot be reached',
    cure: 'It is there while the user is signed in to a desktop with a keyring (gnome-keyring, KWallet, KeePassXC); check secret-service in aovpn.toml.',
  },
  {
    code: 'AOV-HOST-501',
    title: 'The keyring of the desktop is locked',
    cure: 'Unlock it: sign in to the desktop with the password, or open it with the keyring program.',
  },
  {
    code: 'AOV-HOST-502',
    title: 'The secret service of the desktop refused',
    cure: 'Look into the log of the keyring program of that user.',
  },
  {
    code: 'AOV-HOST-503',
    title: 'A credential of systemd cannot be read',
    cure: 'Check LoadCredential= of aovpn.service: its name, and that the file behind it has content.',
  },
] as const;

export type PasswordErrorCode = (typeof passwordErrors)[number]['code'];
