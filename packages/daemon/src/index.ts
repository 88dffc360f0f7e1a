export { daemonErrors, type DaemonErrorCode } from './daemon-error.ts';
export { profileSettingKeys } from './settings.ts';
