import { isDeviceTunnel, isLockDown, isUnread, type CheckContext } from './check.ts';

/** Native or plug-in, device tunnel, lockdown, always on. */
export function checkTunnelKind(context: CheckContext): void {
  const { profile, root, report } = context;
  const { nativeProfile: native, pluginProfile: plugin } = profile;
  if (native && plugin)
    report('nativeAndPlugin', plugin.at, 'VPNProfile/PluginProfile', `NativeProfile is in line ${native.at.line}`);
  if (!native && !plugin && !isUnread(profile, 'VPNProfile', 'NativeProfile')) {
    report('noConnection', root, 'VPNProfile', 'there is neither NativeProfile nor PluginProfile');
  }
  if (plugin) {
    const name = plugin.pluginPackageFamilyName;
    report('pluginHere', plugin.at, 'VPNProfile/PluginProfile', `the plug-in is ${name ? name.value : 'not named'}`);
    if (!name)
      report('missingElement', plugin.at, 'VPNProfile/PluginProfile', '<PluginProfile> has no <PluginPackageFamilyName>');
    if (!plugin.serverUrlList)
      report('missingElement', plugin.at, 'VPNProfile/PluginProfile', '<PluginProfile> has no <ServerUrlList>');
  }
  if (isDeviceTunnel(profile)) checkDeviceTunnel(context);
  if (isLockDown(profile)) checkLockDown(context);
  const { alwaysOn, alwaysOnActive, apnBinding, dataEncryption, deviceCompliance, edpModeId } = profile;
  if (alwaysOnActive && alwaysOn?.value !== true && !isDeviceTunnel(profile)) {
    report('alwaysOnActiveAlone', alwaysOnActive.at, 'VPNProfile/AlwaysOnActive', 'the profile has no AlwaysOn with true');
  }
  if (apnBinding) report('reservedElement', apnBinding.at, 'VPNProfile/APNBinding', '<APNBinding> has no effect');
  if (dataEncryption?.value === 'None' || dataEncryption?.value === 'Optional') {
    report('encryptionNotRequired', dataEncryption.at, 'VPNProfile/DataEncryption', `DataEncryption is ${dataEncryption.value}`);
  }
  if (deviceCompliance?.enabled?.value === true) {
    report('complianceHere', deviceCompliance.at, 'VPNProfile/DeviceCompliance', 'DeviceCompliance is enabled');
  }
  if (edpModeId && (profile.appTriggers.length > 0 || profile.trafficFilters.length > 0)) {
    report('triggerUnnecessary', edpModeId.at, 'VPNProfile/EdpModeId', 'the profile also has AppTrigger or TrafficFilter');
  }
  if (profile.disableIkev2Fragmentation?.value === true) {
    const { at } = profile.disableIkev2Fragmentation;
    report('fragmentationDisabled', at, 'VPNProfile/DisableIKEv2Fragmentation', 'DisableIKEv2Fragmentation is true');
  }
  for (const [i, { app }] of profile.appTriggers.entries()) {
    if (app.value.type === 'System')
      report('systemTrigger', app.at, `VPNProfile/AppTrigger[${i + 1}]/App/Id`, 'the app is SYSTEM');
  }
}

function checkDeviceTunnel({ profile, report }: CheckContext): void {
  const at = profile.deviceTunnel!.at;
  const path = 'VPNProfile/DeviceTunnel';
  const native = profile.nativeProfile;
  const authentication = native?.authentication;
  if (profile.pluginProfile || authentication?.userMethod || authentication?.machineMethod?.value === 'EAP') {
    const found = profile.pluginProfile
      ? 'the connection is made by a plug-in'
      : authentication?.userMethod
        ? `UserMethod is ${authentication.userMethod.value}`
        : 'MachineMethod is EAP';
    const where = authentication?.userMethod?.at ?? authentication?.machineMethod?.at ?? at;
    report('deviceTunnelNeedsCertificate', where, path, found);
  } else if (
    native &&
    !authentication?.machineMethod &&
    !isUnread(profile, 'VPNProfile/NativeProfile/Authentication', 'MachineMethod')
  ) {
    report('deviceTunnelNeedsCertificate', at, path, 'there is no MachineMethod');
  }
  const protocol = native?.nativeProtocolType;
  if (native && protocol?.value !== 'IKEv2') {
    report(
      'deviceTunnelNeedsIkev2',
      protocol?.at ?? at,
      path,
      protocol ? `NativeProtocolType is ${protocol.value}` : 'there is no NativeProtocolType',
    );
  }
  const policy = native?.routingPolicyType;
  if (policy?.value === 'ForceTunnel') report('deviceTunnelForced', policy.at, path, 'RoutingPolicyType is ForceTunnel');
  if (profile.alwaysOn?.value === false) report('deviceTunnelNotAlwaysOn', profile.alwaysOn.at, path, 'AlwaysOn is false');
  const rule = profile.domainNameInformation[0];
  if (rule) report('deviceTunnelNameRules', rule.at, path, 'the profile has DomainNameInformation');
  if (profile.registerDns?.value === true)
    report('deviceTunnelRegistersDns', profile.registerDns.at, path, 'RegisterDNS is true');
  const trigger = profile.appTriggers[0]?.at ?? profile.domainNameInformation.find(({ autoTrigger }) => autoTrigger?.value)?.at;
  if (trigger) report('deviceTunnelTrigger', trigger, path, 'the profile has AppTrigger or AutoTrigger');
}

function checkLockDown({ profile, report }: CheckContext): void {
  const at = profile.lockDown!.at;
  const path = 'VPNProfile/LockDown';
  const native = profile.nativeProfile;
  const policy = native?.routingPolicyType;
  if (policy?.value === 'SplitTunnel')
    report('lockDownSplit', policy.at, path, `RoutingPolicyType is SplitTunnel, LockDown is in line ${at.line}`);
  const route = profile.routes.find(({ exclusionRoute }) => exclusionRoute?.value === true) ?? profile.routes[0];
  if (route) {
    const kind = route.exclusionRoute?.value === true ? 'an exclusion' : 'a route';
    report('lockDownRoute', route.at, path, `there is ${kind} for ${route.address.value}/${route.prefixSize.value}`);
  }
  const protocol = native?.nativeProtocolType;
  if (profile.pluginProfile) report('lockDownNeedsIkev2', profile.pluginProfile.at, path, 'the connection is made by a plug-in');
  else if (native && protocol?.value !== 'IKEv2') {
    const found = protocol ? `NativeProtocolType is ${protocol.value}` : 'there is no NativeProtocolType';
    report('lockDownNeedsIkev2', protocol?.at ?? at, path, found);
  }
  const trigger = profile.appTriggers[0]?.at ?? profile.domainNameInformation.find(({ autoTrigger }) => autoTrigger?.value)?.at;
  if (trigger) report('lockDownTrigger', trigger, path, 'the profile has AppTrigger or AutoTrigger');
  if (profile.trustedNetworkDetection) {
    report('lockDownTrigger', profile.trustedNetworkDetection.at, path, 'the profile has TrustedNetworkDetection');
  }
}
