export { daemonErrors, type DaemonErrorCode } from './daemon-error.ts';
export { profileSettingKeys } from './profile-settings.ts';
